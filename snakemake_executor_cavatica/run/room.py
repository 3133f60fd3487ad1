"""Whether this machine has room left to write, and what is told where it has none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ..project.fetch_store import INCOMING

_NUMBERS = (errno.ENOSPC, errno.EDQUOT)


def see_room(needed: int) -> None:
    """See that so many bytes can be fetched, to where results arrive and Snakemake keeps its notes.

    Raises:
        OSError: that file system is full. A quota is only met in writing.
    """
    place = next(one for one in (INCOMING, *INCOMING.parents) if one.exists()).absolute()
    stands = os.statvfs(place)
    free = stands.f_bavail if os.geteuid() else stands.f_bfree
    if stands.f_blocks and free * stands.f_frsize <= needed:  # some that cannot tell say 0 of 0
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))


def lack_of_room(error: BaseException | None) -> OSError | None:
    """The error by which a disk was found full, if that is what is behind an error."""
    if not isinstance(error, Exception):
        return None
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return error
    together = error.exceptions if isinstance(error, ExceptionGroup) else ()
    before = None if error.__suppress_context__ else error.__context__
    behind = map(lack_of_room, (error.__cause__ or before, *together))
    return next(filter(None, behind), None)


def no_room(error: OSError) -> str:
    """What is told of a full disk."""
    where = error.filename or Path.cwd()
    return f"this machine has no room left to write ({where}: {error.strerror}). Make room"
