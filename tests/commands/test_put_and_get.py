"""`put`, `get`, `ls` and `rm`, against a real server."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_runs import Result, Server

from snakemake_executor_cavatica.api import Stop, Stopped, TransferError, download, upload
from snakemake_executor_cavatica.api.models import PartUrl
from snakemake_executor_cavatica.api.upload_parts import Slice
from snakemake_executor_cavatica.commands import main
from snakemake_executor_cavatica.project.paths import encode_folder
from tests.commands.killed_transfers import content, moves, trial

SMALLEST_PART = 5 * 1024 * 1024

NAMES = [
    "plain.txt",
    "na*me [1]?.txt",
    "line\nbreak \x1b[31m.txt",
    "-rf",
    "ümlaut 'quote\".txt",
    "__x",
    "ü" * 120,
]
FOLDERS = ["sub", "od d/__dunder/_.41", "ü/-"]
Command = Callable[..., Result]


@pytest.fixture
def command(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Run a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> Result:
        capsys.readouterr()
        status = main.main(words)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Result(status, out, err)

    return run


@pytest.fixture
def place(server: Server) -> str:
    return f"cavatica://{server.project}"


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def tree(folder: Path) -> dict[str, bytes]:
    for number, inside in enumerate([".", *FOLDERS]):
        (folder / inside).mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            (folder / inside / name).write_text(f"{number} {name}")
    (folder / "empty").mkdir()
    return content(folder)


def test_there_and_back(server: Server, command: Command, place: str, tmp_path: Path) -> None:
    made = tree(tmp_path / "reads")
    dry = command("put", "--dry-run", "reads", f"{place}/reads")
    assert dry.out.count(" -> ") == len(made)
    assert not moves(server)["sent"]
    assert command("put", "reads", f"{place}/reads").out.startswith(f"Sent {len(made)} files")
    again = command("put", "reads/", f"{place}/reads")
    assert again.out.endswith(f"; {len(made)} were there already.\n")
    assert command("get", f"{place}/reads", "back").status == 0
    assert content(tmp_path / "back") == made
    assert (tmp_path / "back" / "empty").is_dir()
    assert command("get", f"{place}/reads", "back").out.startswith("Fetched 0 files")
    assert moves(server)["sent"] == moves(server)["fetched"] == len(made)


def test_metadata_by_names(server: Server, command: Command, place: str, tmp_path: Path) -> None:
    """Of files that are sent, and of those that are there already; the checksum stays."""
    (tmp_path / "reads").mkdir()
    for name in ("A_R1.fq", "A_R2.fq", "README"):
        (tmp_path / "reads" / name).write_text(name)
    put = ("put", "reads", f"{place}/reads")
    assert command(*put).status == 0
    pattern = ("--metadata-from", "{sample_id}_R{paired_end}.fq", "--metadata", "case_id=C")
    (tmp_path / "reads" / "B_R1.fq").write_text("more")
    done = command(*put, *pattern)
    assert done.out.endswith("; 3 were there already.\n")
    assert "1 files are not named as --metadata-from says: README" in done.err
    listed = json.loads(command("ls", "--json", f"{place}/reads").out)["files"]
    said = {Path(one["place"]).name: one["metadata"] for one in listed}
    assert len({one.pop("snakemake_md5") for one in said.values()}) == len(said)
    assert said == {
        "A_R1.fq": {"sample_id": "A", "paired_end": "1", "case_id": "C"},
        "A_R2.fq": {"sample_id": "A", "paired_end": "2", "case_id": "C"},
        "B_R1.fq": {"sample_id": "B", "paired_end": "1", "case_id": "C"},
        "README": {"case_id": "C"},
    }
    before = len(server.requests())
    command(*put, *pattern)
    assert "PATCH" not in {one["method"] for one in server.requests()[before:]}
    wrong = command(*put, "--metadata-from", "reads.fq")
    assert wrong.status == 1
    assert "--metadata-from 'reads.fq' names no key of metadata" in wrong.err
    wrong = command(*put, "--metadata-from", "{sample_id}_{paired_end.fq")
    assert wrong.status == 1
    assert "has a brace that belongs to no key" in wrong.err


def test_what_ls_shows_and_rm_removes(
    server: Server, command: Command, place: str, tmp_path: Path
) -> None:
    made = tree(tmp_path / "reads")
    command("put", "reads", f"{place}/reads")
    lines = command("ls", "-r", place).out.splitlines()
    assert all(line.startswith(place) and line.isprintable() for line in lines)
    assert len([line for line in lines if not line.endswith("/")]) == len(made)
    document = json.loads(command("ls", "-r", "--json", f"{place}/reads").out)["files"]
    places = {one["place"].removeprefix(f"{place}/reads/") for one in document if one["size"]}
    assert places == set(made)
    long = command("ls", "-l", f"{place}/reads/*.txt").out
    assert "snakemake_md5=" in long
    assert len(long.splitlines()) == 1 + 4
    assert "is a folder" in command("rm", f"{place}/reads/sub").err
    assert "no terminal to ask" in command("rm", "-r", f"{place}/reads/sub").err
    assert "na*me" in command("rm", "--dry-run", f"{place}/reads/na*me [1]?.txt").out
    assert command("rm", "--yes", f"{place}/reads/na*me [1]?.txt").out.endswith("16 bytes.\n")
    assert command("rm", "-r", "--yes", f"{place}/reads/sub", f"{place}/reads/-rf").status == 0
    assert server.names("reads") == {
        "empty",
        "od_.20d",
        "_.C3_.BC",
        *(set(NAMES) - {"na*me [1]?.txt", "-rf"}),
    }


def test_which_files_and_where(command: Command, place: str, tmp_path: Path) -> None:
    tree(tmp_path / "reads")
    words = ("put", "--dry-run", "reads", "--include", "*.txt", "--exclude", "sub")
    told = command(*words, f"{place}/x").out
    assert "x/plain.txt" in told
    assert "x/sub/" not in told
    assert "-rf" not in told
    assert f"{place}/x/reads/plain.txt" in command("put", "--dry-run", "reads", f"{place}/x/").out
    assert f"-> {place}/plain.txt" in command("put", "reads/plain.txt", place, "--dry-run").out
    command("put", "reads", f"{place}/reads")
    listed = command("ls", f"{place}/reads/[su]*/**").out
    assert len(listed.splitlines()) == len(NAMES)
    listed = command("ls", f"{place}/reads/[oü]*/**").out
    assert len(listed.splitlines()) == 2 * len(NAMES)
    assert "both be out/plain.txt" in command("get", f"{place}/reads/**/plain.txt", "out").err
    assert "-> out/sub/plain.txt" in command("get", "--dry-run", f"{place}/reads/s*", "out").out
    assert "-> new.txt" in command("get", "--dry-run", f"{place}/reads/plain.txt", "new.txt").out
    (tmp_path / "here").mkdir()
    told = command("get", "--dry-run", f"{place}/reads/plain.txt", "here").out
    assert "-> here/plain.txt" in told


def test_by_id(server: Server, command: Command, place: str, tmp_path: Path) -> None:
    file = server.put("x/a.txt", "one")
    folder = server.folder("x")
    assert command("get", f"cavatica://id/{file.id}", ".").status == 0
    assert (tmp_path / "a.txt").read_text() == "one"
    assert command("get", f"cavatica://id/{folder}", "y").status == 0
    assert (tmp_path / "y" / "a.txt").read_text() == "one"
    assert command("rm", "--yes", f"cavatica://id/{file.id}").status == 0
    assert "no file of that id" in command("ls", f"cavatica://id/{file.id}").err


def test_folders_by_their_ids(server: Server, command: Command, place: str) -> None:
    inside = f"x/{encode_folder('ü b')}"
    server.put(f"{inside}/c.txt", "one")
    listed = command("ls", f"cavatica://id/{server.folder(inside)}").out
    assert listed == f"{place}/x/ü b/c.txt\n"
    project = server.client.project(server.project).root_folder
    assert f"{place}/x/" in command("ls", f"cavatica://id/{project}").out.splitlines()
    assert "is a whole project" in command("rm", "-r", "--yes", f"cavatica://id/{project}").err


def test_files_of_one_name_by_their_ids(
    server: Server, command: Command, place: str, tmp_path: Path
) -> None:
    ids = [f"cavatica://id/{server.put(f'{folder}/a.txt', folder).id}" for folder in "xy"]
    assert command("ls", *ids).out.split() == [f"{place}/x/a.txt", f"{place}/y/a.txt"]
    told = f"{place}/x/a.txt and {place}/y/a.txt would both be"
    assert told in command("get", *ids, f"{tmp_path}/").err
    assert command("get", ids[0], f"{ids[1]}/b.txt", f"{tmp_path}/").status == 0
    assert [(tmp_path / name).read_text() for name in ("a.txt", "b.txt")] == ["x", "y"]
    rows = command("samples", *ids).out.splitlines()
    assert [row.split("\t")[0] for row in rows[1:]] == [f"{place}/x/a.txt", f"{place}/y/a.txt"]
    assert command("rm", "--dry-run", *ids).out.startswith(f"{place}/x/a.txt\n{place}/y/a.txt\n")
    command("rm", "--yes", *ids)
    assert all("no file of that id" in command("ls", one).err for one in ids)


def test_another_content_is_replaced_only_if_asked(
    command: Command, place: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    command("put", "a.txt", f"{place}/a.txt")
    stamp = file.stat()
    file.write_text("two")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # only its checksum tells
    refused = command("put", "a.txt", f"{place}/a.txt")
    assert refused.status == 1
    assert "another content" in refused.err
    assert "--overwrite" in refused.err
    assert command("put", "--overwrite", "a.txt", f"{place}/a.txt").out.startswith("Sent 1 file")
    file.write_text("three")
    assert "another content" in command("get", f"{place}/a.txt", "a.txt").err
    assert file.read_text() == "three"
    command("get", "--overwrite", f"{place}/a.txt", "a.txt")
    assert file.read_text() == "two"


def test_without_a_checksum_the_time_decides(
    server: Server, command: Command, place: str, tmp_path: Path
) -> None:
    server.put("x/a.txt", "one")
    (tmp_path / "a.txt").write_text("two")
    assert "another content" in command("put", "a.txt", f"{place}/x/a.txt").err
    os.utime(tmp_path / "a.txt", (1.0, 1.0))
    assert "were there already" in command("put", "a.txt", f"{place}/x/a.txt").out


def test_a_content_that_is_not_what_was_sent(
    server: Server, command: Command, place: str, tmp_path: Path
) -> None:
    file = server.put("x/a.txt", "one")
    wrong = {"snakemake_md5": "0" * 32}
    server.client.edit_files([{"id": file.id, "metadata": wrong}])
    refused = command("get", f"{place}/x/a.txt", "a.txt")
    assert refused.status == 1
    assert "a.txt: what has arrived is not what was put there" in refused.err
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - also hidden ones


def test_large_files_go_on_where_they_were(
    server: Server,
    command: Command,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their parts are not sent twice, in either direction."""
    monkeypatch.setattr(upload, "RECOMMENDED_PART", SMALLEST_PART)
    monkeypatch.setattr(download, "DOWNLOAD_PART", SMALLEST_PART)
    with (tmp_path / "large").open("wb") as stream:
        for number in range(4):
            stream.write(bytes([number]) * SMALLEST_PART)
    with monkeypatch.context() as broken:
        put, arrived = upload._Upload._put, []

        def first_three(self: upload._Upload, target: PartUrl, part: Slice) -> dict[str, str]:
            if part._start == 3 * SMALLEST_PART:
                until(lambda: len(arrived) == 3)
                raise Stopped("enough")
            headers = put(self, target, part)
            arrived.append(part._start)
            return headers

        broken.setattr(upload._Upload, "_put", first_three)
        assert command("put", "large", f"{place}/large").status == 130
    assert command("put", "large", f"{place}/large").status == 0
    assert moves(server)["sent"] == 4
    opened = [one["method"] for one in server.requests() if "/multipart?" in one["path"]]
    assert opened == ["POST"]
    assert list((tmp_path / "state").rglob("*.jsonl")) == []
    fetched = []
    original = download._Download._fetch

    def fetch(self: download._Download, start: int, stop: Stop) -> download.Span:
        if start == 2 * SMALLEST_PART and len(fetched) < 4:
            fetched.append(start)
            raise TransferError("lost")
        span = original(self, start, stop)
        fetched.append(start)
        return span

    monkeypatch.setattr(download._Download, "_fetch", fetch)
    assert "lost" in command("get", f"{place}/large", "back").err
    before = set(fetched)
    fetched[:] = [0, 0, 0, 0]
    assert command("get", f"{place}/large", "back").status == 0
    assert (
        {2 * SMALLEST_PART}
        <= set(fetched[4:])
        <= {*range(4 * SMALLEST_PART)} - (before - {2 * SMALLEST_PART})
    )
    assert (tmp_path / "back").read_bytes() == (tmp_path / "large").read_bytes()
    assert not list(tmp_path.glob(".cavatica*"))


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_and_repeated(server: Server, tmp_path: Path, seed: int) -> None:
    assert "content equal" in trial(server, tmp_path, seed, files=20, large=1_000_000)


