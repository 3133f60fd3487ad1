"""A logger plugin that writes down the states of remote jobs, as executors tell them."""

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    file: str = field(default="states.jsonl", metadata={"help": "Where they go, as JSON lines."})


class LogHandler(LogHandlerBase):
    def __post_init__(self) -> None:
        assert isinstance(self.settings, LogHandlerSettings)
        self.baseFilename = self.settings.file

    def emit(self, record: logging.LogRecord) -> None:
        state = getattr(record, "remote_job_state", None)
        if state is not None:
            with Path(self.baseFilename).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(state) + "\n")

    @property
    def writes_to_stream(self) -> bool:
        return False

    @property
    def writes_to_file(self) -> bool:
        return True

    @property
    def has_filter(self) -> bool:
        return True

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False
