"""The report in a real browser: nothing is asked for, and the table and the plots answer."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, Browser, pictures
from test_report_document import EVIL

from snakemake_executor_cavatica.observe.report.document import write_report
from snakemake_executor_cavatica.translate.measured import Measured
from tests.made_runs import made_run

PLOTS = ("duration", "queue", "memory", "cpu", "cost")
CELLS = """
const cells = document.querySelectorAll('.tasks td[data-label=' + arguments[0] + ']');
return [...cells].map((cell) => cell.textContent);
"""
CLICK_HEAD = """
const buttons = [...document.querySelectorAll('.tasks thead button')];
buttons.find((button) => button.textContent === arguments[0]).click();
"""
CHOOSE = """
const choice = document.getElementById(arguments[0]);
choice.value = [...choice.options].find((one) => one.text === arguments[1]).value;
choice.dispatchEvent(new Event('input'));
"""
CORNER = """
const frame = document.getElementById('timeline-plot').getBoundingClientRect();
return [frame.left, frame.top];
"""
TOP = "return document.querySelector(arguments[0]).getBoundingClientRect().top + window.scrollY"
PAINTED = """
const canvas = document.querySelector(arguments[0] + ' canvas');
if (!canvas) return document.querySelectorAll(arguments[0] + ' svg path').length;
const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
return pixels.filter((one, number) => number % 4 === 3 && one > 0).length;
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 311 attempts."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(made_run(300), path)
    return path


@pytest.fixture
def opened(browser: Browser, small: Path) -> Iterator[Browser]:
    browser.open(small)
    yield browser
    assert browser.complaints() == []
    assert browser.requests() == [small.as_uri()]


def first_jobs(browser: Browser) -> list[str]:
    return [one.text for one in browser.find("table.tasks tbody tr .name button")[:3]]


def found(browser: Browser) -> str:
    return str(browser.run("return document.getElementById('found').textContent"))


def cells(browser: Browser, label: str) -> list[str]:
    return list(browser.run(CELLS, label))


def sort_by(browser: Browser, label: str) -> None:
    browser.run(CLICK_HEAD, label)


def scroll_to(browser: Browser, selector: str) -> None:
    browser.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)


def test_it_opens_as_a_file_and_all_parts_are_there(opened: Browser) -> None:
    for words in ("The run failed", "300 done, 1 failed", "Timeline", "align", "Resources that"):
        assert words in opened.text
    assert "cannot open reference/GRCh38.fa.pac" in opened.text
    for place in ("timeline-plot", *(f"plot-{name}" for name in PLOTS)):
        scroll_to(opened, f"#{place}")
        opened.until(lambda place=place: opened.run(PAINTED, f"#{place}") > 10)
    assert len(opened.find(".graph rect")) == 8


def test_the_table_sorts_both_ways_with_what_is_not_known_at_the_end(opened: Browser) -> None:
    sort_by(opened, "Cost")
    values = [float(one) for one in cells(opened, "cost") if one]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.2
    sort_by(opened, "Cost")
    assert float(cells(opened, "cost")[0]) == 0.0
    for _ in range(2):
        sort_by(opened, "Memory")
        assert opened.run("return document.querySelector('[aria-sort]').textContent") == "Memory"
        for _ in range(3):
            opened.run("document.getElementById('next').click()")
        assert cells(opened, "memory")[-1] == "", "lost instances have measured nothing"


def test_the_table_finds_by_word_rule_and_state(opened: Browser) -> None:
    assert found(opened) == "311"
    [field] = opened.find("#find")
    field.send_keys("ALIGN S0003")
    assert first_jobs(opened) == ["align [sample=S0003]"] * 3
    field.clear()
    field.send_keys("spot loss")
    assert found(opened) == "4 of 311"
    field.clear()
    field.send_keys("nothing is called this")
    assert found(opened) == "0 of 311"
    field.clear()
    field.send_keys(" ")
    opened.run(CHOOSE, "find-rule", "trim")
    opened.run(CHOOSE, "find-state", "failed")
    assert all(name.startswith("trim ") for name in first_jobs(opened))
    assert "of 311" in found(opened)


def test_pages_of_the_table_can_be_turned_and_rows_opened(opened: Browser) -> None:
    assert opened.find("#page")[0].text == "page 1 of 4"
    before = first_jobs(opened)
    opened.find("#next")[0].click()
    assert first_jobs(opened) != before
    opened.find("table.tasks tbody .name button")[0].click()
    assert "lab/reads/snakemake-" in opened.find("tr.more")[0].text
    assert "Peak memory" in opened.find("tr.more")[0].text
    [link] = opened.find("table.tasks tbody tr:first-child a")
    assert link.get_attribute("href").startswith("https://cavatica.sbgenomics.com/u/lab/reads/")


