"""Whether a function of a workflow looks at files, by the names in its code.

A function that reads a file which is not there fails, and Snakemake says `<TBD>` for it. One that
only asks what is there, such as `glob`, gives an answer, which is another one once the job runs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

_LOOKING = frozenset(
    {"glob", "iglob", "rglob", "glob_wildcards", "listdir", "scandir", "walk", "iterdir", "access"}
    | {"exists", "lexists", "isfile", "isdir", "islink", "is_file", "is_dir", "is_symlink"}
    | {"stat", "lstat", "system", "popen", "Popen", "check_output", "getoutput"}
)


def looks_at_files(function: Any) -> bool:
    """Whether it, or a function of the workflow that it calls, may; yes if nobody can tell."""
    return _looks(function, set())


def _looks(function: Any, seen: set[CodeType]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is None:
        return True
    if code in seen:
        return False
    seen.add(code)
    names = set(_names(code))
    return not names.isdisjoint(_LOOKING) or any(
        _looks(called, seen) for called in _called(function, names)
    )


def _names(code: CodeType) -> Iterator[str]:
    """All names in it that are not its own, and in what it defines."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


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
