"""The software that a job asks for: its container, its conda environments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from .facts import (
    CondaFile,
    Refusal,
)
from .internals import (
    LocalSourceFile,
    conda_file,
    conda_folder,
    deployment_methods,
)
from .snakemake_jobs import kind_of
from .workflow import BESIDE_ENVIRONMENTS


class SoftwareReader:
    """Reads what the jobs of one workflow run in."""

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        self._conda: dict[Any, CondaFile] = {}

    def container(self, job: Any, members: list[Any]) -> str | None:
        """The image that the job names.

        Raises:
            Refusal: a group names several.
        """
        images = {member.container_img_url for member in members}
        if len(images) > 1:
            raise Refusal(
                kind_of(job),
                "its rules name different containers, and a group runs as one task. Give them one "
                "container, or take the group apart.",
            )
        image = images.pop()
        return None if image is None else str(image)

    def conda_files(self, members: list[Any]) -> list[CondaFile]:
        """The environments that Snakemake inside a task would make, always in the same order."""
        if "conda" not in deployment_methods(self._workflow):
            return []
        for member in members:
            if (folder := conda_folder(member)) is not None:
                raise Refusal(
                    member.rule.name,
                    f"its conda environment {folder} is a folder of this machine, which no task "
                    "can see. Name a file that defines it, or an environment of the task's image.",
                )
        specs = {member.conda_env_spec for member in members if conda_file(member) is not None}
        files = [self._conda_file(one) for one in specs]
        return sorted(files, key=lambda file: (file.name, sorted(file.texts.items())))

    def unused(self, members: list[Any]) -> Iterator[str]:
        """Methods that the job's rules count on, and that this run was not asked to use."""
        used = deployment_methods(self._workflow)
        if "conda" not in used and any(member.conda_env_spec for member in members):
            yield "conda"
        if "env-modules" not in used and any(member.env_modules for member in members):
            yield "env-modules"

    def _conda_file(self, spec: Any) -> CondaFile:
        if spec not in self._conda:
            env = spec.get_conda_env(self._workflow)
            texts = {".yaml": env.content.decode()}
            for suffix in BESIDE_ENVIRONMENTS:
                beside = env._get_aux_file(suffix, "")
                if beside is not None:
                    with self._workflow.sourcecache.open(beside, "rb") as file:
                        texts[suffix] = file.read().decode()
            name = str(env.file.get_path_or_uri(secret_free=True))
            if isinstance(env.file, LocalSourceFile):
                name = os.path.relpath(name)
            self._conda[spec] = CondaFile(name, texts)
        return self._conda[spec]