def test_a_bar_tells_of_its_task_and_leads_to_it(opened: Browser) -> None:
    scroll_to(opened, "#timeline-plot")
    opened.until(lambda: opened.run(PAINTED, "#timeline-plot") > 10)
    script = """
    const row = columns.title.indexOf('align [sample=S0010]');
    const bar = columns.bar[row];
    const place = document.getElementById('timeline-plot');
    const one = layout.find((band) => band.label === 'align');
    const frame = place.getBoundingClientRect();
    const inner = place.clientWidth - Number(place.dataset.left) - 10;
    const x = ((bar[1] + bar[2]) / 2 - data.timeline.begin) / zoom.end * inner;
    const y = one.top + (bar[3] - one.first + 0.5) * one.rowHeight + 22;
    return [frame.left + Number(place.dataset.left) + x, frame.top + y];
    """
    x, y = opened.run(script)
    height = opened.run("return window.innerHeight")
    assert 0 < y < height, "the bar can be seen"
    mouse(opened, "mouseMoved", x, y)
    tip = opened.until(lambda: opened.find("#tip:not([hidden])"))[0].text
    assert tip.startswith("align [sample=S0010]\ndone\nwaited ")
    assert " of 30 GiB\ncost " in tip
    mouse(opened, "mousePressed", x, y)
    mouse(opened, "mouseReleased", x, y)
    opened.until(lambda: opened.find("tr.more"))
    assert "align [sample=S0010]" in opened.find("tr:has(+ tr.more)")[0].text


def mouse(browser: Browser, what: str, x: float, y: float, *, held: bool = False) -> None:
    buttons = int(held or what == "mousePressed")
    known = {"button": "left", "clickCount": 1, "buttons": buttons}
    browser.command("Input.dispatchMouseEvent", type=what, x=x, y=y, **known)


