"""How the commands end: by a status, and by one sentence where something went wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..api import CavaticaError, Stopped
from ..connections import CONNECTIONS

_INTERRUPTED = 130


def exit_status(command: str, work: Callable[[], int]) -> int:
    """Do the work of a command; its status, or that of what ended it, which is told."""
    try:
        return work()
    except Stopped as error:
        status, sentence = _INTERRUPTED, str(error)
    except CavaticaError as error:
        status, sentence = 1, str(error)
    except KeyboardInterrupt:
        status, sentence = _INTERRUPTED, "interrupted"
    finally:
        CONNECTIONS.close()
    sys.stderr.write(f"{command}: {sentence}\n")
    return status
