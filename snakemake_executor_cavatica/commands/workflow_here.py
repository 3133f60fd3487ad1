"""What only the workflow itself can say: Snakemake parses it, up to where a run would begin.

With the arguments that the run would have. There, in place of the executor, somebody looks at it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from ..api import CavaticaError, ConfigurationError
from ..coordinator.arguments import Profiles
from ..read.internals import Quietness, snakemake_cli

_EXECUTOR = "cavatica"
_DEEDS = (
    *("touch", "unlock", "delete_all_output", "delete_temp_output", "cleanup_metadata"),
    *("cleanup_shadow", "conda_cleanup_envs", "conda_create_envs_only", "deploy_sources"),
    *("container_cleanup_images", "containerize", "archive", "generate_unit_tests", "report"),
)
"""Arguments that make Snakemake change something instead of running; it must not get that far."""

Found = TypeVar("Found")


@dataclass(eq=False)
class _Looked(BaseException):
    """Leaves Snakemake, which catches every Exception, where a run would begin."""

    found: Any = None
    refusal: CavaticaError | None = None


@dataclass(frozen=True)
class Looked(Generic[Found]):
    """What was seen, and the options as Snakemake understood them."""

    found: Found
    options: Any


def looked_at(
    arguments: Sequence[str],
    look: Callable[[Any], Found],
    *,
    jobs: int | None = 1,
    may_be_dry: bool = True,
    see_options: Callable[[Any], None] = lambda _: None,
) -> Looked[Found] | None:
    """What `look` sees in the workflow; None if Snakemake has failed, and has said why.

    Args:
        jobs: the number of jobs where none is given; without one Snakemake asks for it.
        may_be_dry: whether it does not matter that a dry run is asked for.
        see_options: sees the options before the workflow is parsed, which may ask the platform.

    Raises:
        ConfigurationError: Snakemake is asked for something else than a run.
        CavaticaError: `look` refuses the workflow, or `see_options` the options.
    """
    cli = snakemake_cli()
    registry = ExecutorPluginRegistry()
    original = registry.plugins[_EXECUTOR]
    registry.plugins[_EXECUTOR] = replace(original, executor=_stand_in(look))
    options: Any = None
    try:
        # What the workflow prints is no part of what we say.
        with redirect_stdout(sys.stderr):
            parser, options = cli.parse_args(["--executor", _EXECUTOR, *arguments])
            if any(getattr(options, deed, None) for deed in _DEEDS):
                raise _no_run(arguments)
            if options.dryrun and not may_be_dry:
                raise _no_run(arguments)
            see_options(options)
            options.jobs = options.jobs or jobs
            options.dryrun = False
            options.nolock = True  # nothing is written, so it does not matter who else is there
            options.quiet = set(Quietness) - {Quietness.ALL}
            is_done = cli.args_to_api(options, parser)
    except _Looked as looked:
        if looked.refusal is not None:
            raise looked.refusal from None
        return Looked(looked.found, options)
    except CavaticaError:
        raise
    except Exception as error:  # noqa: BLE001 - some errors of Snakefiles Snakemake fails to tell
        told = error.__context__ or error
        sys.stderr.write(f"{type(told).__name__}: {told}\n")
        return None
    finally:
        registry.plugins[_EXECUTOR] = original
    if is_done:
        raise _no_run(arguments)
    return None


def profiles_of(options: Any) -> Profiles:
    """The profiles that Snakemake has taken for these options, in the same directory."""
    cli = snakemake_cli()
    snakefile = cli.resolve_snakefile(options.snakefile, allow_missing=True)
    wanted = options.workflow_profile or "default"
    places = [Path(wanted), Path("profiles", wanted)]
    if isinstance(snakefile, Path):
        places.append(snakefile.parent / "profiles" / wanted)
    if wanted == "none":
        places = []
    elif not options.workflow_profile:
        places = places[1:]
    of_workflow = next((place for place in places if place.exists()), None)
    found = [_profile_file(name) for name in options.profile or () if name != "none"]
    general = tuple(file for file in found if file is not None)
    return Profiles(general, None if of_workflow is None else _profile_file(str(of_workflow)))


def _profile_file(name: str) -> Path | None:
    found = snakemake_cli().get_profile_dir(name)
    return None if found is None else Path(found[1]).absolute()


def _stand_in(look: Callable[[Any], Any]) -> type:
    class Look:
        """Takes the place of the executor."""

        def __init__(self, workflow: Any, _logger: Any) -> None:
            try:
                found = look(workflow)
            except CavaticaError as error:
                raise _Looked(refusal=error) from None
            raise _Looked(found)

    return Look


def _no_run(arguments: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(
        f"{' '.join(arguments)} asks Snakemake for something else than a run. Give the arguments "
        "that the run would have."
    )
