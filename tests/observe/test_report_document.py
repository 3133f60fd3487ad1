"""The report's text: all that is told is there, as text and as nothing else."""

from __future__ import annotations

import html.parser
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attempts import BEGAN, attempt, run

from snakemake_executor_cavatica.observe.entries import Attempt, Run, Status
from snakemake_executor_cavatica.observe.record import Record
from snakemake_executor_cavatica.observe.report import document
from snakemake_executor_cavatica.observe.report.document import (
    NoReport,
    check_possible,
    report,
    write_report,
)
from snakemake_executor_cavatica.observe.report.failures import MOST_SHOWN
from snakemake_executor_cavatica.translate.measured import Measured
from tests.made_runs import made_run

EVIL = "</script><script>evil()</script><img src=x onerror=evil()>\"'&<!--{{ evil }}"
MEASURED = Measured(wall_seconds=90, cpu_seconds=99, peak_memory_mib=314, exit_status=0)


class Elements(html.parser.HTMLParser):
    """What a document consists of, as a browser would see it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        if tag == "script":
            self.scripts.append("")
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(f"{tag} {name}")
            if name in ("src", "href", "srcset", "action", "data"):
                self.addresses.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.words))

    @property
    def data(self) -> Any:
        return json.loads(self.scripts[0])


def record(*attempts: Attempt, **of_run: Any) -> Record:
    return Record(Path("/work/.snakemake/cavatica/runs/x"), (run(**of_run),), attempts)


def made(*attempts: Attempt, **of_run: Any) -> Elements:
    return Elements(report(record(*attempts, **of_run)))


def section(elements: Elements, begin: str, end: str) -> str:
    return elements.text.rpartition(f" {begin} ")[2].partition(f" {end} ")[0]


def test_no_name_and_no_stderr_becomes_markup_or_script() -> None:
    evil = attempt(
        rule=EVIL,
        wildcards={EVIL: EVIL},
        status=Status.FAILED,
        reason=EVIL,
        message=f"{EVIL}\n{EVIL}",
        stderr_end=EVIL,
        page=f"javascript:{EVIL}",
        task=EVIL,
        app=EVIL,
        image=EVIL,
        instance=EVIL,
        currency=EVIL,
        kind=EVIL,
        run=EVIL,
    )
    texts = ("id", "command", "directory", "snakemake", "plugin", "endpoint", "project", "place")
    graph = f"digraph {{{json.dumps(EVIL)}; {json.dumps(EVIL)} -> {json.dumps(EVIL + 'b')}}}"
    odd: Run = replace(run(), graph=graph, outcome=EVIL, **dict.fromkeys(texts, EVIL))
    text = report(Record(Path(f"/{EVIL}"), (odd, odd), (evil,), (EVIL,)))
    elements = Elements(text)
    assert len(elements.scripts) == 3, "the data, Vega, and the report's own"
    assert elements.handlers == []
    assert all(one.startswith(("#", "data:image/svg+xml,")) for one in elements.addresses)
    assert elements.data["columns"]["title"] == [evil.title]
    assert elements.data["columns"]["page"] == [None]
    assert " ".join(EVIL.split()) in elements.text
    assert "<" not in elements.scripts[0]


def test_no_address_is_asked_for() -> None:
    text = report(made_run(30))
    elements = Elements(text)
    linked = [one for one in elements.addresses if not one.startswith(("#", "data:"))]
    assert linked
    assert all(one.startswith("https://cavatica.sbgenomics.com/u/") for one in linked)
    assert not re.search(r"<(?:link|img|iframe|object)[^>]+(?:src|href)=\"http", text)
    assert "default-src &#39;none&#39;" in text


def test_a_page_that_is_no_web_address_is_no_link() -> None:
    data = made(attempt(1, page="file:///etc/passwd"), attempt(2, page="https://x/y")).data
    assert data["columns"]["page"] == [None, "https://x/y"]


# ----------------------------------------------------------------------------- what is told


def test_what_is_not_known_is_told_as_that() -> None:
    bare = attempt(
        1,
        submitted=None,
        queued=None,
        started=None,
        ended=None,
        price=None,
        cores=None,
        memory_mib=None,
        task=None,
    )
    elements = made(bare, graph="", ended=None, outcome="")
    assert "The run goes on, or was ended from outside" in elements.text
    assert "The record does not tell the workflow's graph." in elements.text
    assert "was not measured, so nothing can be said" in elements.text
    assert "No attempt has failed." in elements.text
    assert elements.data["boxes"] == {}
    assert elements.data["columns"]["bar"] == [None]


def test_failures_say_why_and_what_to_do_and_where_to_look() -> None:
    failed = attempt(
        1,
        status=Status.FAILED,
        reason="out_of_memory",
        message="align [sample=S1]: it ran out of memory. Give the rule more mem_mb.\nTask: x",
        stderr_end="Killed\n",
        page="https://x/u/a/b/tasks/1",
    )
    elements = made(failed, attempt(2))
    told = section(elements, "Failures", "Resources that would do")
    assert told.startswith("1 out of memory align [sample=S1] out of memory")
    assert "It ran out of memory. Give the rule more mem_mb." in told
    assert "Killed" in told
    assert "https://x/u/a/b/tasks/1" in elements.addresses


def test_a_failure_that_was_followed_by_a_success_comes_second() -> None:
    lost = attempt(1, status=Status.FAILED, reason="spot_loss", message="Lost.")
    told = section(made(lost, replace(attempt(1), id="later")), "Failures", "Resources that")
    assert "1 more attempts failed, and another one followed" in told


def test_very_many_failures_are_in_the_table_only() -> None:
    many = [
        attempt(
            n, status=Status.FAILED, reason="command", message="x" * 3000, stderr_end="y" * 4000
        )
        for n in range(MOST_SHOWN + 1500)
    ]
    text = report(record(*many))
    assert "1500 more jobs have failed; the table of tasks has all of them" in text
    assert len(text) < 8_000_000


def test_what_the_platform_bills_is_not_known_of_a_platform_on_this_machine() -> None:
    jobs = [attempt(n, memory_mib=30000, cores=2, measured=MEASURED, price=0.0) for n in range(4)]
    assert "c5.large" in made(*jobs).text
    on_this_machine = made(*jobs, endpoint="http://127.0.0.1:4321/v2")
    assert "c5.large" not in on_this_machine.text
    assert "--set-resources align:mem_mb=500" in on_this_machine.text


def test_each_run_of_the_record_has_its_command() -> None:
    first = run(id="20260101-110000-bbbbbb", command="snakemake --first", outcome="cancelled")
    both = Record(Path("/work"), (first, run(command="snakemake --second")), (attempt(),))
    text = Elements(report(both)).text
    assert "2 runs worked on this, one after the other" in text
    assert "snakemake --first" in text
    assert "snakemake --second" in text
    assert "All jobs are done" in text


def test_the_time_of_a_run_without_an_end_is_as_far_as_the_record_tells() -> None:
    text = made(attempt(), ended=None, outcome="").text
    assert "1 min 51 s, of which" in text
    assert "20260101-120000-aaaaaa, no end on record" in text


def test_jobs_that_were_never_started_are_counted() -> None:
    assert "1 done 9 not started" in made(attempt(), jobs_planned=10, outcome="failed").text


# -------------------------------------------------------------------------------- mistakes


def test_a_run_without_a_task_has_no_report() -> None:
    with pytest.raises(NoReport, match="has started no task"):
        report(record())


def test_a_place_where_no_file_can_be_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "x.html", tmp_path):
        with pytest.raises(NoReport, match=f"The report {path} cannot be written: "):
            write_report(record(attempt()), path)
    assert list(tmp_path.iterdir()) == []


def test_an_old_report_stays_until_the_new_one_is_there(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    path.write_text("old")
    write_report(record(attempt()), path)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [path]


def test_without_vega_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    check_possible()
    monkeypatch.setattr(document, "_VEGA", "assets/data/vega/gone.js")
    with pytest.raises(NoReport, match="Install Snakemake"):
        check_possible()


def test_the_license_of_vega_goes_with_it() -> None:
    assert "Redistribution and use in source and binary forms" in report(record(attempt()))


def test_ten_thousand_tasks_are_a_file_that_can_be_sent(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    write_report(made_run(10_000), path)
    assert path.stat().st_size < 15_000_000


def test_the_last_time_on_record_ends_what_goes_on() -> None:
    data = made(attempt(1, status=Status.RUNNING, ended=None), ended=BEGAN + 700).data
    assert data["timeline"]["end"] == BEGAN + 700
