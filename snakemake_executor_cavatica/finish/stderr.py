"""The stderr of a task in a file of this machine: taken apart, and kept with the rule's logs."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from ..plan.plan import JobPlan
from ..translate.shared_task import is_packed_job, jobid_of, task_id_of
from ..translate.task_report import JobReport, section_of, stretches

LOGS_FOLDER = Path(".snakemake/cavatica/logs")

_TAIL = 64 * 1024
"""Bytes of stderr, and of each log, that are looked at."""
_CHUNK = 1024 * 1024


def stderr_file(task_id: str) -> Path:
    """Where the stderr of a task goes, from the working directory.

    The id comes from the platform: only one that can be no more than a name is used as one.
    """
    name = f"{task_id_of(task_id)}-{jobid_of(task_id)}" if is_packed_job(task_id) else task_id
    if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
        return LOGS_FOLDER / f"{name}.stderr"
    digest = hashlib.sha256(task_id.encode(errors="surrogatepass")).hexdigest()
    return LOGS_FOLDER / f"task-{digest[:32]}.stderr"


def cut_out(stderr: Path, jobid: str) -> None:
    """Leave of the stderr of a pack what one of its jobs has said, if its script came to tell."""
    with _mapped(stderr) as content:
        found = section_of(content, jobid)
        if found is None:
            return
        part = stderr.with_name("section")
        with part.open("wb") as stream:
            for position in range(*found, _CHUNK):
                stream.write(content[position : min(found[1], position + _CHUNK)])
    part.replace(stderr)


@contextmanager
def _mapped(path: Path) -> Iterator[bytes | mmap]:
    """The content of a file that may be larger than the memory; empty if there is no file."""
    if not path.exists() or path.stat().st_size == 0:
        yield b""
        return
    with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        yield content


def read_stderr(stderr: Path) -> JobReport:
    """What the script reported, and the ends of logs and stderr: of a group, that of one job."""
    report = JobReport()
    tail = b""
    with _mapped(stderr) as content:
        for log, start, end in stretches(content, report):
            if log is not None:
                report.logs[log] = content[max(start, end - _TAIL) : end].decode(errors="replace")
        for log, start, end in stretches(content, JobReport()):
            if log is None and start >= report.begins:
                tail = (tail + content[max(start, end - _TAIL) : end])[-_TAIL:]
    report.stderr = tail.decode(errors="replace")
    return report


def keep_stderr(stderr: Path, plan: JobPlan, log_paths: Sequence[Path], rest: Path) -> list[Path]:
    """Write the rule's logs to their places, and what else the job said, if anything, to `rest`."""
    # By their places: a log that is an output as well is not among those that the task shows.
    paths = dict(zip((log.place for log in plan.facts.logs), log_paths, strict=False))
    places = {
        index: paths[output.place]
        for index, output in enumerate(plan.outputs)
        if output.role == "log" and output.place in paths
    }
    written: dict[Path, None] = {}
    with _mapped(stderr) as content, ExitStack() as files:
        stream: BinaryIO | None = None
        for log, start, end in stretches(content, JobReport()):
            if log is None:
                stream = stream or files.enter_context(_complete_file(rest))
                _copy(content, start, end, stream)
            elif log in places:
                with _complete_file(places[log]) as log_stream:
                    _copy(content, start, end, log_stream)
                written[places[log]] = None
    return [*written, *([rest] if stream else [])]


def _copy(content: bytes | mmap, start: int, end: int, stream: BinaryIO) -> None:
    """As text, since Snakemake shows no log that is not."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for position in range(start, end, _CHUNK):
        stop = min(end, position + _CHUNK)
        stream.write(decoder.decode(content[position:stop], final=stop == end).encode())


@contextmanager
def _complete_file(path: Path) -> Iterator[BinaryIO]:
    """A text file that is there once it is complete; its last line is ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not named after the file: that name may be as long as the file system allows.
    part = path.with_name(f".cavatica-{uuid.uuid4().hex}.part")
    try:
        with part.open("w+b") as stream:
            yield stream
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":
                    stream.write(b"\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
