"""What the server itself has to read in a CWL document: its ports, their types, its resources.

Pure functions on plain values; cwltool is not loaded here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_REFERENCE = re.compile(r"^\$\(inputs\.([A-Za-z0-9_]+)\)$")
_SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "int": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
}


@dataclass(frozen=True)
class Port:
    """An input or output of an app."""

    id: str
    type: Any
    """Normalised: a name, a list (union), or an object of type array, record or enum."""
    default: Any = None
    secondary_files: tuple[str, ...] = ()
    glob: Any = None

    @property
    def optional(self) -> bool:
        """Whether null is a value for it."""
        return self.type == "null" or (isinstance(self.type, list) and "null" in self.type)

    @property
    def alternatives(self) -> list[Any]:
        """The types other than null."""
        kinds = self.type if isinstance(self.type, list) else [self.type]
        return [kind for kind in kinds if kind != "null"]


def main_process(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The process that a task runs: the document, or `#main` of its `$graph`."""
    graph = document.get("$graph")
    if not isinstance(graph, list):
        return document
    processes = [item for item in graph if isinstance(item, dict)]
    for process in processes:
        if str(process.get("id", "")).lstrip("#") == "main":
            return process
    return processes[0] if processes else {}


def input_ports(document: Mapping[str, Any]) -> dict[str, Port]:
    """The inputs of an app by id."""
    return _ports(main_process(document), "inputs")


def output_ports(document: Mapping[str, Any]) -> dict[str, Port]:
    """The outputs of an app by id."""
    return _ports(main_process(document), "outputs")


def _ports(process: Mapping[str, Any], key: str) -> dict[str, Port]:
    named = _named_types(process)
    ports = {}
    for port_id, body in _entries(process.get(key)):
        name = port_id.rpartition("/")[2].lstrip("#")
        binding = body.get("outputBinding")
        ports[name] = Port(
            id=name,
            type=_normalise(body.get("type"), named),
            default=body.get("default"),
            secondary_files=tuple(_secondary(body.get("secondaryFiles"))),
            glob=binding.get("glob") if isinstance(binding, dict) else None,
        )
    return ports


