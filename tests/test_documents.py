"""The documents say what the code does."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from cavatica_local import switches
from cavatica_local.cli import _parser as local_parser
from snakemake_executor_cavatica.api import Patience
from snakemake_executor_cavatica.api.budget import SHARE_FOR_LOOKING, SHARE_FOR_OTHERS
from snakemake_executor_cavatica.api.upload import MIB, RECOMMENDED_PART
from snakemake_executor_cavatica.api.workers import FILES_AT_ONCE, PARTS_AT_ONCE
from snakemake_executor_cavatica.check import estimate, history, jobs
from snakemake_executor_cavatica.commands import main
from snakemake_executor_cavatica.finish import message
from snakemake_executor_cavatica.launch import starter
from snakemake_executor_cavatica.observe import record
from snakemake_executor_cavatica.observe.report import advice, prices, timeline
from snakemake_executor_cavatica.plan import instance_types
from snakemake_executor_cavatica.plugins import SNAKEMAKE
from snakemake_executor_cavatica.read import prepared_script, source_candidates, sources
from snakemake_executor_cavatica.read.facts import MB
from snakemake_executor_cavatica.settings import ExecutorSettings, StorageProviderSettings
from snakemake_executor_cavatica.translate import batch, pack, script
from snakemake_executor_cavatica.watch import batches, schedule
from tests.__main__ import CHECKS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "snakemake_executor_cavatica"
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("example_workflow/*.md")]
)
FILES = sorted(
    str(path.relative_to(ROOT))
    for folder in (".", ".github", "storage_distribution")
    for path in (ROOT.glob("*") if folder == "." else (ROOT / folder).rglob("*"))
    if path.suffix in (".yml", ".yaml", ".cff", ".toml") and path.is_file()
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
RESOURCE = re.compile(r"resource[ \n]+(cavatica_\w+)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """The rows of all tables, by their first cell without code marks."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return {row[0].strip("`"): row[1:] for row in cells if row and row[0] != "---"}


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def options() -> dict[str, dataclasses.Field[object]]:
    """Command-line options and the settings that Snakemake makes them of."""
    prefixes = {"--cavatica": ExecutorSettings, "--storage-cavatica": StorageProviderSettings}
    return {
        f"{prefix}-{field.name.replace('_', '-')}": field
        for prefix, settings in prefixes.items()
        for field in dataclasses.fields(settings)
    }


def anchor(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_the_table_of_settings_is_complete() -> None:
    table = rows(read("README.md"))
    assert set(options()) == {name for name in table if name.startswith("--")}


@pytest.mark.parametrize("option", options())
def test_a_row_of_the_table_of_settings_agrees_with_the_setting(option: str) -> None:
    field = options()[option]
    default, resources, meaning = rows(read("README.md"))[option]
    if isinstance(field.default, str):
        assert default == f"`{field.default}`"
    help_text = field.metadata["help"]
    assert set(RESOURCE.findall(help_text)) <= set(re.findall(r"cavatica_\w+", resources))
    if field.metadata.get("env_var"):
        assert f"SNAKEMAKE_CAVATICA_{field.name.upper()}" in meaning


def test_the_manual_names_every_resource() -> None:
    decisions = "".join(file.read_text("utf-8") for file in (PACKAGE / "plan").glob("*.py"))
    known = set(re.findall(r'"(cavatica_\w+)"', decisions))
    documented = {name for name in rows(read("docs/further.md")) if name.startswith("cavatica_")}
    assert known == documented


def test_the_table_of_switches_is_what_the_command_prints() -> None:
    assert read("docs/platform.md").endswith(f"\n\n{switches.markdown_table()}")


def test_the_options_of_the_server_are_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        local_parser().parse_args(["serve", "--help"])
    known = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert known
    assert known == {name for name in rows(read("docs/platform.md")) if name.startswith("--")}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if fragment:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert fragment in map(anchor, headings), link


def test_the_manual_has_no_relative_links() -> None:
    """The plugin catalog shows it, and the introduction, on pages of its own."""
    for name in ("docs/intro.md", "docs/further.md"):
        assert all(link.startswith("https://") for link in LINK.findall(read(name))), name


def test_the_readme_and_ci_run_the_same_command() -> None:
    example, checks = code_blocks(read("README.md"), "bash")[:2]
    assert checks.count("\n") == example.count("\n") == 1, "one line each"
    assert f"  {checks}" in read(".ci/run")
    assert checks in code_blocks(read("CONTRIBUTING.md"), "bash")


def test_the_lowest_versions_are_the_same_everywhere() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *(one for extra in extras for one in extra)]
    lowest = {
        name: version
        for requirement in requirements
        for name, version in re.findall(
            r"^(snakemake(?:-interface-[a-z-]+)?)>=([\d.]+)", requirement
        )
    }
    assert len(lowest) == 4
    for name, version in lowest.items():
        assert f"'{name}=={version}'" in read(".ci/run")
    assert f"Snakemake {lowest['snakemake']} to " in read("README.md")
    assert f">={lowest['snakemake']},<10" == SNAKEMAKE
    assert f"snakemake{SNAKEMAKE}" in project["dependencies"]
    assert f"`snakemake{SNAKEMAKE}`" in read("README.md")
    assert f"snakemake{SNAKEMAKE} " in read("example_workflow/requirements.txt")
    assert f"Snakemake {lowest['snakemake']} or newer" in read("CHANGELOG.md")


def test_the_version_is_the_same_everywhere() -> None:
    """What a release raises: release-please knows these files, and the lines by their mark."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    storage = tomllib.loads(read("storage_distribution/pyproject.toml"))["project"]
    version = project["version"]
    assert re.search(rf"^## \[?{re.escape(version)}\b", read("CHANGELOG.md"), re.MULTILINE)
    assert storage["version"] == version
    assert storage["dependencies"] == [f"{project['name']}=={version}"]
    assert yaml.safe_load(read("CITATION.cff"))["version"] == version
    assert json.loads(read(".release-please-manifest.json")) == {".": version}
    [package] = json.loads(read("release-please-config.json"))["packages"].values()
    assert package["package-name"] == project["name"]
    raised = [file["path"] for file in package["extra-files"]]
    marked = [name for name in FILES if "# x-release-please-version" in read(name)]
    assert sorted(raised) == sorted(marked)
    for name in marked:
        for line in read(name).splitlines():
            assert (version in line) == ("x-release-please-version" in line), f"{name}: {line}"


def test_both_distributions_say_the_same_of_themselves() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    storage = tomllib.loads(read("storage_distribution/pyproject.toml"))["project"]
    for key in ("authors", "license", "requires-python"):
        assert storage[key] == project[key]
    assert storage["urls"]["Repository"] == project["urls"]["Repository"]
    team = [author["name"] for author in project["authors"]]
    citation = yaml.safe_load(read("CITATION.cff"))
    assert [author["name"] for author in citation["authors"]] == team
    assert citation["license"] == project["license"]
    assert citation["repository-code"] == project["urls"]["Repository"]
    release = yaml.safe_load(read(".github/workflows/release.yml"))["jobs"]["publish"]
    published = release["strategy"]["matrix"]["distribution"]
    assert published == [project["name"], storage["name"]]


def test_every_yaml_file_of_the_repository_can_be_read() -> None:
    files = [name for name in FILES if name.endswith((".yml", ".yaml", ".cff"))]
    assert len(files) > 5
    for name in files:
        assert yaml.safe_load(read(name)), name


def test_a_release_needs_no_stored_password() -> None:
    release = read(".github/workflows/release.yml")
    assert yaml.safe_load(release)["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in release


def test_hooks_run_what_the_checks_run() -> None:
    [local] = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert local["repo"] == "local"
    hooks = {hook["name"]: hook["entry"] for hook in local["hooks"]}
    assert all(hook["language"] == "system" for hook in local["hooks"])
    assert set(hooks) == {"lint", "format", "types"}
    for name, entry in hooks.items():
        assert entry.split() == ["python", *(word for word in CHECKS[name][1:] if word != ".")]


def test_the_form_for_bugs_asks_for_what_is_needed() -> None:
    form = read(".github/ISSUE_TEMPLATE/bug.yml")
    for wanted in ("paste no token", "pip list", "Command line", ".snakemake/log"):
        assert wanted in form


def rooms(package: str) -> set[str]:
    """The folders of a package that hold modules."""
    return {
        folder.name
        for folder in (ROOT / package).iterdir()
        if folder.is_dir() and any(folder.glob("[a-z]*.py"))
    }


def test_the_map_of_the_code_names_every_folder() -> None:
    text = read("CONTRIBUTING.md")
    house, table, _ = re.split(r"^## (?:Where|The checks).*", text, flags=re.MULTILINE)
    plugin, platform = rooms("snakemake_executor_cavatica"), rooms("cavatica_local")
    assert {name for name in plugin | platform if f"`{name}/`" not in house} == set()
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks"}
    assert {name for name in packages if f"`{name}/`" not in house} == set()
    mirrored = {*plugin, *platform, *packages} - {"faults"}
    others = {folder.parent.name for folder in ROOT.glob("tests/*/test_*.py")} - mirrored
    assert {name for name in others if f"`{name}` " not in house} == set()
    for name in re.findall(r"`([\w/]+(?:\.py|\.md|/))`", house + table):
        assert any((place / name).exists() for place in (ROOT, PACKAGE, ROOT / "cavatica_local"))


def test_the_order_of_the_folders_is_told_as_it_is() -> None:
    text = read("CONTRIBUTING.md")
    way = re.findall(r"(\w+)/", next(line for line in text.splitlines() if "/  ->  " in line))
    order = re.findall(
        r"`(\w+)`", text.partition("imports only folders before it: ")[2].partition(". ")[0]
    )
    assert [name for name in order if name in way] == way
    assert set(order) == rooms("snakemake_executor_cavatica")


# --- numbers and names ----------------------------------------------------------------------------


def _seconds_between(tasks: int) -> float:
    """Seconds between two looks at so many tasks where nothing else is left of the limit."""
    made = schedule.PollSchedule(10, lambda: SHARE_FOR_LOOKING * 1000 / 300, unlimited=False)
    return made.interval(tasks, asked=tasks, took=0)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("further", f"| Requests at once | {starter.SUBMIT_THREADS} for submitting tasks"),
        ("further", f"| Files at once | {FILES_AT_ONCE}, and {PARTS_AT_ONCE} parts"),
        ("further", f"every further {RECOMMENDED_PART // MIB} MiB"),
        ("further", f"last {message.STDERR_LINES} lines of its stderr"),
        ("further", f"{Patience().total / 60:g} minutes for one call"),
        ("further", f"5,000 are looked at every {math.ceil(_seconds_between(5000))} seconds"),
        (
            "further",
            f"every {_seconds_between(100):.1f} to "
            f"{schedule.PollSchedule(10, float, unlimited=False).longest:g}",
        ),
        ("further", f"a batch with {batches._LARGE_BATCH} or more"),
        ("further", f"{batches._SHORT_REST:g} seconds after it was seen"),
        ("further", f"in 5 minutes, which count for you and not for a run, {SHARE_FOR_OTHERS:.0%}"),
        ("further", f"{SHARE_FOR_LOOKING:.0%} are kept for looking"),
        ("further", f"takes more than {prepared_script.MAX_SIZE // 1000} kB"),
        ("further", f"above {instance_types.DEFAULT_DISK_GB} GB also an instance type"),
        (
            "further",
            f"({instance_types._LARGEST.cores} cores, "
            f"{instance_types._LARGEST.memory_gib:.0f} GiB)",
        ),
        ("further", f"two requests for up to {batch.MOST_CHILDREN} jobs"),
        ("further", f"as many jobs as {pack._CORES} cores hold"),
        ("further", f"at most {source_candidates.MAX_UNDECLARED // MB} MB that git neither"),
        ("further", f"more than {source_candidates.MAX_UNDECLARED_FILES} of them"),
        ("further", f"more than {source_candidates.MAX_UNDECLARED_SIZE // MB} MB. "),
        ("further", f"Files above {sources.MAX_FILE // MB} MB stay here"),
        ("check", f"plans up to {jobs.SOME} jobs of each rule"),
        ("check", f"the newest {history.MOST_TASKS:,} tasks of the project"),
        ("check", f"the newest {record.MOST_RECORDS} [records]"),
        ("check", f"taken to differ by {estimate.OF_A_RUN:.0%}"),
        (
            "platform",
            f"every {schedule.SHORTEST_INTERVAL:g} to {schedule._UNLIMITED_INTERVAL:g} seconds",
        ),
    ],
)
def test_a_number_of_the_manual_is_that_of_the_code(document: str, sentence: str) -> None:
    assert sentence in read(f"docs/{document}.md").replace(" %", "%").replace("\n", " ")


def test_the_defaults_of_the_server_are_those_of_the_table() -> None:
    defaults = vars(local_parser().parse_args(["serve", "--root", "x"]))
    checked = set()
    for name, cells in rows(read("docs/platform.md")).items():
        value, stated = defaults.get(name[2:].replace("-", "_")), cells[0].strip("`")
        if name.startswith("--") and re.fullmatch(r"[\d.]+", stated):
            least = value[0] if isinstance(value, tuple) else value
            assert float(stated) == least, name
            checked.add(name)
        elif name.startswith("--") and isinstance(value, str):
            assert stated == value, name
            checked.add(name)
    assert {"--instances", "--task-seconds", "--engine", "--verify-inputs"} <= checked


