"""The settings that a user can give, as Snakemake's plugin interface wants them.

Snakemake reads these annotations at run time and understands only plain types and `Optional[X]`:
no `X | None`, no postponed annotations, and defaults that JSON can hold (catalog page).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase
from snakemake_interface_storage_plugins.settings import StorageProviderSettingsBase

from .read import values
from .read.patterns import Patterns

if TYPE_CHECKING:
    from .read.facts import Defaults

_ENDPOINT_HELP = (
    "API endpoint, for example https://cavatica-api.sbgenomics.com/v2 (the default). Every Seven "
    "Bridges deployment works. The word 'local' starts the embedded platform on this machine for "
    "the length of the run."
)
_PROFILE_HELP = (
    "Section of ~/.sevenbridges/credentials to take endpoint and token from. Without it the "
    "environment variables SNAKEMAKE_CAVATICA_TOKEN or SB_AUTH_TOKEN (and SB_API_ENDPOINT) are "
    "used, then the section 'cavatica', then 'default'."
)
_PROFILES = ("config*.yaml", "profile*.yaml")


def _setting(
    option: str,
    help_text: str,
    reader: Callable[[Any], Any] = str,
    *,
    default: Any = None,
    may_be_empty: bool = True,
    **more: object,
) -> Any:
    """A setting whose value is read by one of our readers, wherever it was given.

    Snakemake's own way is to call the type: `bool("false")` is True.
    """
    metadata = {"help": help_text, "parse_func": _Reader(option, reader, default, may_be_empty)}
    return field(default=default, metadata=metadata | {"unparse_func": str} | more)


@dataclass(frozen=True)
class _Reader:
    """Reads a setting; what is empty is as good as not given, unless it has to say something."""

    option: str
    read: Callable[[Any], Any]
    default: Any
    may_be_empty: bool

    def __call__(self, value: Any) -> Any:
        if self.may_be_empty and not value.strip():
            return self.default
        try:
            return self.read(value)
        except ValueError as error:
            raise WorkflowError(f"{self.option} {value!r} {error}.") from None


def _without_empty(values: list[str]) -> list[str]:
    return [value for value in values if value.strip()]


def _name(text: str) -> str:
    """Of an empty value in a profile, Snakemake makes the path of the profile's folder."""
    folder = Path(text)
    if folder.is_dir() and any(any(folder.glob(name)) for name in _PROFILES):
        raise ValueError("is the folder of a profile; leave the option out there, if it is empty")
    return text


def _checked_metadata(text: str) -> str:
    values.metadata(text)
    return text


