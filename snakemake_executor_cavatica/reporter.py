"""The report plugin: `snakemake --reporter cavatica --report-cavatica-path FILE`.

Snakemake imports it at each start, so that what makes the report is imported when there is to be
one. Of what Snakemake hands to it nothing is needed: the record of the newest run tells all.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_report_plugins.reporter import ReporterBase
from snakemake_interface_report_plugins.settings import ReportSettingsBase


@dataclass
class ReportSettings(ReportSettingsBase):
    """Settings of `--reporter cavatica`; each is also `--report-cavatica-<name>`."""

    path: Optional[Path] = field(
        default=None,
        metadata={
            "help": "File for the report of the newest run with --executor cavatica in the "
            "working directory: HTML that needs nothing else.",
            "required": True,
        },
    )

    def __post_init__(self) -> None:
        if self.path is not None:
            self.path = Path(self.path).absolute()  # a workflow may change the directory


class Reporter(ReporterBase):
    """Makes the report of the newest run."""

    settings: ReportSettings

    def render(self) -> None:
        """Called once the workflow is known; nothing is run then."""
        from .api.errors import CavaticaError  # noqa: PLC0415 - not at each start of Snakemake
        from .observe.record import find_record, read_record  # noqa: PLC0415
        from .observe.report.document import write_report  # noqa: PLC0415

        assert self.settings.path is not None
        try:
            write_report(read_record(find_record(Path.cwd())), self.settings.path)
        except CavaticaError as error:
            raise WorkflowError(str(error)) from error
