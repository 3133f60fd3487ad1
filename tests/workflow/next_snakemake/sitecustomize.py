"""Shows the plugin, and only the plugin, a Snakemake that lacks names, as coming versions will.

Python imports this at its start where this folder is in PYTHONPATH. The variable NEXT_SNAKEMAKE
says what is different: `moved`, only the place of names, or `gone`, also what there is no more.
"""

from __future__ import annotations

import builtins
import os
from importlib import import_module
from types import ModuleType
from typing import Any

PLUGIN = {
    "snakemake_executor_cavatica",
    "snakemake_executor_plugin_cavatica",
    "snakemake_storage_plugin_cavatica",
}
MOVED = {"snakemake.common.misc": ("snakemake.common", "get_snakemake_searchpaths")}
GONE_MODULES = {"snakemake.deployment.conda"}
GONE_NAMES = {"snakemake.settings.types": {"DeploymentMethod"}}
GONE_OF_JOBS = {"container_img_url", "conda_env_spec", "conda_env"}

_import = builtins.__import__


def _coming(name: str) -> ModuleType:
    """The module as a coming Snakemake has it."""
    module = ModuleType(name)
    if name in MOVED:
        place, moved = MOVED[name]
        setattr(module, moved, getattr(import_module(place), moved))
        return module
    vars(module).update(vars(import_module(name)))
    for place, moved in MOVED.values():
        if name == place:
            delattr(module, moved)
    if os.environ["NEXT_SNAKEMAKE"] == "gone":
        if name in GONE_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        for gone in GONE_NAMES.get(name, ()):
            delattr(module, gone)
        if name == "snakemake.jobs":
            known = vars(module.__dict__["Job"])
            kept = {key for key in known if not key.startswith("_")} - GONE_OF_JOBS
            module.__dict__["Job"] = type("Job", (), {key: known[key] for key in kept})
    return module


def _import_for_all(
    name: str,
    globals: Any = None,  # noqa: A002
    locals: Any = None,  # noqa: A002
    fromlist: Any = (),
    level: int = 0,
) -> Any:
    importer = str((globals or {}).get("__name__")).partition(".")[0]
    if importer in PLUGIN and not level and fromlist and name.partition(".")[0] == "snakemake":
        return _coming(name)
    return _import(name, globals, locals, fromlist, level)


if "NEXT_SNAKEMAKE" in os.environ:
    builtins.__import__ = _import_for_all