def _entries(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ports are written as a list of objects with an id, or as an object of bodies or types."""
    if isinstance(value, dict):
        for name, body in value.items():
            yield str(name), body if isinstance(body, dict) else {"type": body}
    elif isinstance(value, list):
        for body in value:
            if isinstance(body, dict) and "id" in body:
                yield str(body["id"]), body


def _named_types(process: Mapping[str, Any]) -> dict[str, Any]:
    named = {}
    for requirement in requirements(process):
        if requirement.get("class") == "SchemaDefRequirement":
            for kind in requirement.get("types") or []:
                if isinstance(kind, dict) and "name" in kind:
                    named[str(kind["name"]).lstrip("#")] = kind
    return named


def requirements(process: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Requirements, then hints, each as an object with a class."""
    found = []
    for key in ("requirements", "hints"):
        value = process.get(key)
        if isinstance(value, dict):
            found += [
                {"class": name, **body} for name, body in value.items() if isinstance(body, dict)
            ]
        elif isinstance(value, list):
            found += [body for body in value if isinstance(body, dict)]
    return found


def _normalise(kind: Any, named: Mapping[str, Any]) -> Any:
    if isinstance(kind, list):
        flat: list[Any] = []
        for item in kind:
            one = _normalise(item, named)
            flat += one if isinstance(one, list) else [one]
        return flat
    if isinstance(kind, str):
        return _normalise_name(kind, named)
    if isinstance(kind, dict):
        if kind.get("type") == "array":
            return {"type": "array", "items": _normalise(kind.get("items"), named)}
        if kind.get("type") == "record":
            fields = {}
            for name, body in _record_fields(kind.get("fields")):
                fields[name] = _normalise(body, named)
            return {"type": "record", "fields": fields}
        return kind
    return "Any"


def _normalise_name(kind: str, named: Mapping[str, Any]) -> Any:
    if kind.endswith("?"):
        inner = _normalise(kind[:-1], named)
        return ["null", *(inner if isinstance(inner, list) else [inner])]
    if kind.endswith("[]"):
        return {"type": "array", "items": _normalise(kind[:-2], named)}
    if kind.lstrip("#") in named:
        return _normalise(named[kind.lstrip("#")], {})
    if kind in ("stdout", "stderr"):
        return "File"
    return kind


def _record_fields(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, body in value.items():
            yield name, body.get("type") if isinstance(body, dict) else body
    elif isinstance(value, list):
        for body in value:
            if isinstance(body, dict):
                yield str(body.get("name")).rpartition("/")[2], body.get("type")


def _secondary(value: Any) -> Iterator[str]:
    """Secondary file patterns that are plain text; expressions cannot be matched before a run."""
    for item in value if isinstance(value, list) else [value]:
        pattern = item.get("pattern") if isinstance(item, dict) else item
        if isinstance(pattern, str) and "$(" not in pattern and "${" not in pattern:
            yield pattern.rstrip("?")


def secondary_name(name: str, pattern: str) -> str:
    """The name that a secondary file pattern makes of a primary file's name."""
    while pattern.startswith("^"):
        pattern = pattern[1:]
        stem, dot, _ = name.rpartition(".")
        name = stem if dot and stem else name
    return name + pattern


def type_name(kind: Any) -> str:
    """A type as a person would write it."""
    if isinstance(kind, list):
        return " or ".join(type_name(item) for item in kind)
    if isinstance(kind, dict):
        if kind.get("type") == "array":
            return f"list of {type_name(kind['items'])}"
        return str(kind.get("type"))
    return str(kind)


def mismatch(
    value: Any, kind: Any, check_file: Callable[[dict[str, Any], str], str | None]
) -> str | None:
    """Why a value is not of a type, or None if it is. `check_file` judges files and folders."""
    if isinstance(kind, list):
        reasons = [mismatch(value, item, check_file) for item in kind]
        if any(reason is None for reason in reasons):
            return None
        return next(
            (r for r in reasons if r and r.startswith("file ")), f"is not {type_name(kind)}"
        )
    if isinstance(kind, dict):
        return _compound_mismatch(value, kind, check_file)
    if kind == "Any":
        return None if value is not None else "is missing"
    if kind == "null":
        return None if value is None else "is not null"
    if kind in ("File", "Directory"):
        if not isinstance(value, dict) or value.get("class") != kind:
            return f"is not a {kind} object"
        return check_file(value, kind)
    accepted = _SCALARS.get(kind)
    if accepted is None:
        return f"has the unknown type {kind}"
    if isinstance(value, bool) and kind != "boolean":
        return f"is not of type {kind}"
    return None if isinstance(value, accepted) else f"is not of type {kind}"


def _compound_mismatch(
    value: Any, kind: dict[str, Any], check_file: Callable[[dict[str, Any], str], str | None]
) -> str | None:
    if kind.get("type") == "array":
        if not isinstance(value, list):
            return f"is not a {type_name(kind)}"
        reasons = (mismatch(item, kind["items"], check_file) for item in value)
        return next((reason for reason in reasons if reason), None)
    if kind.get("type") == "enum":
        symbols = [str(s).rpartition("/")[2].rpartition("#")[2] for s in kind.get("symbols") or []]
        return None if value in symbols else f"is not one of {', '.join(symbols)}"
    if not isinstance(value, dict):
        return "is not an object"
    for name, field_type in kind["fields"].items():
        if reason := mismatch(value.get(name), field_type, check_file):
            return f"{reason} (field {name})"
    return None


def unpacked_parts(node: Any) -> list[str]:
    """References to other documents: apps have to be packed (as the provider's packer does)."""
    found: list[str] = []
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("$import", "$include", "$mixin"):
                found.append(f"{key}: {value}")
            elif key == "run" and isinstance(value, str) and not value.startswith("#"):
                found.append(f"run: {value}")
            else:
                found += unpacked_parts(value)
    elif isinstance(node, list):
        for item in node:
            found += unpacked_parts(item)
    return found


def steps_total(document: Mapping[str, Any]) -> int:
    """How many steps a task of this app has."""
    process = main_process(document)
    steps = process.get("steps") if process.get("class") == "Workflow" else None
    return len(steps) if isinstance(steps, (list, dict)) and steps else 1


@dataclass(frozen=True)
class Demand:
    """What one task asks of a machine."""

    cores: float = 1
    ram: float = 1024
    """MiB."""


def demand(document: Mapping[str, Any], inputs: Mapping[str, Any]) -> Demand:
    """Cores and memory of an app with these inputs: the largest of its processes.

    Documented: if minimum and maximum are given, the minimum counts; if only one is given, that
    one. Expressions other than a plain reference to an input count as not given.
    """
    largest = Demand()
    ports = input_ports(document)
    for process in _processes(document):
        for requirement in requirements(process):
            if requirement.get("class") == "ResourceRequirement":
                cores = _resource(requirement, "cores", inputs, ports) or 1
                ram = _resource(requirement, "ram", inputs, ports) or 1024
                largest = Demand(max(largest.cores, cores), max(largest.ram, ram))
    return largest


def mostly_waits(document: Mapping[str, Any]) -> bool:
    """Whether a tool says by a hint that it waits for other tasks nearly all of its time.

    Other platforms ignore the hint: there such a task has a machine of its own.
    """
    hints = requirements(main_process(document))
    return any(str(one.get("class", "")).rpartition(":")[2] == "MostlyWaits" for one in hints)


def _processes(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, dict):
        if "class" in node and ("inputs" in node or "steps" in node):
            yield node
        for key in ("$graph", "steps", "run"):
            yield from _processes(node.get(key))
        if "class" not in node and "$graph" not in node:
            for value in node.values():
                yield from _processes(value)
    elif isinstance(node, list):
        for item in node:
            yield from _processes(item)


def _resource(
    requirement: Mapping[str, Any],
    name: str,
    inputs: Mapping[str, Any],
    ports: Mapping[str, Port],
) -> float | None:
    for key in (f"{name}Min", f"{name}Max"):
        value = requirement.get(key)
        if isinstance(value, str) and (match := _REFERENCE.match(value.strip())):
            value = inputs.get(match[1])
            if value is None and match[1] in ports:
                value = ports[match[1]].default
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return None


def hint(document: Mapping[str, Any], *classes: str) -> Any:
    """The value of the first hint of one of these classes on the main process."""
    for requirement in requirements(main_process(document)):
        if requirement.get("class") in classes:
            return requirement.get("value")
    return None


def resolve_glob(glob: Any, inputs: Mapping[str, Any], fallback: str) -> str:
    """A file name for an output's glob, without running anything: for the simulation."""
    if isinstance(glob, list):
        glob = glob[0] if glob else None
    if not isinstance(glob, str):
        return fallback
    if match := _REFERENCE.match(glob):
        value = inputs.get(match[1])
        glob = value if isinstance(value, str) else fallback
    if "$(" in glob or "${" in glob:
        return fallback
    return re.sub(r"[*?]", "simulated", glob).strip("/").rpartition("/")[2] or fallback
