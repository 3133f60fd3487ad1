"""The documents say what the code does."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from snakemake_executor_cavatica.platform import switches
from snakemake_executor_cavatica.platform.cli import _parser as local_parser
from snakemake_executor_cavatica.plugins import SNAKEMAKE
from snakemake_executor_cavatica.settings import ExecutorSettings, StorageProviderSettings

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("example_workflow/*.md")]
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
    known = set(re.findall(r'"(cavatica_\w+)"', read("snakemake_executor_cavatica/plan.py")))
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


def test_the_changelog_knows_this_version() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert f"\n## {version}\n" in read("CHANGELOG.md")


def test_the_map_of_the_code_names_every_module() -> None:
    package = ROOT / "snakemake_executor_cavatica"
    text = read("CONTRIBUTING.md")
    for module in package.glob("*.py"):
        if module.name != "__init__.py":
            assert f"`{module.name}`" in text, module.name
    for folder in (ROOT / "tests").iterdir():
        if any(folder.glob("test_*.py")):
            assert f"`{folder.name}`" in text, folder.name
