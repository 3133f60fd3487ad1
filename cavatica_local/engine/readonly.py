"""Keeps what is stored from what a task does to its inputs, also if it runs as root.

A staged input is a hard link to a stored content where that is possible: it costs nothing, whatever
its size. Permission bits protect it from neither root nor its owner. A read-only mount, in a mount
namespace of the task's own, does: whoever writes, deletes, renames or changes modes there is told
that the file system is read-only, as on the platform.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_CLONE_NEWNS = 0x20000
_MS_RDONLY = 1
_MS_REMOUNT = 32
_MS_BIND = 4096
_MS_REC = 16384
_MS_SLAVE = 1 << 19
_MS_RELATIME = 1 << 21
_KEPT = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME
"""Flags of a mount that have the same value when they are asked for."""
_ST_RELATIME = 4096


def enter_own_mounts() -> bool:
    """Give this process, and all that it starts, mounts of its own; False where that is denied.

    Only root can, and only with CAP_SYS_ADMIN. A user namespace would let others do it as well, but
    there a task could tell the difference: no other users, no setuid programs.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    try:
        _call("unshare", _CLONE_NEWNS)
        _mount(None, "/", _MS_REC | _MS_SLAVE)
    except OSError:
        return False
    return True


def make_read_only(folder: Path) -> None:
    """Let nobody change a folder, or anything in it, from this process on."""
    flags = os.statvfs(folder).f_flag
    kept = flags & _KEPT | (_MS_RELATIME if flags & _ST_RELATIME else 0)
    _mount(str(folder), str(folder), _MS_BIND)
    _mount(None, str(folder), _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)


def _mount(source: str | None, target: str, flags: int) -> None:
    origin = None if source is None else os.fsencode(source)
    _call("mount", origin, os.fsencode(target), None, flags, None)


def _call(function: str, *arguments: bytes | int | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function} failed: {os.strerror(number)}")
