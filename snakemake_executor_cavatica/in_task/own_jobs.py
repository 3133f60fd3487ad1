"""Has Snakemake in a task do the jobs of the task as the main process has planned them, or end.

A job that has other inputs there must not run: it would make something else. Nor may it end because
of other jobs, which are none of this task's. Nothing here may be imported from this package: the
image does not have it.
"""

import functools
import json
from collections.abc import Callable
from typing import Any


def heed_own_jobs_only() -> None:
    """Have Snakemake ask for inputs of the jobs of this task, and of no others.

    It would ask for those of what comes before, too: by `rules.x.output`, and of all of it where
    the workflow has checkpoints. Functions of the workflow would then look for files that are not
    here, and end the job. What comes before is done, whatever it needed: a rule that takes what it
    has made itself, in rounds, would do all of them again if an input is newer here.
    """
    from snakemake.dag import DAG  # noqa: PLC0415 - only in a task
    from snakemake.iocontainers import InputFiles  # noqa: PLC0415
    from snakemake.rules import Rule  # noqa: PLC0415

    def is_own(rule: Any) -> bool:
        allowed = rule.workflow.dag_settings.allowed_rules
        return not allowed or rule.name in allowed

    own: set[str] = set()

    def is_own_job(rule: Any, wildcards: Any) -> bool:
        if not own:
            own.update(_key(*job) for job in rule.workflow.dag_settings.target_jobs)
        return not own or _key(rule.name, wildcards) in own

    expand: Callable[..., Any] = Rule.expand_input
    begin: Callable[..., None] = DAG.__init__

    @functools.wraps(expand)
    def expand_input(self: Any, wildcards: Any, *args: Any, **kwargs: Any) -> Any:
        if is_own(self) and is_own_job(self, wildcards):
            return expand(self, wildcards, *args, **kwargs)
        return InputFiles(), {}, {}, False

    @functools.wraps(begin)
    def init(self: Any, workflow: Any, rules: Any, *args: Any, **kwargs: Any) -> None:
        # What a checkpoint has made is looked up with the help of its job.
        heeded = [rule for rule in rules if rule.is_checkpoint or is_own(rule)]
        begin(self, workflow, heeded, *args, **kwargs)

    setattr(Rule, "expand_input", expand_input)  # noqa: B010 - mypy forbids it otherwise
    setattr(DAG, "__init__", init)  # noqa: B010


def hold_to(jobs: list[Any]) -> None:
    """End the run if a job has not as many inputs as in the main process, and use its params.

    Args:
        jobs: of each job its rule, wildcards and number of inputs, and the params that depend on
            files which are not here, by their places.
    """
    from snakemake.exceptions import WorkflowError  # noqa: PLC0415 - only in a task
    from snakemake.rules import Rule  # noqa: PLC0415

    told = {_key(rule, wildcards): (number, params) for rule, wildcards, number, params in jobs}
    expand_input: Callable[..., Any] = Rule.expand_input
    expand_params: Callable[..., Any] = Rule.expand_params

    def told_of(rule: Any, wildcards: Any) -> Any:
        return told.get(_key(rule.name, wildcards), (None, {}))

    @functools.wraps(expand_input)
    def checked(self: Any, wildcards: Any, *args: Any, **kwargs: Any) -> Any:
        found = expand_input(self, wildcards, *args, **kwargs)
        wanted, _ = told_of(self, wildcards)
        is_incomplete = found[-1]
        if wanted is not None and wanted != len(found[0]) and not is_incomplete:
            raise WorkflowError(
                f"Rule {self.name} has {len(found[0])} inputs in this task, and {wanted} where the "
                "workflow was started: it looks for files that are not in the task. Take their "
                "names from the configuration or a sample sheet, or send the files along with "
                "--cavatica-sources-include."
            )
        return found

    @functools.wraps(expand_params)
    def replaced(self: Any, wildcards: Any, *args: Any, **kwargs: Any) -> Any:
        returned = expand_params(self, wildcards, *args, **kwargs)
        params = returned[0] if isinstance(returned, tuple) else returned
        names = {place: name for name, (place, _) in params._get_names()}
        for place, value in told_of(self, wildcards)[1].items():
            params[int(place)] = value
            if int(place) in names:
                setattr(params, names[int(place)], value)
        return returned

    for name, new in (("expand_input", checked), ("expand_params", replaced)):
        setattr(Rule, name, new)


def _key(rule: str, wildcards: Any) -> str:
    return json.dumps([rule, dict(wildcards or {})], sort_keys=True)
