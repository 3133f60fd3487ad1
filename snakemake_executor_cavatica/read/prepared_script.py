"""Prepares a rule's script to run where its language is, but no Snakemake.

A script finds its job in an object `snakemake`, which Snakemake writes into the head of the script.
For R and bash that is done by Snakemake's own code. Its head for Python needs Snakemake to be read;
the one that is written here needs `script_stand_in.py`, which travels with the workflow's sources.
What cannot be told this way is `NeedsSnakemake`: then the job takes Snakemake inside its task.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import FunctionType
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

from ..in_task.names import PLUGINS_FOLDER, SCRIPT_MODULE
from ..project.paths import in_task
from .facts import (
    MAX_SIZE,
    TBD,
    TMPDIR_PLACEHOLDER,
    WORKDIR_PLACEHOLDER,
    Language,
    PreparedScript,
    has_placeholders,
)
from .internals import (
    BashEncoder,
    LocalSourceFile,
    Namedlist,
    Params,
    RScript,
    Snakemake,
    SourceCache,
    SourceFile,
    Wildcards,
    get_script,
    get_snakemake_searchpaths,
    get_source,
)

UNKNOWN_VALUES = "its script is given values that are known only once it runs"
"""Why a script needs Snakemake, as long as inputs of its job are still to be made."""

KEPT = Path(".snakemake/scripts")

_UNREADABLE = (WorkflowError, OSError, ValueError, AttributeError, LookupError, NameError)
"""What Snakemake raises for a script: of the file, or of a wildcard or parameter in its name."""
_JOB = "snakemake_job"
"""What the head calls the stand-in, until the script itself begins."""
_IMPORTS_OBJECT = re.compile(
    r"^[ \t]*from[ \t]+(snakemake\.(?:script|iocontainers))[ \t]+import\b[^\n#]*\bsnakemake\b",
    re.MULTILINE,
)
_HEAD = """\
######## snakemake preamble start (automatically inserted, do not edit) ########
import os, sys; sys.path.append(os.path.abspath({folder!r})); import {module} as {job}
snakemake = {snakemake}
{job}.begin(snakemake, {search_path!r}, {imported!r})
from {module} import Snakemake, logger
__real_file__ = __file__; __file__ = {file}
del {job}
######## snakemake preamble end #########
"""


class NeedsSnakemake(Exception):
    """Why a script cannot be prepared, as a phrase."""


@dataclass(frozen=True)
class ScriptSource:
    """A script as it lies in the workflow."""

    file: SourceFile
    text: str
    language: str | None
    """As Snakemake calls it; None if it does not know the language."""
    path: str | None
    """In a task, from the job's working directory; None if it was fetched from elsewhere."""

    @property
    def folder(self) -> str:
        """What `snakemake.scriptdir` is, with a placeholder for the working directory."""
        if self.path is None:
            return str(self.file.get_basedir().get_path_or_uri(secret_free=True))
        folder = str(Path(self.path).parent)
        return WORKDIR_PLACEHOLDER if folder == "." else f"{WORKDIR_PLACEHOLDER}/{folder}"


def wrapper_file(wrapper: str, prefix: str | None, cache: SourceCache) -> SourceFile:
    """The script of a wrapper directive, found as Snakemake does.

    Raises:
        NeedsSnakemake: it is not found from here.
    """
    file = get_script(wrapper, cache, prefix)
    if isinstance(file, dict):
        raise NeedsSnakemake(f"its wrapper cannot be read here ({'; '.join(file.values())})")
    return file


def read_source(
    file: str | Path | SourceFile,
    basedir: SourceFile | None,
    *,
    wildcards: Wildcards,
    params: Params,
    cache: SourceCache,
    shipped: Callable[[str], str | None],
) -> ScriptSource:
    """Read a script as Snakemake does.

    Args:
        file: as the rule names it, perhaps with wildcards or parameters in the name.
        basedir: what that name is relative to.
        wildcards, params: of the job.
        shipped: where a file of this machine is in a task, from the job's working directory; None
            if it is not there.

    Raises:
        NeedsSnakemake: it cannot be read.
    """
    try:
        path = str(file) if isinstance(file, Path) else file
        found, text, language, *_ = get_source(path, cache, basedir, wildcards, params)
    except _UNREADABLE as error:
        raise NeedsSnakemake(f"its script cannot be read here ({error})") from error
    if not isinstance(found, LocalSourceFile):
        return ScriptSource(found, text, language, None)
    original = _original(found.path, str(cache.runtime_cache_path))
    return ScriptSource(found, text, language, shipped(original) or in_task(original))


