# SPDX-License-Identifier: Apache-2.0
"""Rules between fields, which a schema can't say: each function holds one idea.

They assume a config whose shape is right (pyrun.schema_check) and look at nothing but the config:
whether this host can honour it is the business of the compiler's rules. A new rule is one generator
of (JSON pointer, message) and one line in CHECKS. Rules of the linux section: checks_linux; of
process, which `exec` asks as well: checks_process.
"""

from __future__ import annotations

from pyrun.compile import checks_linux, checks_mounts, checks_process
from pyrun.compile import hooks as hook_rules
from pyrun.compile.capabilities import LANDLOCK
from pyrun.errors import ConfigError
from pyrun.schema_check import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.types import Config, Problem

NEWEST = (1, 3)  # of the specification


def problems(config: Config) -> list[Problem]:
    """Every broken rule of a config whose shape is valid, as (JSON pointer, message)."""
    return [problem for rule in CHECKS for problem in rule(config)]


def require(config: Config) -> None:
    """Raise ConfigError, naming every broken rule, unless there is none."""
    found = problems(config)
    if found:
        raise ConfigError(found)


def version(config: Config) -> Iterator[Problem]:
    """A runtime supports the versions up to its own; another major version is another format."""
    text = config["ociVersion"]
    core, plus, build = text.partition("+")
    core, dash, early = core.partition("-")
    numbers = core.split(".")
    if (
        len(numbers) != 3
        or not all(_identifier(n) and n.isdigit() and str(int(n[:9])) == n[:9] for n in numbers)
        or (dash and not all(map(_identifier, early.split("."))))
        or (plus and not all(map(_identifier, build.split("."))))
    ):
        yield "/ociVersion", f"must be a version such as 1.3.0, not {shown(text)}"
    elif not (1, 0) <= (int(numbers[0][:9]), int(numbers[1][:9])) <= NEWEST:
        yield "/ociVersion", f"version {text} is not supported: 1.0 to 1.3 are"


def _identifier(text: str) -> bool:
    """Whether SemVer takes it between two dots."""
    return text.isascii() and text.replace("-", "0").isalnum()


def root_given(config: Config) -> Iterator[Problem]:
    """On Linux, config.md requires a root filesystem."""
    if "root" not in config:
        yield "/root", "is required"


def annotation_keys(config: Config) -> Iterator[Problem]:
    if "" in config.get("annotations", ()):
        yield "/annotations", "has an empty key"


def root_layers(config: Config) -> Iterator[Problem]:
    """The annotations that make the root an overlay."""
    if any(key.startswith("org.pyrun.rootfs.") for key in config.get("annotations", ())):
        # Only for those.
        from pyrun.compile import layers

        yield from layers.problems(config)


def hook_paths(config: Config) -> Iterator[Problem]:
    for kind, hooks in config.get("hooks", {}).items():
        if kind not in HOOKS:
            continue
        for index, hook in enumerate(hooks):
            if not hook["path"].startswith("/"):
                yield (
                    f"/hooks/{kind}/{index}/path",
                    f"must be absolute, not {shown(hook['path'])}",
                )


def hook_files(config: Config) -> Iterator[Problem]:
    """Where annotations have what hooks print go."""
    yield from hook_rules.problems(config)


def landlock_rules(config: Config) -> Iterator[Problem]:
    """The annotation with Landlock rules."""
    if LANDLOCK in config.get("annotations", ()):
        # Only for that.
        from pyrun.compile import landlock

        yield from landlock.problems(config)


HOOKS = (
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
)  # fmt: skip

CHECKS = (
    version,
    root_given,
    annotation_keys,
    root_layers,
    hook_paths,
    hook_files,
    landlock_rules,
    *checks_process.CHECKS,
    *checks_mounts.CHECKS,
    *checks_linux.CHECKS,
)
