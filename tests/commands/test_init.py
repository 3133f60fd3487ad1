"""`init`: a first run is prepared by options or on a terminal, and the token stays where it is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from command_runs import Serve, Server

from snakemake_executor_cavatica.api import ConfigurationError, Token
from snakemake_executor_cavatica.api.credentials_file import store_token
from snakemake_executor_cavatica.coordinator.home import NAME
from tests.terminal import typed

COMMAND = [sys.executable, "-m", "snakemake_executor_cavatica.commands.main", "init"]
WRONG_TOKEN = "f" * 32
SECONDS = 60


@dataclass
class Place:
    """A home without credentials, and a folder with a workflow."""

    home: Path
    folder: Path
    server: Server

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SB_", "SNAKEMAKE_CAVATICA_"))
        }
        return kept | {"HOME": str(self.home)} | more

    def by_options(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *options],
            cwd=self.folder,
            env=self.environment(variables),
            input=f"{self.server.token}\n",
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def on_terminal(self, options: list[str], *answers: tuple[str, str]) -> tuple[int, str]:
        """Answer each question once it is asked; the exit status, and all that was to be seen."""
        command = [*COMMAND, *options]
        return typed(command, answers, cwd=self.folder, env=self.environment({}))

    @property
    def credentials(self) -> Path:
        return self.home / ".sevenbridges" / "credentials"

    @property
    def profile(self) -> dict[str, object]:
        text = (self.folder / "profiles" / "cavatica" / "config.yaml").read_text()
        content: dict[str, object] = yaml.safe_load(text)
        return content

    def where_token_is(self) -> list[Path]:
        files = (*self.home.rglob("*"), *self.folder.rglob("*"))
        return [
            path
            for path in files
            if path.is_file() and self.server.token.encode() in path.read_bytes()
        ]


@pytest.fixture
def place(tmp_path: Path, server: Server) -> Place:
    for name in ("home", "workflow"):
        (tmp_path / name).mkdir()
    return Place(tmp_path / "home", tmp_path / "workflow", server)


def options(server: Server, *more: str) -> list[str]:
    return ["--api-endpoint", server.endpoint, "--project", server.project, *more]


def test_by_options_token_and_profile_are_written(place: Place) -> None:
    """The token is in the credentials, which others cannot read, and nowhere else."""
    done = place.by_options(
        *options(place.server, "--token-file", "-", "--data", "my data/raw", "--spot", "yes")
    )
    assert done.returncode == 0, done.stderr
    section = place.profile["cavatica-credentials-profile"]
    named = f"SNAKEMAKE_CAVATICA_CREDENTIALS_PROFILE={section}"
    assert "\n  snakemake --workflow-profile profiles/cavatica\n" in done.stdout
    assert done.stdout.endswith(f"For put, get, ls and so on:\n  export {named}\n")
    assert place.profile == {
        "executor": "cavatica",
        "cavatica-credentials-profile": section,
        "cavatica-project": place.server.project,
        "default-storage-provider": "cavatica",
        "default-storage-prefix": f"cavatica://{place.server.project}/my data/raw",
        "jobs": 100,
        "cavatica-interruptible": True,
        "default-resources": {"mem_mb": 2000, "runtime": 60},
    }
    assert stat.S_IMODE(place.credentials.stat().st_mode) == 0o600
    assert place.where_token_is() == [place.credentials]
    assert place.server.token not in done.stdout + done.stderr


def test_a_token_of_a_file_goes_to_the_platform_of_the_environment(place: Place) -> None:
    """Protects a token from a stranger: without the variable it would go to CAVATICA."""
    done = place.by_options(
        *("--project", place.server.project, "--token-file", "-"),
        SB_API_ENDPOINT=place.server.endpoint,
        https_proxy="http://127.0.0.1:9",  # nothing may get to CAVATICA if it fails
    )
    assert done.returncode == 0, done.stderr
    assert f"api_endpoint = {place.server.endpoint}\n" in place.credentials.read_text()


def test_what_is_written_runs_a_workflow(place: Place) -> None:
    """Snakemake takes the profile, and finds token, platform and project by it alone."""
    done = place.by_options(*options(place.server, "--token-file", "-"))
    assert done.returncode == 0, done.stderr
    (place.folder / "Snakefile").write_text(
        "rule a:\n    output: 'a.txt'\n    shell: 'id > {output}'"
    )
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/cavatica"],
        cwd=place.folder,
        env=place.environment({}),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert (place.folder / "a.txt").stat().st_size
    assert place.where_token_is() == [place.credentials]


def test_the_workflow_is_checked_at_once(place: Place) -> None:
    """By the option; the exit status is that of the check."""
    snakefile = place.folder / "Snakefile"
    asked = options(place.server, "--token-file", "-", "--check", "--overwrite")
    snakefile.write_text("rule a:\n    output: 'a.txt'\n    shell: 'id > {output}'")
    done = place.by_options(*asked)
    assert done.returncode == 0, done.stderr
    snakefile.write_text(
        "rule a:\n    input: 'no'\n    output: 'a.txt'\n    shell: 'id > {output}'"
    )
    done = place.by_options(*asked)
    assert done.returncode == 1
    assert "a" in done.stdout + done.stderr


def test_on_a_terminal_all_is_asked(place: Place) -> None:
    """A mistyped token is asked for again; the right one never shows."""
    status, seen = place.on_terminal(
        [],
        ("Platform, by number or name, or the address of its API", place.server.endpoint),
        ("Token (it is not shown)", WRONG_TOKEN),
        ("Token (it is not shown)", place.server.token),
        ("Project, by number or name", "no such"),
        ("Project, by number or name", place.server.project),
        ("Folder of the project, or here", ""),
        ("Spot instances", "no"),
    )
    assert status == 0, seen
    assert "'no such' is none of them" in seen
    assert "A token is made on" not in seen
    assert "cavatica-local serve keeps its token in the file token below its root" in seen
    assert "check that the token from the terminal is a current one of this very platform" in seen
    assert place.profile["cavatica-interruptible"] is False
    assert "default-storage-provider" not in place.profile
    assert place.where_token_is() == [place.credentials]
    assert not {place.server.token, WRONG_TOKEN} & set(seen.split())


def test_an_address_that_is_no_api_is_asked_for_again(place: Place) -> None:
    """Protects from a start from the beginning, for the `/v2` that was not typed."""
    root = place.server.endpoint.removesuffix("/v2")
    status, seen = place.on_terminal(
        ["--project", place.server.project, "--data", "here", "--spot", "no"],
        ("Platform, by number or name", root),
        ("Token (it is not shown)", place.server.token),
        ("Platform, by number or name", place.server.endpoint),
        ("Token (it is not shown)", place.server.token),
    )
    assert status == 0, seen
    assert f"{root} is probably not the address of a platform's API, which ends with /v2" in seen


def test_the_platform_is_chosen_on_a_terminal(place: Place) -> None:
    status, seen = place.on_terminal([], ("Platform, by number or name", "local"))
    assert status == 0, seen
    assert place.profile["cavatica-api-endpoint"] == "local"


def test_a_profile_that_is_there_is_not_replaced_unasked(place: Place) -> None:
    path = place.folder / "profiles" / "cavatica" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("jobs: 1\n")
    done = place.by_options(*options(place.server, "--token-file", "-"))
    assert done.returncode == 1
    assert "config.yaml exists; say --overwrite" in done.stderr
    assert path.read_text() == "jobs: 1\n"
    assert not place.credentials.exists()


def test_another_token_is_not_replaced_unasked(place: Place) -> None:
    asked = options(place.server, "--token-file", "-", "--credentials-profile", "lab")
    store_token(place.home, "lab", place.server.endpoint, Token(WRONG_TOKEN))
    before = place.credentials.read_text()
    done = place.by_options(*asked)
    assert done.returncode == 1
    assert "holds another token in its section [lab]; say --replace-token" in done.stderr
    assert place.credentials.read_text() == before
    done = place.by_options(*asked, "--replace-token")
    assert done.returncode == 0, done.stderr
    assert WRONG_TOKEN not in place.credentials.read_text()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"--token-file": "no such"}, "--token-file no such cannot be read (FileNotFoundError)"),
        ({"--token-file": None}, "no API token was found; make one on"),
        ({"--project": "nobody/nothing"}, "There is no project nobody/nothing"),
        ({"--project": "plain"}, "--project 'plain'"),
        ({"--project": None}, "No project is named; add --project with one of: "),
        ({"--data": "../up"}, "--data ../up: it must not contain '..'"),
        ({"--api-endpoint": "http://example.org"}, "would send the token unencrypted"),
        ({"--api-endpoint": "mars"}, "is not a URL"),
    ],
    ids=str,
)
def test_mistakes_get_one_sentence(
    place: Place, change: dict[str, str | None], sentence: str
) -> None:
    given = {
        "--api-endpoint": place.server.endpoint,
        "--project": place.server.project,
        "--token-file": "-",
    }
    given |= change  # type: ignore[arg-type]
    words = [word for name, value in given.items() if value is not None for word in (name, value)]
    done = place.by_options(*words)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (place.folder / "profiles").exists()


def test_the_project_of_submitted_runs_is_not_offered(place: Place, serve: Serve) -> None:
    """Protects its token from tasks, whose files other members of a project may read."""
    own = replace(place, server=serve())
    assert own.server.call("/projects", {"name": NAME})["id"] == f"local/{NAME}"
    done = own.by_options("--api-endpoint", own.server.endpoint, "--token-file", "-")
    assert done.returncode == 1
    assert done.stderr.endswith(f"add --project with one of: {own.server.project}.\n")


def test_a_wrong_token_is_not_kept(place: Place) -> None:
    done = place.by_options(*options(place.server), SB_AUTH_TOKEN=WRONG_TOKEN)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert not place.credentials.exists()
    assert WRONG_TOKEN not in done.stdout + done.stderr


def test_a_wrong_token_is_told_by_its_file(place: Place) -> None:
    """Protects from a search among the variables, which this token was not taken from."""
    file = place.home / "token"
    file.write_text(WRONG_TOKEN)
    done = place.by_options(*options(place.server, "--token-file", str(file)))
    assert done.returncode == 1
    assert f"check that the token from --token-file {file} is a current one" in done.stderr
    assert WRONG_TOKEN not in done.stdout + done.stderr


def test_the_embedded_platform_needs_no_token(place: Place) -> None:
    done = place.by_options("--api-endpoint", "local")
    assert done.returncode == 0, done.stderr
    odd = place.by_options("--api-endpoint", "local", "--profile", "odd name")
    assert odd.stdout.endswith("\n  snakemake --workflow-profile 'odd name'\n")
    assert place.profile["cavatica-api-endpoint"] == "local"
    assert not place.credentials.exists()


def test_what_others_wrote_into_the_credentials_stays(tmp_path: Path) -> None:
    """Comments, other sections and other keys; a symbolic link stays one."""
    path = tmp_path / ".sevenbridges" / "credentials"
    path.parent.mkdir()
    real = tmp_path / "real"
    real.write_text(
        "; mine\n[default]\nauth_token = keep\n\n[lab]\nproxy = x\nauth_token: old\n# end\n"
    )
    path.symlink_to(real)
    store_token(tmp_path, "lab", "https://example.org/v2", Token("new"))
    assert path.is_symlink()
    assert real.read_text() == (
        "; mine\n[default]\nauth_token = keep\n\n[lab]\napi_endpoint = https://example.org/v2\n"
        "auth_token = new\nproxy = x\n# end\n"
    )
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


def test_no_section_can_be_smuggled_in(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="letters, digits"):
        store_token(tmp_path, "lab]\n[default", "https://example.org/v2", Token("new"))
