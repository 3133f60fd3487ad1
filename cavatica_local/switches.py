"""Every choice that this server makes where the real platform's behaviour is not known.

The default is the harsher variant: the one that a client is more likely to stumble over. A live run
can settle each of them; `cavatica-local serve --switch name=value` selects another variant.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints


def _switch(
    default: Any, meaning: str, choices: tuple[str, ...] = (), *, evidence: str = "none"
) -> Any:
    metadata = {"meaning": meaning, "choices": choices, "evidence": evidence}
    return field(default=default, metadata=metadata)


_TOLD = ("meaning", "evidence")


@dataclass(frozen=True)
class Switches:
    """One field a choice; its metadata says what it stands for."""

    file_listing_order: str = _switch(
        "id",
        "Order of file listings; no order is documented. `id` is stable but follows neither name "
        "nor age.",
        ("id", "name", "created"),
    )
    task_listing_order: str = _switch(
        "unstable",
        "Order of task listings without `order_by`; `unstable` is another one for each request.",
        ("unstable", "id", "created", "-created"),
        evidence="guide of the provider's Python client: without an order, pages may repeat or "
        "miss tasks",
    )
    task_order_default: str = _switch(
        "asc",
        "Direction for `order_by` without `order`.",
        ("asc", "desc"),
        evidence="API document and R client say `asc`; the Python client's guide says `desc`",
    )
    limit_over_maximum: str = _switch("clamp", "What a `limit` above 100 does.", ("clamp", "error"))
    listing_includes_children: bool = _switch(
        False, "Whether task listings without `parent` include the children of batches."
    )
    rate_limit_call_costs: bool = _switch(
        True, "Whether `GET /rate_limit` itself counts as a request."
    )
    delete_finished_task: bool = _switch(
        False,
        "Whether tasks that are no drafts can be deleted (otherwise 7010).",
        evidence="public scripts delete drafts only",
    )
    task_json_limit: int = _switch(1048576, "Largest body of a task, in bytes.")
    app_json_limit: int = _switch(
        1048576,
        "Largest document of an app, in bytes.",
        evidence="public apps hold 74 kB in one file",
    )
    task_errors_shape: str = _switch(
        "error",
        "The key of the objects in a task's `errors`.",
        ("error", "message"),
        evidence="the provider's Java client reads objects; `error` stands in a test of the Python "
        "client",
    )
    run_answer_status: str = _switch(
        "RUNNING",
        "Status in the answer of the run call itself: the documented example says RUNNING, "
        "although the task is queued first.",
        ("RUNNING", "QUEUED"),
        evidence="documented example; scripts of users accept both",
    )
    status_flap: float = _switch(
        0.25,
        "Share of the running tasks that show QUEUED once more for a moment (documented to happen; "
        "how often is unknown).",
        evidence="documented that it happens, not how often",
    )
    bare_instance_type: bool = _switch(
        False,
        "Whether `execution_settings.instance_type` may be a bare type without disk type and size.",
        evidence="bare types are in use in hints; the Python client's help has types with a disk",
    )
    spot_loss_rate: float = _switch(
        0.0, "Share of tasks on interruptible instances that lose their instance (not documented)."
    )
    spot_retries: int = _switch(
        0,
        "How often a task that lost its spot instance starts again before it fails.",
        evidence="documented: on demand after a loss",
    )
    batch_parent_with_failures: str = _switch(
        "COMPLETED",
        "Final status of a batch parent when some, but not all children failed.",
        ("COMPLETED", "FAILED"),
    )
    batch_creating_delay: float = _switch(
        0.3,
        "Seconds for which a batch is CREATING, and its children are drafts, or not all there yet "
        "(seen as a status; how long it takes is not documented).",
        evidence="the status is documented",
    )
    batch_max_children: int = _switch(1000, "Most children of one batch.")
    batch_non_file_items: bool = _switch(
        False,
        "Whether ITEM batches over lists of strings, numbers or records are allowed.",
        evidence="documented: a list of files",
    )
    batch_missing_metadata: str = _switch(
        "error",
        "A file without the metadata of a CRITERIA batch: a validation error, or a group of its "
        "own.",
        ("error", "group"),
    )
    batch_parent_execution_details: str = _switch(
        "error",
        "Execution details of a batch parent.",
        ("error", "empty"),
        evidence="the Python client has an error for it",
    )
    async_max_items: int = _switch(100, "Most items of one async job.")
    async_delay: float = _switch(0.2, "Seconds before an async job starts to work.")
    bulk_max_items: int = _switch(
        100,
        "Most ids of one bulk call (documented: 100; what happens above is not: 400 here).",
        evidence="documented; the Python client's own limit",
    )
    drs_import_skipped: str = _switch(
        "error",
        "What an import of a DRS object tells of a name that is taken, with SKIP: an error, or the "
        "file that is there.",
        ("error", "existing"),
    )
    output_conflict: str = _switch(
        "prefix",
        "A task's output whose name is taken: stored as `_1_name`, or the task fails.",
        ("prefix", "fail"),
        evidence="a lab's guide: the platform makes a unique name",
    )
    string_outputs: str = _switch(
        "stored",
        "Outputs of an app that are text (`loadContents`, `outputEval`): in the task's `outputs`, "
        "null there, or the app is refused.",
        ("stored", "null", "refused"),
        evidence="CWL has them",
    )
    upload_md5_checked: bool = _switch(
        True,
        "Whether an `md5` given with an upload is compared (documented: only stored).",
        evidence="documented: stored",
    )
    upload_size_checked: bool = _switch(
        True, "Whether a `size` given with an upload has to be that of the parts."
    )
    upload_same_name_conflict: bool = _switch(
        True, "Whether a second open upload of one name is refused (8006)."
    )
    upload_lifetime: float = _switch(86400.0, "Seconds after which an open upload is forgotten.")
    overwrite_keeps_id: bool = _switch(
        False, "Whether an upload with `overwrite` keeps the id of the file that it replaces."
    )
    signed_url_lifetime: float = _switch(900.0, "Seconds for which storage URLs are valid.")
    signed_url_needs_permission: bool = _switch(
        True,
        "Whether a storage URL ceases to work when the user who was given it loses the permission "
        "(those of object stores go on until they expire).",
    )
    secondary_files_picked_up: bool = _switch(
        True,
        "Whether files beside an input that match the port's `secondaryFiles` come along (seen in "
        "third-party practice).",
        evidence="practice of labs",
    )
    container_user: str = _switch(
        "image",
        "Which user a container runs as: that of its image, root, or one that owns nothing. A "
        "server that is not run by root always takes its own user.",
        ("image", "root", "nobody"),
    )
    container_root_writable: bool = _switch(
        False,
        "Whether a container can write elsewhere than in its working directory and /tmp.",
        evidence="the provider's page on Docker and its old open executor have a writable layer",
    )
    container_cwl_variables: bool = _switch(
        False,
        "Whether HOME and TMPDIR are set in a container, as CWL asks.",
        evidence="the provider's old open executor sets them",
    )
    container_entrypoint: bool = _switch(
        True,
        "Whether an image's entrypoint is started, with the command as its arguments (as CWL "
        "says), or ignored.",
        evidence="the provider's old open executor starts it",
    )
    unreadable_project_status: int = _switch(
        404,
        "HTTP status for a project, file, app or task that the user must not see: 404 or 403.",
        evidence="error codes exist for both",
    )


def parse(assignments: list[str]) -> Switches:
    """Build the switches from `name=value` texts, or say in a ValueError which one is wrong."""
    types = get_type_hints(Switches)
    known = {item.name: item for item in fields(Switches)}
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or name not in known:
            raise ValueError(f"unknown switch '{assignment}'; known are: {', '.join(known)}")
        values[name] = _convert(name, text, types[name], known[name].metadata["choices"])
    return Switches(**values)


def _convert(name: str, text: str, kind: type, choices: tuple[str, ...]) -> Any:
    if choices and text not in choices:
        raise ValueError(f"switch {name} is one of {', '.join(choices)}, not '{text}'")
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"switch {name} is true or false, not '{text}'")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"switch {name} needs a {kind.__name__}, not '{text}'") from None


def assumed_values() -> dict[str, str]:
    """The defaults by name, in the order of the table, as the command line writes them."""
    return {item.name: _as_written(item.default) for item in fields(Switches)}


def accepts(assignment: str) -> bool:
    """Whether a `name=value` sets a switch."""
    try:
        parse([assignment])
    except ValueError:
        return False
    return True


def _as_written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def markdown_table() -> str:
    """Render all switches as a Markdown table, for the documentation."""
    lines = [
        "| switch | default | other values | what it stands for | evidence |",
        "| --- | --- | --- | --- | --- |",
    ]
    for item in fields(Switches):
        others = ", ".join(f"`{c}`" for c in item.metadata["choices"] if c != item.default)
        cells = (
            f"`{item.name}`",
            f"`{_as_written(item.default)}`",
            others,
            *map(item.metadata.get, _TOLD),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"