def _original(path: str, cache: str) -> str:
    """The file that a path of `workflow.source_path()` is a copy of, if that is on this machine."""
    copies = Path(cache, "file")
    return f"/{Path(path).relative_to(copies)}" if Path(path).is_relative_to(copies) else path


def search_path(shipped: Callable[[str], str | None]) -> list[str]:
    """Where Python looks for modules of the workflow, from the job's working directory.

    Also where its Snakefile has told Python to look. `shipped` is as for `read_source`.
    """
    folders = [Path(folder).resolve() for folder in get_snakemake_searchpaths()]
    installed = [Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)]
    ours = [
        shipped(str(folder))
        for folder in folders
        if not any(folder.is_relative_to(one) for one in installed)
        and "site-packages" not in folder.parts
    ]
    return [".", *(folder for folder in ours if folder is not None)]


def prepare(
    source: ScriptSource, job: Snakemake, *, sources_root: str, search_path: Sequence[str]
) -> PreparedScript:
    """The script with its job in it.

    Args:
        source: the script.
        job: what the script is to see; its `scriptdir` is set here.
        sources_root: of the shipped sources, from the job's working directory.
        search_path: where a Python script looks for modules of the workflow, in the same way.

    Raises:
        NeedsSnakemake: the script needs Snakemake inside the task.
    """
    job.scriptdir = source.folder
    if source.language == "python":
        head = _python_head(source, job, sources_root, search_path)
        language, text = Language.PYTHON, head + source.text
    elif source.language == "r":
        head = _r_head(job)
        language, text = Language.R, head + source.text
    elif source.language == "bash":
        head = _bash_head(job)
        language, text = Language.BASH, head + source.text
    else:
        raise NeedsSnakemake(f"its script is written in {source.language or 'an unknown language'}")
    if TBD in head:
        raise NeedsSnakemake(UNKNOWN_VALUES)
    size = len(json.dumps(text))
    if size > MAX_SIZE:
        raise NeedsSnakemake(
            f"its script and what it is given take {size // 1000} kB, more than a task can hold"
        )
    return PreparedScript(language, source.file.get_filename(), text)


def keep_copy(script: PreparedScript, *, wanted: bool) -> None:
    """Leave a prepared script where Snakemake does so with --skip-script-cleanup, for debugging.

    The folder is there in any case, as after a run of Snakemake's own.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    if wanted:
        digest = hashlib.sha256(script.text.encode("utf-8", "surrogatepass")).hexdigest()
        target = KEPT / f"{digest[:16]}.{script.name}"
        target.write_text(script.text, errors="surrogatepass")


# ------------------------------------------------------------------------------------ R and bash


def _r_head(job: Snakemake) -> str:
    # What no script sees has to be there all the same.
    unseen = ["source", "basedir", "conda_env", "container_img", "singularity_args", "env_modules"]
    unseen += ["bench_record", "jobid", "cleanup_scripts", "shadow_dir"]
    try:
        head = RScript.generate_preamble(
            path=LocalSourceFile(f"{job.scriptdir}/script.R"),
            input_=job.input,
            output=job.output,
            params=job.params,
            wildcards=job.wildcards,
            threads=job.threads,
            resources=job.resources,
            log=job.log,
            config=job.config,
            rulename=job.rule,
            bench_iteration=job.bench_iteration,
            **dict.fromkeys(unseen),
        )
    except (ValueError, TypeError, RecursionError) as error:
        raise NeedsSnakemake(f"its script is given what cannot be told to R ({error})") from error
    return _R_TEXT.sub(lambda match: _r_text(match[0]), head)


_R_TEXT = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
_R_VALUES = {
    repr(TMPDIR_PLACEHOLDER)[1:-1]: 'Sys.getenv("TMPDIR")',
    repr(WORKDIR_PLACEHOLDER)[1:-1]: "getwd()",
}
_R_MARKS = re.compile("(" + "|".join(map(re.escape, _R_VALUES)) + ")")


def _r_text(literal: str) -> str:
    """A text in R, with what is known only in the task."""
    parts = [part for part in _R_MARKS.split(literal[1:-1]) if part]
    if _R_VALUES.keys().isdisjoint(parts):
        return literal
    values = (_R_VALUES.get(part, f"{literal[0]}{part}{literal[0]}") for part in parts)
    return f"paste0({', '.join(values)})"


def _bash_head(job: Snakemake) -> str:
    lists = ["input", "output", "log", "resources", "wildcards", "_params_store"]
    head = BashEncoder(namedlists=lists, dicts=["config"]).encode_snakemake(job)
    # Whatever holds a placeholder is in single quotes.
    head = head.replace(TMPDIR_PLACEHOLDER, "'\"$TMPDIR\"'")
    return head.replace(WORKDIR_PLACEHOLDER, "'\"$PWD\"'") + "\n"


# ---------------------------------------------------------------------------------------- Python


def _python_head(
    source: ScriptSource, job: Snakemake, sources_root: str, search_path: Sequence[str]
) -> str:
    fields = {
        "input": job.input,
        "output": job.output,
        "params": job._params_store,
        "params_types": job._params_types,
        "wildcards": job.wildcards,
        "threads": job.threads,
        "resources": job.resources,
        "log": job.log,
        "config": job.config,
        "rule": job.rule,
        "bench_iteration": job.bench_iteration,
        "scriptdir": job.scriptdir,
    }
    if "report_href" in source.text:
        raise NeedsSnakemake("its script uses snakemake.report_href()")
    try:
        values = ", ".join(f"{name}={_python(value)}" for name, value in fields.items())
    except RecursionError as error:
        raise NeedsSnakemake("its script is given something that holds itself") from error
    here = [] if source.path is None else [str(Path(source.path).parent)]
    uri = source.file.get_path_or_uri(secret_free=True)
    return _HEAD.format(
        folder=f"{sources_root}/{PLUGINS_FOLDER}",
        module=SCRIPT_MODULE,
        job=_JOB,
        snakemake=f"{_JOB}.Snakemake({values})",
        search_path=list(dict.fromkeys([*search_path, *here])),
        imported=sorted(set(_IMPORTS_OBJECT.findall(source.text))),
        file=repr(uri) if source.path is None else f"{_JOB}.path({source.path!r})",
    )


def _python(value: Any) -> str:
    """A value as an expression, the same in every process: it is part of the job's key."""
    if isinstance(value, Namedlist):
        return f"{_JOB}.Namedlist({_python(list(value))}, {dict(value._get_names())!r})"
    if isinstance(value, str) and _is_plain_text(value):
        return _python_text(str(value))
    if isinstance(value, Path):
        return f"{_JOB}.Path({_python_text(str(value))})"
    encode = _PYTHON.get(type(value))
    if encode is not None:
        return encode(value)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return f"{_JOB}.number({value.dtype.str!r}, {_python(value.item())})"
    return _pickled(value)


