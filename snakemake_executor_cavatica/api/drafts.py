"""The shapes of what is sent: a task that is to be made. An unknown key is a bug."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .models import FileRef


class Order(BaseModel):
    """A document that we send."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExecutionSettings(Order):
    """How a task runs. `instance_type` is `<type>;<disk type>;<GB>`: c4.2xlarge;ebs-gp2;2000."""

    instance_type: str | list[str] | None = None
    max_parallel_instances: Annotated[int, Field(ge=1)] | None = None
    use_memoization: bool | None = None
    use_elastic_disk: bool | None = None


class BatchBy(Order):
    """How a batch task groups its input: one child per ITEM, or per value of metadata CRITERIA."""

    type: Literal["ITEM", "CRITERIA"]
    criteria: list[str] | None = None


class NodeLocation(Order):
    """Where one output of the app goes."""

    output_location: str


class OutputLocation(Order):
    """Where a task's outputs go: project paths start with `/`, volume paths with `volumes://`."""

    main_location: str | None = None
    nodes_override: bool | None = None
    nodes_location: dict[str, NodeLocation] | None = None


class TaskDraft(Order):
    """The body of POST /tasks (documented). Keys left at None are not sent."""

    project: str
    app: str
    name: str | None = None
    description: str | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)
    execution_settings: ExecutionSettings | None = None
    batch: bool | None = None
    batch_input: str | None = None
    batch_by: BatchBy | None = None
    use_interruptible_instances: bool | None = None
    output_location: OutputLocation | None = None

    def to_body(self) -> dict[str, Any]:
        """The JSON body; `FileRef`s among the inputs are spelled out, nulls among them are kept."""
        body = self.model_dump(mode="python", exclude_none=True, exclude={"inputs"})
        return {**body, "inputs": _plain(self.inputs)}


def _plain(value: Any) -> Any:
    if isinstance(value, FileRef):
        return value.to_value()
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(member) for member in value]
    return value