def test_the_timeline_can_be_looked_at_closely(opened: Browser) -> None:
    scroll_to(opened, "#timeline-plot")
    opened.until(lambda: opened.run(PAINTED, "#timeline-plot") > 10)
    frame = opened.run(CORNER)
    x, y = frame[0] + 400, max(frame[1], 0) + 150
    mouse(opened, "mousePressed", x, y)
    for step in range(1, 5):
        mouse(opened, "mouseMoved", x + 40 * step, y + 30 * step, held=True)
    mouse(opened, "mouseReleased", x + 160, y + 120)
    [back] = opened.until(lambda: opened.find("#timeline-all:not([hidden])"))
    shown = opened.run("return [zoom.end - zoom.begin, zoom.bottom - zoom.top, whole.end, allRows]")
    assert shown[0] < shown[2] / 3
    assert shown[1] < shown[3] / 3
    back.click()
    assert opened.run("return [zoom.end - zoom.begin, zoom.bottom - zoom.top]") == shown[2:]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_fits_by_day_and_by_night(
    opened: Browser, size: tuple[int, int], dark: bool, tmp_path: Path
) -> None:
    opened.shape(size, dark=dark)
    ground = opened.run("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(21, 24, 27)" if dark else "rgb(251, 251, 249)")
    for place in ("timeline-plot", *(f"plot-{name}" for name in PLOTS)):
        scroll_to(opened, f"#{place}")
        opened.until(lambda place=place: opened.run(PAINTED, f"#{place}") > 10)
    opened.until(lambda: not opened.overflows)
    name = f"report-{'dark' if dark else 'light'}-{'phone' if size == PHONE else 'desktop'}.png"
    opened.picture(pictures(tmp_path) / name)


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [("report", "header", "#rules"), ("resources", "#rule-plots", "#workflow")],
)
def test_pictures_for_the_documents(
    browser: Browser, tmp_path: Path, name: str, begin: str, end: str
) -> None:
    path = tmp_path / "x.html"
    write_report(made_run(160), path)
    browser.open(path)
    browser.run("for (const one of drawings) if (!one.view) redraw(one)")
    top, bottom = (int(browser.run(TOP, selector)) for selector in (begin, end))
    clip = {"x": 0, "y": top - 20, "width": DESKTOP[0], "height": bottom - top, "scale": 0.75}
    shot = browser.command("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
    file = pictures(tmp_path) / f"{name}.png"
    file.write_bytes(base64.b64decode(shot["data"]))
    assert 20_000 < file.stat().st_size < 200_000


def test_on_paper_all_is_there_in_the_colours_of_paper(opened: Browser) -> None:
    opened.shape(dark=True, paper=True)
    assert opened.run("return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    for place in ("timeline-plot", *(f"plot-{name}" for name in PLOTS)):
        opened.until(lambda place=place: opened.run(PAINTED, f"#{place}") > 10)
    assert "The command failed with exit status 1." in opened.text


def test_what_is_printed_at_night_is_drawn_in_the_colours_of_day(opened: Browser) -> None:
    opened.shape(dark=True)
    opened.run("window.dispatchEvent(new Event('beforeprint'))")
    assert opened.run("return tone('ink')") == "#20262c"
    for place in ("timeline-plot", *(f"plot-{name}" for name in PLOTS)):
        assert opened.run(PAINTED, f"#{place}") > 10
    assert all(one.get_attribute("open") for one in opened.find("details"))
    opened.run("window.dispatchEvent(new Event('afterprint'))")
    assert opened.run("return tone('ink')") == "#e3e6e8"


def test_what_would_be_script_is_shown_and_does_nothing(browser: Browser, tmp_path: Path) -> None:
    record = made_run(10)
    evil = [
        replace(one, rule=EVIL, wildcards={"x": EVIL}, stderr_end=EVIL, message=EVIL)
        for one in record.attempts
    ]
    path = tmp_path / "evil.html"
    write_report(replace(record, attempts=tuple(evil)), path)
    browser.open(path)
    scroll_to(browser, "#timeline-plot")
    browser.until(lambda: browser.run(PAINTED, "#timeline-plot") > 10)
    browser.find("table.tasks tbody .name button")[0].click()
    assert EVIL.replace("  ", " ") in browser.text
    assert browser.run("return typeof evil") == "undefined"
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_long_names_fit(browser: Browser, size: tuple[int, int], tmp_path: Path) -> None:
    record = made_run(10)
    word = "w" * 300
    rules = {f'"{word}{one.rule}"' for one in record.attempts}
    run = replace(
        record.runs[0], command=word, directory=word, graph=f"digraph {{{'; '.join(rules)}}}"
    )
    attempts = [
        replace(one, rule=word + one.rule, wildcards={word: word}, message=word, stderr_end=word)
        for one in record.attempts
    ]
    path = tmp_path / "long.html"
    write_report(replace(record, runs=(run, run), attempts=tuple(attempts)), path)
    browser.shape(size)
    browser.open(path)
    browser.run("for (const one of drawings) if (!one.view) redraw(one)")
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    browser.find("table.tasks tbody .name button")[0].click()
    assert browser.find("tr.more")
    assert not browser.overflows
    browser.picture(pictures(tmp_path) / "report-long-names.png")


def test_what_cost_nothing_has_no_plot(browser: Browser, tmp_path: Path) -> None:
    record = made_run(10)
    path = tmp_path / "free.html"
    free = tuple(replace(one, price=0.0) for one in record.attempts)
    write_report(replace(record, attempts=free), path)
    browser.open(path)
    assert "Nothing but 0 for each attempt: cost." in browser.text
    assert len(browser.find("#rules figure")) == 4
    assert browser.complaints() == []


def test_what_is_not_known_leaves_no_empty_plots(browser: Browser, tmp_path: Path) -> None:
    record = made_run(10)
    bare = [
        replace(
            one,
            price=None,
            measured=Measured(),
            submitted=None,
            queued=None,
            started=None,
            ended=None,
        )
        for one in record.attempts
    ]
    path = tmp_path / "bare.html"
    write_report(replace(record, attempts=tuple(bare)), path)
    browser.open(path)
    assert "Not known of any job: duration, queue, memory, cpu, cost." in browser.text
    assert browser.find("#rules figure") == []
    assert "attempts have no times on record, and no bar." in browser.text
    assert not browser.find("#timeline .legend")[0].is_displayed()
    assert browser.complaints() == []


def test_ten_thousand_tasks_are_drawn_and_sorted(browser: Browser, tmp_path: Path) -> None:
    # How long that takes, benchmarks/report.py tells.
    path = tmp_path / "large.html"
    write_report(made_run(10_000), path)
    browser.open(path)
    assert browser.find("#page")[0].text == "page 1 of 102"
    sort_by(browser, "Memory")
    assert first_jobs(browser)[0].startswith("sort_alignments ")
    scroll_to(browser, "#timeline-plot")
    browser.until(lambda: browser.run(PAINTED, "#timeline-plot") > 10_000)
    assert browser.complaints() == []
