# SPDX-License-Identifier: Apache-2.0
"""The launcher reads what others wrote: command lines, and the files that create has left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from executor import plans
from launcher import fuzzing
from needs import needs

pytestmark = needs("clang")

RUNS = 500_000  # some seconds


def run(program: Path, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """From the seeds on, always the same way."""
    fuzzing.seeds(folder / "corpus")
    words = [program, "-seed=1", "-max_len=512", "-rss_limit_mb=512", *flags, folder / "corpus"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("sanitizers", [plans.SANITIZERS, plans.MSAN])
def test_fuzz(tmp_path: Path, sanitizers: str) -> None:
    """A short run on every `make test`; `make fuzz` goes on for as long as it is asked to."""
    program = fuzzing.build(tmp_path, sanitizers=sanitizers)
    done = run(program, tmp_path, f"-runs={RUNS}")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "DONE" in done.stderr


def test_the_oracle_sees_a_weaker_launcher(tmp_path: Path) -> None:
    """Without one of its checks: an id with a slash in it, a string that does not end, a
    text that is longer than its file."""
    weaknesses = {
        "words.c": ("0123456789_+.-", "0123456789_+.-/"),
        "box.c": (
            "    if (!stop)\n        return NULL;\n",
            "    if (!stop)\n        stop = end;\n",
        ),
        "template.c": ("    if ((size_t)(end - *at) / size < count)\n        return false;\n", ""),
    }
    for number, (name, (old, new)) in enumerate(weaknesses.items()):
        sources = tmp_path / f"weaker-{number}"
        sources.mkdir()
        for source in ("words.c", "box.c", "template.c"):
            text = (fuzzing.LAUNCHER / source).read_text()
            if source == name:
                assert old in text
                text = text.replace(old, new)
            (sources / source).write_text(text)
        program = fuzzing.build(sources, sources)
        assert run(program, sources, "-runs=2000000").returncode != 0, name
        assert subprocess.run(
            [program, fuzzing.FINDS / Path(name).with_suffix(".bin")], capture_output=True
        ).returncode, name
