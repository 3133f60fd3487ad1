"""What is given for each setting: on the command line, in a profile, by an environment variable."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakemake.cli import parse_args
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

from snakemake_executor_cavatica.connections import CONNECTIONS
from snakemake_executor_cavatica.project.connection import Offer
from snakemake_executor_cavatica.settings import ExecutorSettings, StorageProviderSettings

YES: list[Any] = [True, "true", "True", "YES", "on", "1", 1, " yes "]
NO: list[Any] = [False, "false", "False", "NO", "off", "0", 0]
TRUTH = ([(word, True) for word in YES] + [(word, False) for word in NO], ["maybe", "2", 2, "-1"])
NUMBER = ([(3, 3), ("3", 3), (" 3", 3)], [0, -1, 1.5, "1.5", "10GB", "1_0", True, "many", "٣"])
TEXT = ([("some", "some"), (5, "5")], [])


def one_of(*words: str) -> tuple[list[tuple[Any, Any]], list[Any]]:
    known = [(word, word) for word in words] + [(word.upper(), word) for word in words]
    return known, ["", "other", True, 1]


SETTINGS: dict[str, tuple[list[tuple[Any, Any]], list[Any]]] = {
    "--cavatica-project": (
        [("me/mine", "me/mine"), (" me/mine ", "me/mine")],
        ["mine", "me/mine/x", "/mine", "me/", 5, "../mine", "https://cavatica.org/u/me/mine"],
    ),
    "--cavatica-api-endpoint": TEXT,
    "--cavatica-credentials-profile": TEXT,
    "--cavatica-folder": (
        [("some", "some"), ("/some/where/", "some/where"), (5, "5")],
        ["/", "..", "a/../b", "./a", "a//b"],
    ),
    "--cavatica-mode": one_of("auto", "direct", "snakemake"),
    "--cavatica-inputs": one_of("auto", "link", "copy"),
    "--cavatica-copy-up-to": ([*NUMBER[0], (0, 0), ("0", 0)], NUMBER[1][1:]),
    "--cavatica-parcel-up-to": ([*NUMBER[0], (0, 0), ("0", 0)], NUMBER[1][1:]),
    "--cavatica-container-image": TEXT,
    "--cavatica-instance-type": TEXT,
    "--cavatica-max-parallel-instances": NUMBER,
    "--cavatica-use-memoization": TRUTH,
    "--cavatica-use-elastic-disk": TRUTH,
    "--cavatica-interruptible": TRUTH,
    "--cavatica-measure": TRUTH,
    "--cavatica-output-metadata": ([("a=b,c=", "a=b,c=")], ["a", "=b", "a.b=c", True]),
    "--cavatica-inherit-metadata": TRUTH,
    "--cavatica-sources-include": ([("*.tsv", ["*.tsv"]), ("a b", ["a b"])], []),
    "--cavatica-sources-exclude": ([("*.tsv", ["*.tsv"]), (5, ["5"])], []),
    "--cavatica-sources-max-mb": NUMBER,
    "--cavatica-batch": (
        [("auto", "auto"), ("AUTO", "auto"), *((word, "off") for word in NO)],
        ["on", True, "maybe"],
    ),
    "--cavatica-pack": NUMBER,
    "--cavatica-memory-retries": ([*NUMBER[0], (0, 0)], NUMBER[1][1:]),
    "--cavatica-conda": one_of("per-run", "per-task"),
    "--cavatica-max-cost": (
        [(50, 50.0), ("12.50", 12.5), (0.01, 0.01), (" 7 ", 7.0)],
        [0, "0.00", -1, "1,5", "$5", "5 USD", "1e3", "nan", "inf", True, "much", "1" * 10, " "],
    ),
    "--cavatica-check": (
        [("auto", "auto"), ("FULL", "full"), *((word, "off") for word in NO)],
        ["on", True, "maybe"],
    ),
    "--cavatica-trace": TEXT,
    "--cavatica-report": TEXT,
    "--storage-cavatica-api-endpoint": TEXT,
    "--storage-cavatica-credentials-profile": TEXT,
}
LIMIT = "--cavatica-max-cost"
"""Who gives a variable for it that is not set does not want to spend without a limit."""
NAMES = ("api-endpoint", "credentials-profile")
FLAGS = (
    "--cavatica-reuse",
    "--cavatica-right-size",
    "--cavatica-detach",
    "--cavatica-max-cost-abort",
    "--cavatica-allow-secret-envvars",
)
LISTS = ("--cavatica-sources-include", "--cavatica-sources-exclude")
MAY_BE_FOLDERS = {
    *LISTS,
    "--cavatica-folder",
    # Whoever looks for these says that there are none of such a name.
    *(f"--{plugin}-{name}" for plugin in ("cavatica", "storage-cavatica") for name in NAMES),
}
SNAKEMAKES = "--storage-cavatica-max-requests-per-second"
"""Defined by Snakemake for each storage provider; without effect here."""
GOOD = [(option, *case) for option, (good, _) in SETTINGS.items() for case in good]
BAD = [(option, word) for option, (_, bad) in SETTINGS.items() for word in bad if word != ""]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    CONNECTIONS.offer(Offer())


def fields() -> dict[str, dataclasses.Field[Any]]:
    prefixes = {"--cavatica": ExecutorSettings, "--storage-cavatica": StorageProviderSettings}
    return {
        f"{prefix}-{field.name.replace('_', '-')}": field
        for prefix, settings in prefixes.items()
        for field in dataclasses.fields(settings)
    }


def understood(option: str, *arguments: str) -> Any:
    """What Snakemake, called with these arguments, hands to the plugin as this setting."""
    _, options = parse_args(["--executor", "cavatica", "--cores", "1", *arguments])
    if option.startswith("--storage"):
        settings = StoragePluginRegistry().get_plugin("cavatica").get_settings(options)
        settings = settings.get_settings()
    else:
        settings = ExecutorPluginRegistry().get_plugin("cavatica").get_settings(options)
    return getattr(settings, fields()[option].name)


def by_profile(option: str, value: Any) -> Any:
    Path("flavour").mkdir(exist_ok=True)
    # JSON is YAML: it tells the word "false" from the value.
    Path("flavour/config.yaml").write_text(f"{option.removeprefix('--')}: {json.dumps(value)}\n")
    return understood(option, "--profile", "flavour")


def by_variable(option: str, value: Any, patch: pytest.MonkeyPatch) -> Any:
    patch.setenv(f"SNAKEMAKE_{option.removeprefix('--').replace('-', '_').upper()}", str(value))
    return understood(option)


def test_every_setting_is_tried() -> None:
    assert {*SETTINGS, *FLAGS, SNAKEMAKES} == set(fields())


@pytest.mark.parametrize(("option", "given", "wanted"), GOOD)
def test_a_word_is_understood_wherever_it_is_given(
    option: str, given: Any, wanted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert understood(option, f"{option}={given}") == wanted
    assert by_profile(option, given) == wanted
    if fields()[option].metadata.get("env_var"):
        assert by_variable(option, given, monkeypatch) == wanted


@pytest.mark.parametrize(("option", "given"), BAD)
def test_another_word_is_refused_in_one_sentence(
    option: str, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WorkflowError, match=f"^{option} ") as by_option:
        understood(option, f"{option}={given}")
    assert str(by_option.value).count("\n") == 0
    with pytest.raises(WorkflowError, match=f"^{option} "):
        by_profile(option, given)
    if fields()[option].metadata.get("env_var"):
        with pytest.raises(WorkflowError, match=f"^{option} "):
            by_variable(option, given, monkeypatch)


@pytest.mark.parametrize("option", SETTINGS)
def test_nothing_is_as_good_as_not_given(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = understood(option)
    assert by_profile(option, None) == default
    if option == LIMIT:
        with pytest.raises(WorkflowError, match=r"^--cavatica-max-cost '' .*leave the option out"):
            understood(option, f"{option}=")
    else:
        assert understood(option, f"{option}=") == default
    if fields()[option].metadata.get("env_var"):
        assert by_variable(option, "", monkeypatch) == default


@pytest.mark.parametrize("option", sorted(set(SETTINGS) - MAY_BE_FOLDERS))
def test_nothing_in_a_profile_is_not_taken_for_the_folder_of_the_profile(option: str) -> None:
    """Which Snakemake makes of it."""
    with pytest.raises(WorkflowError, match=f"^{option} 'flavour' "):
        by_profile(option, "")


@pytest.mark.parametrize("option", LISTS)
def test_patterns_may_be_several(option: str) -> None:
    assert understood(option, option, "*.tsv", "lib") == ["*.tsv", "lib"]
    assert by_profile(option, ["*.tsv", "lib", 5]) == ["*.tsv", "lib", "5"]


@pytest.mark.parametrize("option", FLAGS)
def test_a_flag_takes_no_word_but_reads_those_of_a_profile(option: str) -> None:
    assert understood(option) is False
    assert understood(option, option) is True
    assert all(by_profile(option, word.strip() if isinstance(word, str) else word) for word in YES)
    assert not any(by_profile(option, word) for word in NO)
    for arguments in ([f"{option}=no"], ["--profile", "flavour"]):
        Path("flavour/config.yaml").write_text(f"{option.removeprefix('--')}: maybe\n")
        with pytest.raises(SystemExit):
            understood(option, *arguments)
