# SPDX-License-Identifier: Apache-2.0
"""`make install` gives an engine one path to run, and `make uninstall` leaves nothing of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / script],
        env={**os.environ, **environment},
        cwd="/",
        capture_output=True,
        text=True,
    )


def test_set_up_has_nothing_to_do_a_second_time() -> None:
    """pytest runs after a set-up, so this is the second: no package, no build, no word."""
    done = run("setup")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_install_and_uninstall(tmp_path: Path) -> None:
    where = {"DESTDIR": str(tmp_path), "PREFIX": "/opt/x"}
    other = tmp_path / "opt/x/bin/other"
    other.parent.mkdir(parents=True)
    other.touch()
    page = tmp_path / "opt/x/share/man/man8/other.8"
    page.parent.mkdir(parents=True)
    page.symlink_to("../../../lib/other/other.8")
    for _ in range(2):  # an upgrade replaces what is there
        done = run("install", **where)
        assert done.returncode == 0, done.stderr
    link = tmp_path / "opt/x/bin/pyrun"
    assert str(link.readlink()) == "../lib/pyrun/bin/pyrun"
    assert sorted(path.name for path in (tmp_path / "opt/x/lib").iterdir()) == ["pyrun"]
    share = tmp_path / "opt/x/share"
    for name in (
        "man/man8/pyrun.8",
        "man/man8/pyrun-create.8",
        "bash-completion/completions/pyrun.bash",
        "zsh/site-functions/_pyrun",
        "fish/vendor_completions.d/pyrun.fish",
    ):
        assert (share / name).is_symlink()
        assert (share / name).resolve() == tmp_path / "opt/x/lib/pyrun/share" / name
        assert (share / name).exists()
    # The folder can be moved to where DESTDIR stood for, and runs with no environment.
    home = tmp_path / "opt"
    moved = home.rename(tmp_path / "moved")
    done = subprocess.run(
        [moved / "x/bin/pyrun", "--version"], env={}, cwd="/", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    moved.rename(home)
    done = run("uninstall", **where)
    assert done.returncode == 0, done.stderr
    left = [path for path in (tmp_path / "opt").rglob("*") if not path.is_dir()]
    assert sorted(left) == [other, page]


def test_uninstall_leaves_a_pyrun_of_somebody_else(tmp_path: Path) -> None:
    foreign = tmp_path / "bin/pyrun"
    foreign.parent.mkdir()
    foreign.write_text("#!/bin/sh\n")
    assert run("uninstall", PREFIX=str(tmp_path), DESTDIR="").returncode == 0
    assert foreign.exists()


def test_relative_prefix_is_refused() -> None:
    for script in ("install", "uninstall"):
        done = run(script, PREFIX="somewhere", DESTDIR="")
        assert done.returncode == 1
        assert "absolute" in done.stderr
