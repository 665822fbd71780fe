# SPDX-License-Identifier: Apache-2.0
"""Rules between fields, which a schema can't say: each function holds one idea.

They assume a config whose shape is right (pyrun.schema_check) and look at nothing but the config:
whether this host can honour it is the business of the compiler's rules. A new rule is one generator
of (JSON pointer, message) and one line in CHECKS. Rules of the linux section: checks_linux.
"""

from __future__ import annotations

from pyrun.compile import checks_linux, checks_mounts
from pyrun.errors import ConfigError
from pyrun.linux import RLIMITS
from pyrun.schema_check import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyrun.types import Config, Problem

NEWEST = (1, 3)  # of the specification


def problems(
    config: Config, checks: tuple[Callable[[Config], Iterator[Problem]], ...] | None = None
) -> list[Problem]:
    """Every broken rule of a config whose shape is valid, as (JSON pointer, message).

    `checks` narrows the rules: `problems({"process": process}, PROCESS)` judges a process alone,
    as `exec --process` needs.
    """
    found: list[Problem] = []
    for rule in CHECKS if checks is None else checks:
        found += rule(config)
    return found


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


def working_directory(config: Config) -> Iterator[Problem]:
    process = config.get("process")
    if process is not None and not process["cwd"].startswith("/"):
        yield "/process/cwd", f"must be absolute, not {shown(process['cwd'])}"


def arguments(config: Config) -> Iterator[Problem]:
    """There has to be a program to run; only Windows has commandLine for it."""
    process = config.get("process")
    if process is None:
        return
    if not process.get("args"):
        yield "/process/args", "needs at least one entry: the program to run"
    elif not process["args"][0]:
        yield "/process/args/0", "is the program to run and must not be empty"


def environment(config: Config) -> Iterator[Problem]:
    for index, entry in enumerate(config.get("process", {}).get("env", ())):
        if entry.find("=") < 1:  # none at all, or no name before it
            yield f"/process/env/{index}", f"must be NAME=VALUE, not {shown(entry)}"


def rlimits(config: Config) -> Iterator[Problem]:
    seen = set()
    for index, limit in enumerate(config.get("process", {}).get("rlimits", ())):
        at = f"/process/rlimits/{index}"
        kind = limit["type"]
        if kind not in RLIMITS:
            yield f"{at}/type", f"no such limit on Linux: {shown(kind)}"
        elif kind in seen:
            yield f"{at}/type", f"{kind} is given twice"
        seen.add(kind)
        if limit["soft"] > limit["hard"]:
            yield f"{at}/soft", f"{limit['soft']} is above the hard limit {limit['hard']}"


def console_size(config: Config) -> Iterator[Problem]:
    """The kernel has 16 bits for each (struct winsize); without a terminal the field is ignored."""
    process = config.get("process", {})
    if process.get("terminal"):
        for name, value in process.get("consoleSize", {}).items():
            if name in {"height", "width"} and value > 65535:
                yield f"/process/consoleSize/{name}", f"must be at most 65535, not {value}"


def scheduling(config: Config) -> Iterator[Problem]:
    """Rare fields, whose rules are loaded with the first of them."""
    process = config.get("process", {})
    if "scheduler" in process or "execCPUAffinity" in process:
        from pyrun.compile import scheduling as rules

        yield from rules.problems(config)


def command_line(config: Config) -> Iterator[Problem]:
    """A field that asks for a program to run is not to be passed over."""
    if config.get("process", {}).get("commandLine"):
        yield "/process/commandLine", "is for Windows: use args"


HOOKS = (
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
)  # fmt: skip

PROCESS = (
    working_directory,
    arguments,
    environment,
    rlimits,
    console_size,
    scheduling,
    command_line,
)

CHECKS = (
    version,
    root_given,
    annotation_keys,
    root_layers,
    hook_paths,
    *PROCESS,
    *checks_mounts.CHECKS,
    *checks_linux.CHECKS,
)
