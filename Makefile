# SPDX-License-Identifier: Apache-2.0
# Every target is one of the scripts, which work without make as well.

PREFIX ?= /usr/local
export PREFIX DESTDIR

.DEFAULT_GOAL := help
.PHONY: help demo test vm-test docker-test engines conformance fuzz faults soak bench build lint unit format install uninstall lock clean

help: ## Say what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 13

demo: ## Run a container and show what it sees next to what the host sees
	@scripts/demo

test: ## Set up what is missing and run every test
	@scripts/test

vm-test: ## Run the core of the tests in a virtual machine: systemd, unified cgroups, AppArmor
	@tests/vm/test

docker-test: ## Run every test in a container of Docker Engine: Dockerfile.test
	@scripts/docker-test

engines: ## Run every test with podman, containerd, Docker and buildah, the long ones as well
	@PYRUN_ENGINES=1 scripts/test tests/engines

conformance: ## Hold pyrun, runc and crun to the specification, side by side, on one page
	@scripts/conformance

fuzz: ## Fuzz reader, executor, launcher, compiler, and all against runc and crun, for 5 minutes
	@scripts/fuzz

faults: ## Stop every verb at each of its system calls, and let each fail (hours)
	@PYRUN_SWEEP=all scripts/test tests/security/test_races.py tests/life/test_faults.py \
		tests/life/test_named_points.py tests/life/test_pairs.py tests/life/test_barrier.py \
		tests/life/test_machine.py
	@PYRUN_SWEEP=all tests/vm/booted .venv/bin/python3 -m pytest -q tests/life/test_faults.py -k systemd
	@PYRUN_SWEEP=20 PYRUN_VM_TIME=40000 tests/vm/test tests/life/test_faults.py -k systemd

soak: ## Put loads on pyrun, runc and crun, and see what is left (an hour)
	@scripts/setup --test
	@PYTHONPATH=tests .venv/bin/python3 -m soak.loads --scale 0.3

bench: ## Measure each verb side by side with runc and crun, and write the figures in docs/
	@scripts/bench --docs --check

build: ## Build and install into .venv (quick when nothing changed)
	@scripts/build

lint: ## Run the style and layer tests alone
	@scripts/test tests/style

unit: ## Run the tests that need no root
	@scripts/test tests/unit

format: ## Put every file into the one format
	@scripts/setup --test
	@.venv/bin/python3 -m ruff format -q .
	@.venv/bin/python3 -m ruff check -q --fix .
	@find runtime tests bench -name '*.[ch]' -exec clang-format -i {} +

install: ## Install for an engine to use (PREFIX=/usr/local, DESTDIR=)
	@scripts/install

uninstall: ## Remove what install made
	@scripts/uninstall

lock: ## Pin the dependencies of a release anew, with their hashes (locks/)
	@scripts/lock

clean: ## Remove the build and the virtual environment
	@rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
