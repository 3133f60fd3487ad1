"""What is stored is safe from the tasks that read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cavatica_local.platform_serving import UNPROTECTED, Server
from tests.faults.harm import SMALL, Harmful


@pytest.mark.parametrize("within", [(), UNPROTECTED], ids=["read-only", "copied"])
def test_nothing_that_a_task_does_to_its_inputs_reaches_what_is_stored(
    tmp_path: Path, within: tuple[str, ...]
) -> None:
    """Protects the user's files, and all later jobs that read them; also when root runs it."""
    server = Server.start(tmp_path / "root", "--rate-limit", "off", within=within)
    try:
        harmful = Harmful(server, seed=1, sizes=SMALL)
        for _ in range(10):
            assert harmful.round() == []
    finally:
        server.stop()
