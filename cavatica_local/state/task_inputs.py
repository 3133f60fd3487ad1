"""The inputs of tasks, as their rows have them.

Long texts, such as the scripts that all children of a batch share, are kept once for all tasks: a
row is written again as a whole whenever its status changes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cavatica_local.state.database import Database

_LONG = 1000
"""Characters."""


def stored_inputs(database: Database, inputs: dict[str, Any]) -> str:
    """What the row of a task has of its inputs. Texts stay, also when their last task is gone."""
    short, texts = dict(inputs), {}
    for name, value in inputs.items():
        if isinstance(value, str) and len(value) > _LONG:
            text = json.dumps(value)
            texts[name] = hashlib.sha256(text.encode()).hexdigest()
            database.run("INSERT OR IGNORE INTO texts VALUES (?, ?)", texts[name], text)
            short[name] = None
    return json.dumps([short, texts])


def inputs_of(database: Database, column: str) -> dict[str, Any]:
    """The inputs that a row tells of."""
    inputs: dict[str, Any]
    inputs, texts = json.loads(column)
    for name, digest in texts.items():
        text = database.value("SELECT text FROM texts WHERE digest = ?", digest)
        inputs[name] = json.loads(text)
    return inputs


def with_input(column: str, name: str, value: Any) -> str:
    """The same with another value, that is no text, for one of them."""
    inputs, texts = json.loads(column)
    texts.pop(name, None)
    return json.dumps([{**inputs, name: value}, texts])
