"""The files that travel into tasks."""

from __future__ import annotations

from snakemake_executor_cavatica.in_task.names import TAG
from snakemake_executor_cavatica.in_task.texts import functions, functions_for_packed_jobs
from tests.__main__ import CHECKS, IN_TASK, ROOT


def test_each_line_that_the_functions_write_begins_with_the_tag() -> None:
    assert f"printf '{TAG} %s\\n'" in functions()
    assert "@" not in (functions() + functions_for_packed_jobs()).replace('"$@"', "")


def test_all_shell_files_are_checked() -> None:
    files = {str(path.relative_to(ROOT)) for path in (ROOT / IN_TASK).glob("*.sh")}
    assert files == set(CHECKS["shell"][1:])
