# SPDX-License-Identifier: Apache-2.0
"""The executor on a model of the kernel, in which every call may fail: whatever its plan and its
kernel, it tells once why it ends, closes what it opened, and keeps to its memory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from executor import model, plans
from needs import needs

pytestmark = needs("clang")

RUNS = 30_000  # some seconds


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program and its seeds."""
    folder = tmp_path_factory.mktemp("model")
    model.build(folder)
    model.seeds(folder / "corpus")
    return folder


def fuzz(program: Path, corpus: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """From the seeds on, always the same way."""
    words = [program, "-seed=1", "-max_len=4096", "-timeout=10", "-rss_limit_mb=1024", *flags]
    return subprocess.run([*words, corpus], cwd=program.parent, capture_output=True, text=True)


def test_no_call_goes_past_the_model(place: Path) -> None:
    found = model.asked(place) - {f"model_{name}" for name in model.CALLS}
    assert found - set(model.PURE) == set()


def test_fuzz(place: Path, tmp_path: Path) -> None:
    """A short run on every `make test`; `make fuzz` goes on for as long as it is asked to."""
    new = tmp_path / "new"
    new.mkdir()
    done = fuzz(place / "fuzz_executor", new, f"-runs={RUNS}", str(place / "corpus"))
    assert done.returncode == 0, done.stderr[-4000:]
    assert "DONE" in done.stderr


def test_seeds_go_all_the_way(place: Path) -> None:
    """The plans of real configs run to their end, so that what is tried is what is used."""
    words = [place / "fuzz_executor", *sorted((place / "corpus").glob("plan-*"))]
    done = subprocess.run(words, capture_output=True, text=True, env={"MODEL_SAYS": "1"})
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr.count("model: the program runs") >= 8


# {file of the executor: (text, the same with a fault)}: each by one of the model's rules.
FAULTS = {
    "a descriptor that execve(2) leaves open": (
        "mounts.c", "(int)arg[1] | O_CLOEXEC", "(int)arg[1]",
    ),
    "a descriptor that is closed twice": (
        "hook.c", "    close(out[1]);\n", "    close(out[1]);\n    close(out[1]);\n",
    ),
    "one that nobody closes": (
        "mounts.c", "return closing(target, cover(target, ", "return (cover(target, ",
    ),
    "an end that nobody is told of": (
        "executor.c", "            fail(&op, i, errno);", "            quit();",
    ),
    "a failure without a number": (
        "process.c", "    errno = best;\n", "    errno = 0;\n",
    ),
    "a path that may lead out of the root": (
        "paths.c", "resolve | RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS", "resolve",
    ),
    "more read than there is": (
        "process.c", "SYS_setgroups, gids[0] / sizeof(gid_t)", "SYS_setgroups, gids[0] + 4096",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_the_model_sees_a_fault(place: Path, tmp_path: Path, fault: str) -> None:
    name, old, new = FAULTS[fault]
    text = (model.EXECUTOR / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    model.compile_part(tmp_path, tmp_path / name)
    done = fuzz(model.link(tmp_path, place), place / "corpus", f"-runs={RUNS}")
    assert done.returncode != 0


@pytest.fixture(scope="module")
def msan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program under MSan."""
    folder = tmp_path_factory.mktemp("msan")
    model.build(folder, plans.MSAN)
    return folder


def test_nothing_unset(place: Path, msan: Path, tmp_path: Path) -> None:
    """Nothing that was not set decides anything, or is given to the kernel or the runtime."""
    done = fuzz(msan / "fuzz_executor", tmp_path, f"-runs={RUNS}", str(place / "corpus"))
    assert done.returncode == 0, done.stderr[-4000:]
    assert "DONE" in done.stderr


UNSET = {
    "capabilities": ("process.c", "data[i].inheritable = ", "uint32_t other = "),
    "an end of a string": ("mounts.c", "    octal[4] = 0;\n", ""),
    "a link to nothing": ("paths.c", "if (length <= 0)", "if (length < 0)"),
    "a word to the runtime": (
        "executor.c", "struct message message = {kind, {a, b, c}};",
        "struct message message; message.kind = kind; (void)(a + b + c);",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", UNSET)
def test_what_is_not_set_is_seen(place: Path, msan: Path, tmp_path: Path, fault: str) -> None:
    name, old, new = UNSET[fault]
    text = (model.EXECUTOR / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))
    model.compile_part(tmp_path, tmp_path / name, plans.MSAN)
    program = model.link(tmp_path, msan, plans.MSAN)
    done = fuzz(program, place / "corpus", f"-runs={RUNS}")
    assert "use-of-uninitialized-value" in done.stderr
