"""Snakemake's own shared test bases for plugins, unmodified: executor and storage provider."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest
import snakemake.common.tests
from snakemake_interface_common.plugin_registry.plugin import TaggedSettings
from snakemake_interface_storage_plugins.tests import TestStorageBase
from workflow_runs import Platform

from snakemake_executor_cavatica.connections import CONNECTIONS
from snakemake_executor_cavatica.plugins import ExecutorSettings
from snakemake_executor_cavatica.settings import StorageProviderSettings
from snakemake_executor_cavatica.storage import StorageProvider

pytestmark = pytest.mark.always


@pytest.fixture(autouse=True)
def _connected(platform: Platform, monkeypatch: pytest.MonkeyPatch, request) -> None:
    """Credentials as a user gives them; Snakemake runs in this very process here."""
    monkeypatch.setenv("SB_API_ENDPOINT", platform.endpoint)
    monkeypatch.setenv("SB_AUTH_TOKEN", platform.token)
    monkeypatch.chdir(Path.cwd())  # Snakemake changes into the workflow's directory
    request.instance.platform = platform
    yield
    CONNECTIONS.close()


class TestExecutorWithLocalFiles(snakemake.common.tests.TestWorkflowsLocalStorageBase):
    __test__ = True
    platform: Platform

    def get_executor(self) -> str:
        return "cavatica"

    def get_executor_settings(self) -> ExecutorSettings:
        return ExecutorSettings(project=self.platform.project)

    def get_assume_shared_fs(self) -> bool:
        return False


class TestExecutorWithCavaticaStorage(snakemake.common.tests.TestWorkflowsBase):
    __test__ = True
    platform: Platform

    def get_executor(self) -> str:
        return "cavatica"

    def get_executor_settings(self) -> ExecutorSettings:
        return ExecutorSettings(project=self.platform.project)

    def get_default_storage_provider(self) -> str:
        return "cavatica"

    def get_default_storage_prefix(self) -> str:
        return f"cavatica://{self.platform.project}/base-{uuid.uuid4().hex}"

    def get_default_storage_provider_settings(self) -> Mapping[str, TaggedSettings]:
        settings = TaggedSettings()
        settings.register_settings(StorageProviderSettings())
        return {"cavatica": settings}

    def get_assume_shared_fs(self) -> bool:
        return False


class TestStorageProvider(TestStorageBase):
    __test__ = True
    touch = True
    files_only = False
    platform: Platform

    def get_query(self, tmp_path) -> str:
        return f"cavatica://{self.platform.project}/storage-base/{tmp_path.name}/a file.txt"

    def get_query_not_existing(self, tmp_path) -> str:
        return f"cavatica://{self.platform.project}/storage-base/nothing here"

    def get_storage_provider_cls(self) -> type[StorageProvider]:
        return StorageProvider

    def get_storage_provider_settings(self) -> StorageProviderSettings:
        return StorageProviderSettings()
