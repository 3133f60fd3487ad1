"""The check at the start of a run: what cannot work is refused before anything is made for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from .checks import check_all, check_quickly
from .finding import CheckFailed, Finding, NotChecked, as_one_message, without_repetition
from .subject import Subject


def check_at_start(subject: Subject, extent: str, logger: logging.Logger) -> None:
    """Check a run that is about to begin.

    With `--keep-going`, a rule that cannot run keeps no other one from it.

    Raises:
        CheckFailed: something cannot work.
    """
    if extent == "off":
        return
    try:
        findings = check_quickly(subject) if extent == "auto" else check_all(subject).findings
    except NotChecked as error:
        logger.warning(f"The run could not be checked before it began: {error}")
        return
    keeps_going = subject.workflow.execution_settings.keep_going
    told, refused = _parted(findings, keeps_going=keeps_going)
    for sentence in without_repetition(told):
        logger.warning(sentence)
    if refused:
        raise CheckFailed(as_one_message(refused))


def _parted(
    findings: Sequence[Finding], *, keeps_going: bool
) -> tuple[list[Finding], list[Finding]]:
    """What is only told, and what the run is refused for."""
    refused = [one for one in findings if one.is_problem and not (keeps_going and one.rule)]
    return [one for one in findings if one not in refused], refused
