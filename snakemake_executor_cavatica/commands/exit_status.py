"""How the commands end: by a status, and by one sentence where something went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper

from ..api import CavaticaError, Stopped
from ..connections import CONNECTIONS
from ..run.room import lack_of_room

WRONG = 1
"""What was asked for could not be done, or found."""
UNFINISHED = 3
"""The run has ended, and not all of its jobs are done."""
NOT_KNOWN = 4
"""It cannot be told how the run stands, or whether tasks have stopped."""
_INTERRUPTED = 130
_UNHEARD = 141
"""Nobody reads what is said any more; as of a program that SIGPIPE ends."""


def exit_status(command: str, work: Callable[[], int]) -> int:
    """Do the work of a command; its status, or that of what ended it, which is told."""
    if isinstance(sys.stdout, TextIOWrapper):
        # Names may hold what the encoding of a terminal does not, or be no text at all.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = work()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _say_no_more()
        return _UNHEARD
    except OSError as error:
        if lack_of_room(error) is None:
            raise
        if error.filename is None:
            _say_no_more()
        status, sentence = WRONG, f"{error.filename or 'the output'} cannot be written: "
        sentence += f"{error.strerror}. Make room, and say it again."
    except Stopped as error:
        status, sentence = _INTERRUPTED, str(error)
    except CavaticaError as error:
        status, sentence = WRONG, str(error)
    except KeyboardInterrupt:
        status, sentence = _INTERRUPTED, "interrupted"
    finally:
        CONNECTIONS.close()
    sys.stderr.write(f"{command}: {sentence}\n")
    return status


def _say_no_more() -> None:
    """Else Python, which writes what is left at the end, would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
