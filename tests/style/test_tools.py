# SPDX-License-Identifier: Apache-2.0
"""The formatters and checkers are tests: one command runs everything, here and on CI."""

from __future__ import annotations

import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from needs import needs

from . import tree

C_SOURCES = tree.files(".c")
# What meson.build gives the compiler, as far as it changes what the code means.
C_FLAGS = ["-std=c17", "-D_GNU_SOURCE", '-DPYTHON_VERSION="3"']


def passes(*command: str | Path) -> None:
    """Runs a checker in the root of the tree; what it prints is the failure."""
    done = subprocess.run(
        command, cwd=tree.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        pytest.fail(done.stdout, pytrace=False)


def python(*arguments: str | Path) -> None:
    passes(sys.executable, "-m", *arguments)


def test_ruff_format() -> None:
    python("ruff", "format", "--check", "--diff", "-q", ".")


def test_ruff_check() -> None:
    python("ruff", "check", "-q", ".")


def test_mypy_package() -> None:
    python("mypy", "--no-error-summary", "-p", "pyrun")


def test_mypy_scripts() -> None:
    folders = [
        path
        for path in ("runtime/build", "scripts", "bench", "conformance")
        if (tree.ROOT / path).exists()
    ]
    python("mypy", "--no-error-summary", "--exclude", "results", *folders)


def test_clang_format() -> None:
    passes(Path(sys.prefix) / "bin/clang-format", "--dry-run", "-Werror", *tree.files(".c", ".h"))


@needs("clang-tidy")
@pytest.mark.parametrize("source", C_SOURCES, ids=tree.name)
def test_clang_tidy(source: Path) -> None:
    generated = tree.ROOT / "build" / platform.machine()
    folders = [tree.ROOT / "runtime" / name for name in ("executor", "launcher")]
    includes = [f"-I{path}" for path in (generated, *folders)]
    if "<Python.h>" in source.read_text():
        includes += ["-isystem", sysconfig.get_path("include")]
        includes += [f'-D{name}="/x"' for name in ("PYTHON", "PYTHON_PREFIX", "PYTHON_LIBRARY")]
    passes("clang-tidy", "--quiet", source, "--", *C_FLAGS, *includes)


@needs("shellcheck")
def test_shellcheck() -> None:
    scripts = tree.scripts()
    assert scripts
    passes("shellcheck", *scripts)
