# SPDX-License-Identifier: Apache-2.0
"""Run the container tests that know nothing of pyrun against a runtime:

    .venv/bin/python3 -m conformance --runtime runc [-k WORDS]

Root is needed, and what `scripts/setup --test` installs. What follows the runtime goes to pytest.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent / "tests/life"


def main(words: list[str]) -> int:
    """pytest's exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m conformance", description=__doc__)
    parser.add_argument("--runtime", choices=("pyrun", "runc", "crun", "all"), required=True)
    options, rest = parser.parse_known_args(words)
    return int(pytest.main([str(TESTS), f"--runtime={options.runtime}", *rest]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
