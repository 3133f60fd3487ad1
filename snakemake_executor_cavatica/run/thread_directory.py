"""The working directory of a job that runs on this machine, which is its thread's own.

Snakemake runs such jobs in threads of the main process, and changes the directory of the process
for a shadow directory. Whatever the other threads upload or fetch meanwhile would be looked for,
or lost, in there; and so it is where a `run:` block changes the directory.
"""

from __future__ import annotations

import ctypes
import sys
import threading

from snakemake_interface_common.exceptions import WorkflowError

_CLONE_FS = 0x200
"""Of Linux: the working directory, and the mask of new files."""
_thread = threading.local()
_watching = False


def keep_directories_apart() -> None:
    """From now on, a thread other than the first one changes the directory for itself alone."""
    global _watching  # noqa: PLW0603 - audit hooks cannot be removed, so there must be one only
    if not _watching:
        _watching = True
        sys.addaudithook(_before_change)


def _before_change(event: str, _: tuple[object, ...]) -> None:
    """Called for all that Python audits, so it has to be quick."""
    if event != "os.chdir" or threading.current_thread() is threading.main_thread():
        return
    if getattr(_thread, "is_apart", False):
        return
    if not _part():
        raise WorkflowError(
            "A rule that runs on this machine changes its directory (shadow:, or os.chdir in a "
            "run: block), and this system does that for the whole process only: the results of "
            "tasks that end meanwhile would be lost. Let the rule run in a task: take it off "
            "localrules:, or write localrule: False into it."
        )
    _thread.is_apart = True


def _part() -> bool:
    """Give this thread a directory of its own, which is the same at first; whether it has one."""
    unshare = getattr(ctypes.CDLL(None), "unshare", None)  # of Linux, unless a container forbids it
    return unshare is not None and unshare(_CLONE_FS) == 0
