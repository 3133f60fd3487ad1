"""The settings that a user can give, as Snakemake's plugin interface wants them.

Snakemake reads these annotations at run time and understands only plain types and `Optional[X]`:
no `X | None`, no postponed annotations, and defaults that JSON can hold (catalog page).
"""

from dataclasses import dataclass, field
from typing import Optional

from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase
from snakemake_interface_storage_plugins.settings import StorageProviderSettingsBase

from snakemake_executor_cavatica import connection, locks
from snakemake_executor_cavatica.patterns import Patterns

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

    project: Optional[str] = field(
        default=None,
        metadata={
            "help": "Project that the tasks run in, as owner/project. Also as environment variable "
            "SNAKEMAKE_CAVATICA_PROJECT.",
            "env_var": True,
        },
    )
    api_endpoint: Optional[str] = field(
        default=None, metadata={"help": _ENDPOINT_HELP, "env_var": True}
    )
    credentials_profile: Optional[str] = field(
        default=None, metadata={"help": _PROFILE_HELP, "env_var": True}
    )
    folder: str = field(
        default="snakemake",
        metadata={
            "help": "Folder of the project for what the plugin itself needs: uploaded inputs, "
            "workflow sources and, without a storage provider, the outputs of the tasks."
        },
    )
    mode: str = field(
        default="auto",
        metadata={
            "help": "How jobs run: 'direct' runs a shell rule's command itself in the rule's "
            "container, 'snakemake' starts Snakemake inside the task, 'auto' runs directly "
            "whatever can. Per rule: resource cavatica_mode.",
            "choices": ["auto", "direct", "snakemake"],
        },
    )
    inputs: str = field(
        default="auto",
        metadata={
            "help": "How inputs get to the path that a command uses: 'link', 'copy', or 'auto', "
            "which links unless the command names a tool that minds links (tar, rsync, find and "
            "the like). Copies take time and disk. Per rule: resource cavatica_inputs.",
            "choices": ["auto", "link", "copy"],
        },
    )
    container_image: Optional[str] = field(
        default=None,
        metadata={
            "help": "Image for shell rules without a container of their own. Default: the image "
            "of --container-image, or snakemake/snakemake of this version. Per rule: the "
            "container directive, or resource cavatica_container_image."
        },
    )
    instance_type: Optional[str] = field(
        default=None,
        metadata={
            "help": "Instance type for every task, for example 'c5.2xlarge;ebs-gp2;2000'. "
            "Default: the platform takes the cheapest that fits threads and mem_mb. Per rule: "
            "resource cavatica_instance_type."
        },
    )
    max_parallel_instances: Optional[int] = field(
        default=None,
        metadata={
            "help": "Instances that one task may use at a time. Per rule: resource "
            "cavatica_max_parallel_instances."
        },
    )
    use_memoization: Optional[bool] = field(
        default=None,
        metadata={
            "help": "Let the platform reuse results of identical earlier executions. Default: "
            "the project's setting. Per rule: resource cavatica_use_memoization."
        },
    )
    use_elastic_disk: Optional[bool] = field(
        default=None,
        metadata={
            "help": "Let an instance's disk grow when it fills up (has to be enabled for the "
            "account). Default: the project's setting. Per rule: resource "
            "cavatica_use_elastic_disk."
        },
    )
    interruptible: Optional[bool] = field(
        default=None,
        metadata={
            "help": "Run on spot instances. Default: the project's setting; rules named with "
            "--preemptible-rules use spot instances and fall back to on-demand ones at the last "
            "attempt. Per rule: resource cavatica_interruptible."
        },
    )
    output_metadata: Optional[str] = field(
        default=None,
        metadata={
            "help": "Metadata to write to every output file, as key=value pairs separated by "
            "commas. Per rule: resource cavatica_output_metadata."
        },
    )
    sources_include: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Patterns of files that are sent along with the workflow, whatever their size "
            "and whether git ignores them or not, relative to the working directory, for example "
            "'resources/*.tsv' or 'lib/**'. Hidden files have to be named with their dot.",
            "nargs": "+",
            "metavar": "PATTERN",
        },
    )
    sources_exclude: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Patterns of files that are not sent along with the workflow; a folder stands "
            "for all that is in it. Snakefiles, configuration files and the scripts of rules "
            "cannot be left out.",
            "nargs": "+",
            "metavar": "PATTERN",
        },
    )
    sources_max_mb: int = field(
        default=100,
        metadata={
            "help": "MB (millions of bytes) that may be sent along with the workflow in all; more "
            "is refused. `snakemake-cavatica sources` lists what is sent."
        },
    )
    batch: str = field(
        default="off",
        metadata={
            "help": "Batch tasks: 'auto' starts jobs of one rule that are ready together, and "
            "differ only in input files of their own, as the children of one batch task, which "
            "takes two requests for all of them; 'off' starts each job as a task by itself. Per "
            "rule: resource cavatica_batch.",
            "choices": ["off", "auto"],
        },
    )
    pack: int = field(
        default=1,
        metadata={
            "help": "Packed tasks: up to so many short jobs of one rule that are ready together "
            "share one task, which runs them side by side on one instance. 1 is a task for each "
            "job. Per rule: resource cavatica_pack."
        },
    )
    conda: str = field(
        default="per-run",
        metadata={
            "help": "How conda environments are made: 'per-run' by one task for each, whose result "
            "jobs and later runs share, or 'per-task' by each job anew.",
            "choices": ["per-run", "per-task"],
        },
    )
    detach: bool = field(
        default=False,
        metadata={
            "help": "Leave the tasks running when the run is interrupted (Ctrl-C); the same "
            "command takes them up again. Otherwise they are aborted."
        },
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

    def __post_init__(self) -> None:
        locks.remove_stale_lock()
        connection.offer(self.api_endpoint, self.credentials_profile, self.project, self.folder)


@dataclass
class StorageProviderSettings(StorageProviderSettingsBase):
    """Settings of the storage provider; each is also `--storage-cavatica-<name>`.

    What is not given here is taken from the executor's settings, if there are any.
    """

    api_endpoint: Optional[str] = field(
        default=None, metadata={"help": _ENDPOINT_HELP, "env_var": False}
    )
    credentials_profile: Optional[str] = field(
        default=None, metadata={"help": _PROFILE_HELP, "env_var": False}
    )
