"""The `fields=` selector, and documents that are rendered field by field.

Documented: a comma-separated allow-list, `!name` for negation, dotted paths into objects, `_all`
for everything when listing; inclusions and exclusions can be mixed. Fields without a value are left
out (the provider's server writes no nulls); what users name, as inputs and outputs, keeps its keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Renderers = Mapping[str, Callable[[Any], Any]]
"""Field name to the function that computes it from whatever the document is made of."""


class Selector:
    """A parsed `fields=` parameter."""

    def __init__(self, text: str | None, default: Iterable[str] | None) -> None:
        tokens = [token.strip() for token in (text or "").split(",") if token.strip()]
        included = [token for token in tokens if not token.startswith("!")]
        self._excluded = [token[1:].split(".") for token in tokens if token.startswith("!")]
        if "_all" in included:
            self._included: list[list[str]] | None = None
        elif included:
            self._included = [token.split(".") for token in included]
        else:
            self._included = None if default is None else [[name] for name in default]

    def render(self, renderers: Renderers, source: Any) -> dict[str, Any]:
        """Compute the selected fields only: a short form costs no more than what it shows."""
        if self._included is None:
            document = {name: compute(source) for name, compute in renderers.items()}
        else:
            document = {}
            for path in self._included:
                if path[0] in renderers:
                    _include(document, path, renderers[path[0]](source))
        for path in self._excluded:
            _exclude(document, path)
        return {name: value for name, value in document.items() if value is not None}


def _include(document: dict[str, Any], path: list[str], value: Any) -> None:
    head, rest = path[0], path[1:]
    if not rest:
        document[head] = value
    elif isinstance(value, dict) and rest[0] in value:
        inner = document.setdefault(head, {})
        _include(inner, rest, value[rest[0]])


def _exclude(document: dict[str, Any], path: list[str]) -> None:
    head, rest = path[0], path[1:]
    if not rest:
        document.pop(head, None)
    elif isinstance(document.get(head), dict):
        document[head] = dict(document[head])
        _exclude(document[head], rest)