# ------------------------------------------------------------------------------- mistakes

MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "no address": (("put", "a.txt", "owner/x"), "'owner/x' is no place on the platform: it has"),
    "half an address": (("ls", "cavatica://owner"), "it has to name owner and project"),
    "no project": (("ls", "cavatica://no/body"), "There is no project no/body"),
    "nothing there": (("get", "{place}/nix", "."), "nix does not exist, and matches nothing"),
    "the other way round": (("put", "{place}/x", "{place}/y"), "/x is a place on the platform;"),
    "nothing here": (("put", "nix", "{place}/"), "nix is not there."),
    "a pipe": (("put", "pipe", "{place}/"), "pipe is neither a file nor a folder"),
    "a link": (("put", "lost", "{place}/"), "lost is a link to nothing"),
    "a circle": (("put", "circle", "{place}/"), "leads back to a folder that it is in"),
    "a long name": (("put", "a.txt", "{place}/" + "x" * 300), "has 300 bytes as UTF-8"),
    "two of a name": (("put", "a.txt", "sub/a.txt", "{place}/"), "would both be"),
    "a file as a folder": (("put", "sub", "{place}/x/a.txt"), "is a file on the platform"),
    "a file above": (("put", "a.txt", "{place}/x/a.txt/y"), "x/a.txt is no folder but a file"),
    "a folder as a file": (("get", "{place}/x", "a.txt"), "a.txt is a file here"),
    "the whole project": (("rm", "-r", "{place}"), "is a whole project"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(
    server: Server, command: Command, place: str, tmp_path: Path, mistake: str
) -> None:
    words, sentence = MISTAKES[mistake]
    server.put("x/a.txt", "other")
    (tmp_path / "sub").mkdir()
    (tmp_path / "circle").mkdir()
    (tmp_path / "circle" / "loop").symlink_to(tmp_path / "circle")
    (tmp_path / "lost").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("a.txt", "sub/a.txt"):
        (tmp_path / name).write_text("mine")
    result = command(*(word.replace("{place}", place) for word in words))
    assert result.status == 1
    assert len(result.err.splitlines()) == 1
    assert sentence in result.err
    assert not moves(server)["fetched"]


def test_a_project_without_permission(server: Server, command: Command, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("mine")
    user = server.control("users", {"username": f"guest-{server.project.split('/')[1][-8:]}"})
    theirs = Server(server.endpoint, user["auth_token"], server.project, server.process, None)  # type: ignore[arg-type]
    members = f"/projects/{server.project}/members"
    server.call(members, {"username": user["username"], "permissions": {"copy": False}})
    os.environ["SB_AUTH_TOKEN"] = theirs.token
    place = f"cavatica://{server.project}"
    for words in (("put", "a.txt", place), ("rm", f"{place}/a.txt")):
        assert "You have no write permission in the project" in command(*words).err
    assert "You have no copy permission" in command("get", f"{place}/a.txt", ".").err


def test_a_disk_that_is_full(
    server: Server,
    command: Command,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.put("x/a.txt", "x" * 1000)
    few = SimpleNamespace(free=999)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: few)
    assert "There are 0.0 GB of space" in command("get", f"{place}/x/a.txt", ".").err
    monkeypatch.undo()


def test_a_disk_that_fills_up(
    server: Server, command: Command, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("x/a.txt", "x" * 1000)
    # A disk of the kernel's that is always full.
    monkeypatch.setattr(
        "snakemake_executor_cavatica.api.download._Download._write",
        lambda *_: Path("/dev/full").write_text("x"),
    )
    told = command("get", f"{place}/x/a.txt", ".")
    assert told.status == 1
    assert "No space left on device. What has arrived stays" in told.err


def test_a_file_that_changes_meanwhile(
    server: Server, command: Command, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("one")
    original = type(server.client).upload_part_url

    def change(*words: object) -> object:
        file.write_text("another")
        return original(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(type(server.client), "upload_part_url", change)
    told = command("put", "a.txt", place)
    assert told.status == 1
    assert "a.txt changed while it was uploaded; upload it again" in told.err
    assert server.client.list_files(project=server.project).__next__
