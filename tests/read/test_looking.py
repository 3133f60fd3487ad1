"""Which functions of a workflow ask what files there are."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_cavatica.read import parsing
from snakemake_executor_cavatica.read.looking import (
    asks_for_checkpoints,
    looks_at_files,
    looks_at_inputs,
)


def _helper(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110


def _goes_on(_: Any, input: list[str]) -> str:  # noqa: A002
    try:
        return Path(input[0]).read_text()
    except FileNotFoundError:
        return ""


def _goes_on_anyhow(_: Any, input: list[str]) -> str:  # noqa: A002
    try:
        return Path(input[0]).read_text()
    except:  # noqa: E722
        return ""


def _suppresses(_: Any, input: list[str]) -> str:  # noqa: A002
    with contextlib.suppress(OSError):
        return Path(input[0]).read_text()
    return ""


def _lacks_a_sample(wildcards: dict[str, Any], input: list[str]) -> str:  # noqa: A002
    try:
        return str(wildcards["sample"])
    except KeyError:
        return input[0]
    except (ValueError, TypeError) as error:
        return str(error)


def _goes_on_for_several(_: Any, input: list[str]) -> str:  # noqa: A002
    try:
        return Path(input[0]).read_text()
    except (KeyError, OSError):
        return ""


def _closes(_: Any, input: list[str]) -> str:  # noqa: A002
    file = open(input[0])  # noqa: PTH123, SIM115
    try:
        with file:
            return next(line for line in file)
    finally:
        file.close()


def _calls_itself(path: str) -> str:
    return _calls_itself(path[1:]) if path else ""


def _outer(inner: Callable[[str], bool]) -> Callable[..., Any]:
    return lambda _, input: inner(input[0])  # noqa: A006


class _Called:
    def __call__(self, *_: Any) -> str:
        return ""


LOOKING: dict[str, Any] = {
    "glob": lambda _, input: glob.glob(input[0] + "/*"),  # noqa: A006, PTH207
    "method": lambda _, input: list(Path(input[0]).iterdir()),  # noqa: A006
    "within": lambda _, input: [one for one in input if os.path.isdir(one)],  # noqa: A006, PTH112
    "helper": lambda _, input: _helper(input[0]),  # noqa: A006
    "closure": _outer(_helper),
    "partial": functools.partial(_helper),
    "object": _Called(),
    "builtin": os.listdir,
    "except": _goes_on,
    "bare except": _goes_on_anyhow,
    "except in helper": _outer(lambda path: bool(_goes_on(None, [path]))),
    "except several": _goes_on_for_several,
    "suppress": _suppresses,
}
BLIND: dict[str, Any] = {
    "text": lambda _, input: input[0].rpartition(".")[0],  # noqa: A006
    "run": lambda wildcards: wildcards.run,
    "reads": lambda _, input: open(input[0]).read(),  # noqa: A006, PTH123, SIM115
    "closes": _closes,
    "other errors": _lacks_a_sample,
    "names": lambda _, input: os.path.basename(input[0]),  # noqa: A006, PTH119
    "recursive": lambda _, input: _calls_itself(input[0]),  # noqa: A006
}


@pytest.mark.parametrize("name", LOOKING)
def test_a_function_that_may_look_is_known(name: str) -> None:
    assert looks_at_files(LOOKING[name])


@pytest.mark.parametrize("name", BLIND)
def test_a_function_that_only_tells_or_reads_does_not_count(name: str) -> None:
    """One that reads what is not there fails, which Snakemake tells by itself."""
    assert not looks_at_files(BLIND[name])


def test_only_a_function_that_is_given_the_inputs_looks_at_them() -> None:
    assert looks_at_inputs(_goes_on)
    assert looks_at_inputs(functools.partial(_goes_on))
    assert not looks_at_inputs(lambda wildcards: glob.glob(f"{wildcards}*"))  # noqa: PTH207
    assert not looks_at_inputs(_closes)


def test_who_asks_for_checkpoints_is_seen_by_the_functions_that_are_called() -> None:
    names: dict[str, Any] = {}
    exec(  # where the functions of a workflow have their names from
        "def asks(w): return checkpoints.decide.get().output[0]\n"
        "def calls(w): return len(asks(w))\n"
        "def grows(w, attempt): return 1000 * attempt\n",
        names,
    )
    assert asks_for_checkpoints(names["calls"])
    assert asks_for_checkpoints(functools.wraps(names["calls"])(lambda *_: 1))
    assert not asks_for_checkpoints(names["grows"])
    assert not asks_for_checkpoints(functools.partial(names["grows"], attempt=2))


def test_what_the_plugin_starts_is_not_what_the_workflow_starts() -> None:
    """Protects from a warning of programs that no workflow starts, where it is developed."""
    assert parsing.is_installed(Path(parsing.__file__))
    assert not parsing.is_installed(Path(__file__))