def test_the_manual_names_every_tool_that_an_image_needs() -> None:
    section = read("docs/further.md").partition("### What an image needs")[2].partition("\n## ")[0]
    tools = re.findall(r'"([a-z]+)"', inspect.getsource(script._tools))
    assert {"tar", "mktemp", "date"} <= set(tools)
    for tool in {*tools, "sha256sum"} - {"environment"}:
        assert f"`{tool}`" in section, tool


def test_messages_that_the_manual_explains_exist() -> None:
    quoted = re.findall(r'^\*\*"(.*?)(?: \.\.\.)?"\*\*', read("docs/further.md"), re.MULTILINE)
    assert len(quoted) > 5
    package = ROOT / "snakemake_executor_cavatica"
    code = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    code = re.sub(r'"\s+f?"', "", code)
    code += "Singularity containers: ignored"  # Snakemake's own
    filled_in = {
        "You have no write permission": "You have no {' and no '.join(missing)} permission"
    }
    for text in quoted:
        assert filled_in.get(text, text) in code, text


def test_commands_and_options_of_the_documents_exist() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    text += read("benchmarks/README.md")
    for name, parser in (
        ("snakemake-cavatica", main._parser()),
        ("cavatica-local", local_parser()),
    ):
        known = {one for action in parser._actions for one in action.choices or ()}
        named = set(re.findall(rf"(?:`|^){name} ([a-z][a-z-]+)", text, re.MULTILINE))
        assert named == known, name
    prefixes = r"--(?:storage-)?cavatica-[a-z-]*[a-z]"
    assert set(re.findall(prefixes, text)) - {"--storage-cavatica-max-requests-per-second"} <= set(
        options()
    )
    for module in re.findall(r"python -m ((?:benchmarks|tests)[.\w]*\w)", text):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module


def test_the_contributors_guide_says_what_runs_with_the_lowest_versions() -> None:
    lowest = read(".ci/run").partition(".venv/lowest")[2]
    assert set(re.findall(r"tests/[\w/]+\.py", lowest)) == {
        "tests/workflow/test_shared_bases.py",
        "tests/workflow/test_features.py",
        "tests/workflow/test_resume.py",
    }, "say so in CONTRIBUTING.md, and here"
    assert "-k 'same_command or script'" in lowest


def test_what_a_report_advises_is_documented() -> None:
    text = read("docs/record.md")
    for told in (
        f"at least {advice.LEAST_JOBS} jobs were done and measured",
        f"and {100 * (advice.MEMORY_MARGIN - 1):.0f} % more, rounded up",
        f"at least {advice.LEAST_MEMORY_MB} MB",
        f"and {100 * (advice.THREADS_MARGIN - 1):.0f} % more, rounded to a whole number",
        f"more than {100 * advice.MOST_SHARE:.0f} % of what is asked",
        f"cost at least {prices.LEAST_AMOUNT:.2f} together",
        f"Up to {timeline.ROWS_OF_THEIR_OWN} attempts have a row each",
    ):
        assert told in text
