"""Whether a function of a workflow looks at files, by its code.

A function that reads a file which is not there fails, and Snakemake says `<TBD>` for it. One that
only asks what is there, such as `glob`, or that goes on when a file cannot be read, gives an
answer, which is another one once the job runs.
"""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Iterator
from itertools import pairwise
from types import CodeType, FunctionType, ModuleType
from typing import Any

_LOOKING = frozenset(
    {"glob", "iglob", "rglob", "glob_wildcards", "listdir", "scandir", "walk", "iterdir", "access"}
    | {"exists", "lexists", "isfile", "isdir", "islink", "is_file", "is_dir", "is_symlink"}
    | {"stat", "lstat", "system", "popen", "Popen", "check_output", "getoutput", "suppress"}
)
_EXCEPT = {"CHECK_EXC_MATCH", "CHECK_EG_MATCH"}
"""What `except SomeError:` begins with, and `except*`, after the names of errors."""
_NOT_OF_FILES = frozenset(
    {"KeyError", "IndexError", "LookupError", "ValueError", "TypeError", "AttributeError"}
    | {"NameError", "StopIteration", "ZeroDivisionError", "ArithmeticError", "AssertionError"}
)
_EXCEPT_ALL = ("PUSH_EXC_INFO", "POP_TOP")
"""What `except:` begins with; `finally:` and `with` go on otherwise."""


def looks_at_inputs(function: Any) -> bool:
    """Whether it may look at the inputs of its job, which it is given."""
    try:
        is_given = "input" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        is_given = True
    return is_given and looks_at_files(function)


def looks_at_files(function: Any) -> bool:
    """Whether it, or a function of the workflow that it calls, may; yes if nobody can tell."""
    return any(code is None or _looks(code) for code in _reached(function, set()))


def asks_for_checkpoints(function: Any) -> bool:
    """Whether it, or a function of the workflow that it calls, may; yes if nobody can tell."""
    codes = _reached(inspect.unwrap(function), set())
    return any(code is None or "checkpoints" in _names(code) for code in codes)


def _reached(function: Any, seen: set[CodeType]) -> Iterator[CodeType | None]:
    """Its code, and that of functions of the workflow that it calls; None for what has none."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is None:
        yield None
    elif code not in seen:
        seen.add(code)
        yield code
        for called in _called(function, set(_names(code))):
            yield from _reached(called, seen)


def _looks(code: CodeType) -> bool:
    return not _LOOKING.isdisjoint(_names(code)) or any(map(_catches, _codes(code)))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Itself, and what it defines."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _names(code: CodeType) -> Iterator[str]:
    """All names in it that are not its own, and in what it defines."""
    for one in _codes(code):
        yield from one.co_names


def _catches(code: CodeType) -> bool:
    """Whether it goes on after an error that may be about a file."""
    steps = [step for step in dis.get_instructions(code) if step.opname != "NOP"]
    names = [step.opname for step in steps]
    return _EXCEPT_ALL in pairwise(names) or any(
        not _are_named(steps[:place], _NOT_OF_FILES)
        for place, name in enumerate(names)
        if name in _EXCEPT
    )


def _are_named(steps: list[dis.Instruction], names: frozenset[str]) -> bool:
    """Whether the last of these steps bring one of these names, or a tuple of them."""
    size = 1
    if steps[-1].opname == "BUILD_TUPLE":
        size, steps = steps[-1].arg or 0, steps[:-1]
    return all(step.argval in names for step in steps[-size:])


def _called(function: Any, names: set[str]) -> Iterator[Any]:
    """The functions that it may call, but for those of installed packages."""
    for cell in function.__closure__ or ():
        if isinstance(cell.cell_contents, (FunctionType, functools.partial)):
            yield cell.cell_contents
    values = [function.__globals__.get(name) for name in names]
    modules = [value for value in values if isinstance(value, ModuleType)]
    values += [getattr(module, name, None) for module in modules for name in names]
    for value in values:
        if isinstance(value, FunctionType) and "/lib/python" not in value.__code__.co_filename:
            yield value