def _is_plain_text(value: str) -> bool:
    """Whether it is no more than its characters; Snakemake's own kinds are that to a script."""
    return type(value) is str or type(value).__module__.split(".")[0] == "snakemake"


def _python_text(value: str) -> str:
    return f"{_JOB}.filled({value!r})" if has_placeholders(value) else repr(value)


def _members(values: Iterable[Any]) -> str:
    return "".join(f"{_python(value)}, " for value in values)


def _python_dict(value: dict[Any, Any]) -> str:
    return "{" + ", ".join(f"{_python(k)}: {_python(v)}" for k, v in value.items()) + "}"


def _python_set(value: Iterable[Any]) -> str:
    return f"set([{', '.join(sorted(map(_python, value)))}])"


def _python_float(value: float) -> str:
    return repr(value) if math.isfinite(value) else f"float({str(value)!r})"


_PYTHON: dict[type, Callable[[Any], str]] = {
    **dict.fromkeys((type(None), bool, int, bytes, range), repr),
    float: _python_float,
    complex: lambda value: f"complex({_python_float(value.real)}, {_python_float(value.imag)})",
    list: lambda value: f"[{_members(value).removesuffix(', ')}]",
    tuple: lambda value: f"({_members(value).rstrip()})",
    dict: _python_dict,
    OrderedDict: lambda value: f"{_JOB}.OrderedDict({_python(list(value.items()))})",
    set: _python_set,
    frozenset: lambda value: f"frozenset({_python_set(value)})",
}


class _Pickler(pickle.Pickler):
    """Refuses what an image need not have: it would fail there, after a start that is paid."""

    def reducer_override(self, value: Any) -> Any:
        """Called for all but the plainest objects, and for classes and functions."""
        kind = value if isinstance(value, (type, FunctionType)) else type(value)
        if str(kind.__module__).split(".")[0] not in sys.stdlib_module_names:
            raise NeedsSnakemake(_untold(kind))
        return NotImplemented


def _pickled(value: Any) -> str:
    target = BytesIO()
    try:
        # Of protocol 4, which Python 3.6 understands.
        _Pickler(target, protocol=4).dump(value)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise NeedsSnakemake(_untold(type(value))) from error
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    return f"{_JOB}.unpickled({name!r}, {target.getvalue()!r})"


def _untold(kind: Any) -> str:
    return f"its script is given an object of the kind {kind.__module__}.{kind.__qualname__}"