_PATTERNS: dict[str, object] = {
    "nargs": "+",
    "metavar": "PATTERN",
    "parse_func": _without_empty,
    "unparse_func": str,
}

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=True,
    job_deploy_sources=False,
    pass_default_storage_provider_args=False,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False,
    pass_group_args=True,
    # Snakemake leaves staging to the plugin, and asks for no storage provider.
    can_transfer_local_files=True,
)


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Settings of `--executor cavatica`; each is also `--cavatica-<name>`."""

    project: Optional[str] = _setting(
        "--cavatica-project",
        "Project that the tasks run in, as owner/project. Also as environment variable "
        "SNAKEMAKE_CAVATICA_PROJECT.",
        values.project,
        env_var=True,
    )
    api_endpoint: Optional[str] = _setting(
        "--cavatica-api-endpoint",
        _ENDPOINT_HELP,
        env_var=True,
    )
    credentials_profile: Optional[str] = _setting(
        "--cavatica-credentials-profile",
        _PROFILE_HELP,
        env_var=True,
    )
    folder: str = _setting(
        "--cavatica-folder",
        "Folder of the project for what the plugin itself needs: uploaded inputs, "
        "workflow sources and, without a storage provider, the outputs of the tasks.",
        values.folder,
        default="snakemake",
    )
    mode: str = _setting(
        "--cavatica-mode",
        "How jobs run: 'direct' runs a shell rule's command itself in the rule's "
        "container, 'snakemake' starts Snakemake inside the task, 'auto' runs directly "
        "whatever can. Per rule: resource cavatica_mode.",
        partial(values.choice, choices=values.MODES),
        default="auto",
        metavar="|".join(values.MODES),
    )
    inputs: str = _setting(
        "--cavatica-inputs",
        "How inputs get to the path that a command uses: 'link', 'copy', or 'auto', "
        "which copies unless all inputs of a job together are more than --cavatica-copy-up-to. "
        "Copies take time and disk. Per rule: resource cavatica_inputs.",
        partial(values.choice, choices=values.INPUTS),
        default="auto",
        metavar="|".join(values.INPUTS),
    )
    copy_up_to: int = _setting(
        "--cavatica-copy-up-to",
        "GB (billions of bytes) up to which all inputs of a job are copied with "
        "--cavatica-inputs auto. Of more, the large ones are links, and a warning says so.",
        values.whole,
        default=10,
    )
    parcel_up_to: int = _setting(
        "--cavatica-parcel-up-to",
        "MB (millions of bytes) up to which files of this machine travel together: the inputs of "
        "jobs that are ready are uploaded in one file, which their tasks unpack, and the outputs "
        "of a task are downloaded in one. 0: each by itself.",
        values.whole,
        default=1,
    )
    container_image: Optional[str] = _setting(
        "--cavatica-container-image",
        "Image for shell rules without a container of their own. Default: the image "
        "of --container-image, or snakemake/snakemake of this version. Per rule: the "
        "container directive, or resource cavatica_container_image.",
        _name,
    )
    instance_type: Optional[str] = _setting(
        "--cavatica-instance-type",
        "Instance type for every task, for example 'c5.2xlarge;ebs-gp2;2000'. "
        "Default: the platform takes the cheapest that fits threads and mem_mb. Per rule: "
        "resource cavatica_instance_type.",
        _name,
    )
    max_parallel_instances: Optional[int] = _setting(
        "--cavatica-max-parallel-instances",
        "Instances that one task may use at a time. Per rule: resource "
        "cavatica_max_parallel_instances.",
        partial(values.whole, least=1),
    )
    use_memoization: Optional[bool] = _setting(
        "--cavatica-use-memoization",
        "Let the platform reuse results of identical earlier executions. Default: "
        "the project's setting. Per rule: resource cavatica_use_memoization.",
        values.truth,
    )
    use_elastic_disk: Optional[bool] = _setting(
        "--cavatica-use-elastic-disk",
        "Let an instance's disk grow when it fills up (has to be enabled for the "
        "account). Default: the project's setting. Per rule: resource "
        "cavatica_use_elastic_disk.",
        values.truth,
    )
    interruptible: Optional[bool] = _setting(
        "--cavatica-interruptible",
        "Run on spot instances. Default: the project's setting; rules named with "
        "--preemptible-rules use spot instances and fall back to on-demand ones at the last "
        "attempt. Per rule: resource cavatica_interruptible.",
        values.truth,
    )
    output_metadata: Optional[str] = _setting(
        "--cavatica-output-metadata",
        "Metadata to write to every output file, as key=value pairs separated by "
        "commas. Per rule: resource cavatica_output_metadata.",
        _checked_metadata,
    )
    inherit_metadata: Optional[bool] = _setting(
        "--cavatica-inherit-metadata",
        "Give outputs the metadata that all inputs of their job agree on (sample_id and the like); "
        "inputs without any have no say. Per rule: resource cavatica_inherit_metadata.",
        values.truth,
    )
    sources_include: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Patterns of files that are sent along with the workflow, whatever their size "
            "and whether git ignores them or not, relative to the working directory, for example "
            "'resources/*.tsv' or 'lib/**'. Hidden files have to be named with their dot.",
            **_PATTERNS,
        },
    )
    sources_exclude: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Patterns of files that are not sent along with the workflow; a folder stands "
            "for all that is in it. Snakefiles, configuration files and the scripts of rules "
            "cannot be left out.",
            **_PATTERNS,
        },
    )
    sources_max_mb: int = _setting(
        "--cavatica-sources-max-mb",
        "MB (millions of bytes) that may be sent along with the workflow in all; more "
        "is refused. `snakemake-cavatica sources` lists what is sent.",
        partial(values.whole, least=1),
        default=100,
    )
    batch: str = _setting(
        "--cavatica-batch",
        "Batch tasks: 'auto' starts jobs of one rule that are ready together, and "
        "differ only in input files of their own, as the children of one batch task, which "
        "takes two requests for all of them; 'off' starts each job as a task by itself. Per "
        "rule: resource cavatica_batch.",
        partial(values.choice, choices=values.BATCHES),
        default="off",
        metavar="|".join(values.BATCHES),
    )
    pack: int = _setting(
        "--cavatica-pack",
        "Packed tasks: up to so many short jobs of one rule that are ready together "
        "share one task, which runs them side by side on one instance. 1 is a task for each "
        "job. Per rule: resource cavatica_pack.",
        partial(values.whole, least=1),
        default=1,
    )
    memory_retries: int = _setting(
        "--cavatica-memory-retries",
        "How often a job whose task ran out of memory, or of disk, goes again with twice as much, "
        "up to what the largest instance has, before that counts as a failure. Per rule: resource "
        "cavatica_memory_retries.",
        values.whole,
        default=0,
    )
    reuse: bool = field(
        default=False,
        metadata={
            "help": "Take the results of jobs from completed tasks of earlier runs in the project, "
            "by whomever, where command, image, parameters, sources and the content of inputs are "
            "the same and the outputs are still there, instead of running them again. Forced jobs "
            "run. Per rule: resource cavatica_reuse."
        },
    )
    right_size: bool = field(
        default=False,
        metadata={
            "help": "Ask for as much memory as the jobs of a rule have used in earlier runs of "
            "this directory, and a quarter more, where the rule asks for more than that; and for a "
            "disk that holds what theirs did, instead of 1 TB. A job that runs out of either goes "
            "again with what its rule asks for."
        },
    )
    conda: str = _setting(
        "--cavatica-conda",
        "How conda environments are made: 'per-run' by one task for each, whose result "
        "jobs and later runs share, or 'per-task' by each job anew.",
        partial(values.choice, choices=values.CONDA),
        default="per-run",
        metavar="|".join(values.CONDA),
    )
    measure: Optional[bool] = _setting(
        "--cavatica-measure",
        "Whether each task measures what its job takes (time, CPU time, memory, disk, size of "
        "outputs) and tells it by one more output, a short text. It is filled into benchmarks, "
        "too.",
        values.truth,
        default=True,
    )
    check: str = _setting(
        "--cavatica-check",
        "What is checked before the first task: 'auto' plans some jobs of each rule and asks who "
        "pays, in seconds, 'full' does all that `snakemake-cavatica check` does, 'off' nothing. "
        "With --keep-going, what is wrong with a rule is told, and the others run.",
        partial(values.choice, choices=values.CHECKS),
        default="auto",
        metavar="|".join(values.CHECKS),
    )
    detach: bool = field(
        default=False,
        metadata={
            "help": "Leave the tasks running when the run is interrupted (Ctrl-C); the same "
            "command takes them up again. Otherwise they are aborted."
        },
    )
    max_cost: Optional[float] = _setting(
        "--cavatica-max-cost",
        "What the tasks of this run, and of the interrupted ones that it goes on with, may cost "
        "together, in the currency of the platform's prices. When that is reached, no further task "
        "is started, those that run finish, and the run ends; the same command with a higher "
        "amount goes on. Per rule: resource cavatica_max_cost.",
        partial(values.amount, remark="; leave the option out where there is no limit"),
        may_be_empty=False,
    )
    max_cost_abort: bool = field(
        default=False,
        metadata={"help": "Abort the tasks that run when --cavatica-max-cost is reached."},
    )
    trace: Optional[str] = _setting(
        "--cavatica-trace",
        "File for Nextflow's default trace columns, a line for each attempt at a job, written at "
        "the end of the run, also of one that fails.",
        _name,
        metavar="FILE",
    )
    report: Optional[str] = _setting(
        "--cavatica-report",
        "File for a report of the run, HTML that needs nothing else, written at the end of the "
        "run, also of one that fails. `snakemake-cavatica report` makes it later.",
        _name,
        metavar="FILE",
    )
    allow_secret_envvars: bool = field(
        default=False,
        metadata={
            "help": "Write variables of --envvars that look like secrets into the tasks, where "
            "every member of the project can read them."
        },
    )

    @property
    def patterns(self) -> Patterns:
        """What is sent along with the workflow, and what is not, by the user's wish."""
        return Patterns(tuple(self.sources_include), tuple(self.sources_exclude))

    @property
    def defaults(self) -> "Defaults":
        """What holds for every job, as far as the settings say it."""
        from .read.facts import GB, MB, Defaults  # noqa: PLC0415 - not at each start of Snakemake

        return Defaults(
            mode=self.mode,
            inputs=self.inputs,
            copy_up_to=self.copy_up_to * GB,
            parcel_up_to=self.parcel_up_to * MB,
            shell_image=self.container_image or "",
            instance_type=self.instance_type,
            max_parallel_instances=self.max_parallel_instances,
            use_memoization=self.use_memoization,
            use_elastic_disk=self.use_elastic_disk,
            interruptible=self.interruptible,
            output_metadata=self.output_metadata,
            inherit_metadata=bool(self.inherit_metadata),
            batch=self.batch,
            pack=self.pack,
            memory_retries=self.memory_retries,
            reuse=self.reuse or None,
            conda=self.conda,
            measured=self.measure is not False,
        )


@dataclass
class StorageProviderSettings(StorageProviderSettingsBase):
    """Settings of the storage provider; each is also `--storage-cavatica-<name>`.

    What is not given here is taken from the executor's settings, if there are any.
    """

    api_endpoint: Optional[str] = _setting("--storage-cavatica-api-endpoint", _ENDPOINT_HELP)
    credentials_profile: Optional[str] = _setting(
        "--storage-cavatica-credentials-profile", _PROFILE_HELP
    )
