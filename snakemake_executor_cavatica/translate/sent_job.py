"""What a task was sent about a job, read back: its command, and where its logs lie. Pure.

The counterpart of `own_part` and `manifest`, for those who have nothing but the task.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..api.models import Task, iter_files
from .app import COMMAND, SCRIPT
from .job_key import read_job_list
from .shared_task import is_packed_job, jobid_of

_LOG = re.compile(r"^show ([0-9]{1,9}) (.+)$", re.MULTILINE)
_JOBS = re.compile(r"^jobs=.*$", re.MULTILINE)
_ENTRY = re.compile(
    r"^(?:use_job\(\) \{ case \$1 in|;;)\n(?P<words>[^\n]+)\)\n(?P<own>.*?)"
    r"^cat > \"\$command\" <<'(?P<end>END-[0-9]+)'[^\n]*\n(?P<command>.*?)^(?P=end)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class SentJob:
    """What one job runs."""

    command: str
    logs: Mapping[int, str] = field(default_factory=dict)
    """Paths of the rule's logs in the working directory, by their numbers in a `JobReport`."""


def sent_job(task: Task, identifier: str) -> SentJob | None:
    """What a task, or a packed job of it, was sent; None if that cannot be read.

    Args:
        task: with its inputs.
        identifier: the task's, or the packed job's.
    """
    command, script = (task.inputs.get(port) for port in (COMMAND, SCRIPT))
    if not isinstance(command, str) or not isinstance(script, str):
        return None
    if not read_job_list(task):
        return SentJob(command, _logs(script))
    if is_packed_job(identifier):
        return _chosen(command, {jobid_of(identifier)})
    return _chosen(command, {ref.name for ref in iter_files(task.inputs) if ref.name})


def for_one_job(task: Task, identifier: str) -> dict[str, object]:
    """The inputs of a task; if it is a pack, with a script that runs one of its jobs only."""
    inputs: dict[str, object] = dict(task.inputs)
    script = inputs.get(SCRIPT)
    if is_packed_job(identifier) and isinstance(script, str):
        inputs[SCRIPT] = _JOBS.sub(f"jobs={shlex.quote(jobid_of(identifier))}", script)
    return inputs


def _chosen(manifest: str, wanted: Collection[str]) -> SentJob | None:
    """The entry of a manifest that one of these words chooses."""
    for entry in _ENTRY.finditer(manifest):
        words = shlex.shlex(entry["words"], posix=True, punctuation_chars="|")
        words.whitespace_split = True
        if not set(words).isdisjoint(wanted):
            return SentJob(entry["command"], _logs(entry["own"]))
    return None


def _logs(script: str) -> dict[int, str]:
    found = {}
    for number, quoted in _LOG.findall(script):
        try:
            found[int(number)] = shlex.split(quoted)[0]
        except (ValueError, IndexError):
            continue  # a path over several lines
    return found
