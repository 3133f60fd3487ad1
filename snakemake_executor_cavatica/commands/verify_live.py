"""The command `cavatica-local verify-live`: does the real platform do what this one assumes?

For whoever has an account. It makes a folder, puts the platform to a series of small tests there,
removes what it made (but for an app, and tasks that have run), and prints a table of what differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..connections import CONNECTIONS
from ..verify import draft_probes, file_probes, listing_probes
from ..verify.probe import Finding, Probe
from ..verify.scratch import Scratch
from ..verify.scratch_files import APP_NAME
from ..verify.task_probes import TASKS, task_probes
from .exit_status import exit_status
from .platform import checked_project
from .platform_arguments import add_platform_options

_HEADER = ("switch or behaviour", "the embedded platform", "this platform", "verdict")
FREE = (*listing_probes.PROBES, *draft_probes.PROBES, *file_probes.PROBES)
"""Probes that cost requests only."""
UNSETTLED: dict[str, str] = {
    "app_json_limit": "revisions of apps cannot be deleted, so large ones would stay for ever",
    "status_flap": "a share can only be seen in many long tasks",
    "spot_loss_rate": "a share can only be seen in many long tasks on spot instances",
    "spot_retries": "an instance would have to be lost",
    "upload_lifetime": "it takes as long as it says",
    "batch_creating_delay": "it depends on the load of the platform",
    **dict.fromkeys(
        (
            "container_user",
            "container_root_writable",
            "container_cwl_variables",
            "container_entrypoint",
        ),
        "it would take images made for the purpose, in a registry that the platform can reach",
    ),
    "signed_url_needs_permission": "a second member of the project would have to lose permissions",
}
"""Switches that no cheap experiment settles, and why."""


@dataclass(frozen=True)
class Switches:
    """The embedded platform's switches, which it hands in: it and this code know not each other."""

    assumed: Mapping[str, str]
    """By name, in the order of its table."""
    accepts: Callable[[str], bool]
    """Whether it can be started with this `name=value`."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    assumed: str
    found: str
    verdict: str
    value: str = ""
    """What was found, without notes."""

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """As shown; what would end a cell of the table early is replaced."""
        texts = (self.name, self.assumed, self.found, self.verdict)
        clean = [" ".join(text.replace("|", "/").split()) for text in texts]
        return clean[0], clean[1], clean[2], clean[3]


def main(
    arguments: Sequence[str], assumed: Mapping[str, str], accepts: Callable[[str], bool]
) -> int:
    """Run the command with these arguments; the exit status.

    Args:
        arguments: Those after the command's name.
        assumed: The embedded platform's switches and what it assumes, in the order of its table.
        accepts: Whether it can be started with a `name=value`.
    """
    options = _parser().parse_args(arguments)
    switches = Switches(assumed, accepts)
    return exit_status("cavatica-local", lambda: _verify(options, switches))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cavatica-local verify-live",
        description="Puts a real platform to a series of small tests and compares it with what the "
        "embedded platform assumes. Makes one folder, about 300 requests and, unless --no-tasks is "
        f"given, {TASKS} tasks of about a minute, which cost some cents. All is removed at the "
        "end except an app, which the API cannot delete, and tasks, if finished ones cannot be "
        "deleted.",
    )
    add = parser.add_argument
    add("--project", help="project to test in, as owner/project")
    add_platform_options(parser)
    add("--no-tasks", action="store_true", help="run no tasks, so that nothing costs money")
    add("--hidden-project", metavar="PROJECT", help="a project that you are no member of")
    add("--drs-object", metavar="URI", help="an object of a DRS server that you may read")
    add("--timeout", type=float, default=60.0, metavar="MINUTES", help="for a task (default: 60)")
    add("--yes", action="store_true", help="do not ask before the tests")
    return parser


def _verify(options: argparse.Namespace, switches: Switches) -> int:
    connected = CONNECTIONS.connect(options.api_endpoint, options.credentials_profile)
    scratch = Scratch(connected, checked_project(connected, options.project), switches.assumed)
    free = [
        *FREE,
        file_probes.hidden_project(options.hidden_project),
        file_probes.drs_object(options.drs_object),
    ]
    paid = task_probes(scratch, options.timeout * 60)
    _announce(scratch, free, [] if options.no_tasks else paid)
    if not options.yes and not _agreed():
        _say("Nothing was done.")
        return 1
    try:
        _ = scratch.files.folder  # where that cannot be made, nothing can be tried
        rows = [_row(scratch, probe) for probe in free]
        reason = "it needs tasks (--no-tasks)"
        rows += [
            _unsettled(probe.name, probe.expected(switches.assumed), reason)
            if options.no_tasks
            else _row(scratch, probe)
            for probe in paid
        ]
    finally:
        left = scratch.close()
        for sentence in left:
            sys.stderr.write(f"{sentence}\n")
    rows += _others({row.name for row in rows}, switches.assumed)
    _say(f"\n{table(rows)}")
    _advise(rows, switches)
    return 0


def _announce(scratch: Scratch, free: Sequence[Probe], paid: Sequence[Probe]) -> None:
    """Everything that is going to be done, with its price, before it is."""
    _say(f"Tests of {scratch.client.endpoint} in the project {scratch.project}.")
    folder = scratch.files.folder_name
    _say(f"All files are made in the folder {folder}, which is deleted at the end.")
    _say("For nothing but requests:")
    for probe in free:
        _say(f"  {probe.name}: {probe.how}")
    if paid:
        _say(f"From {TASKS} tasks of about a minute on small instances, which cost some cents:")
    for probe in paid:
        _say(f"  {probe.name}: {probe.how}")
    _say(f"The app {APP_NAME} stays in the project: the API cannot delete apps.")


def _agreed() -> bool:
    """Ask at a terminal; without one, the command itself was the consent."""
    if not sys.stdin.isatty():
        return True
    sys.stdout.write("Go on? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _row(scratch: Scratch, probe: Probe) -> Row:
    sys.stderr.write(f"{probe.name}...\n")
    assumed, finding = probe.expected(scratch.assumed), probe.settle(scratch)
    if isinstance(finding, str):
        return _unsettled(probe.name, assumed, finding)
    return Row(
        probe.name,
        assumed,
        f"{finding.value} ({finding.note})" if finding.note else finding.value,
        "agree" if agrees(finding, assumed) else "DIFFER",
        finding.value,
    )


def agrees(finding: Finding, assumed: str) -> bool:
    """Whether a platform did what was assumed."""
    return finding.value == assumed if finding.agrees is None else finding.agrees


def _unsettled(name: str, assumed: str, reason: str) -> Row:
    return Row(name, assumed, reason, "not settled")


def _others(seen: set[str], assumed: Mapping[str, str]) -> list[Row]:
    """The switches that no probe is about."""
    return [
        _unsettled(name, value, UNSETTLED.get(name, "there is no test"))
        for name, value in assumed.items()
        if name not in seen
    ]


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table that can also be read as it is."""
    lines = [_HEADER, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
    rule = "".join(f"| {'-' * width} " for width in widths) + "|"
    shown = [
        "".join(f"| {cell:<{width}} " for cell, width in zip(line, widths, strict=True)) + "|"
        for line in lines
    ]
    return "\n".join([shown[0], rule, *shown[1:]])


def _advise(rows: Sequence[Row], switches: Switches) -> None:
    """How the embedded platform becomes more like this one."""
    number = {word: sum(row.verdict == word for row in rows) for word in ("agree", "DIFFER")}
    left = len(rows) - sum(number.values())
    _say(f"\n{number['agree']} agree, {number['DIFFER']} differ, {left} are not settled.")
    settings = [f"{row.name}={row.value}" for row in rows if row.verdict == "DIFFER"]
    chosen = [f"--switch {setting}" for setting in settings if switches.accepts(setting)]
    if chosen:
        _say(f"To imitate this platform: cavatica-local serve {' '.join(chosen)} ...")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
