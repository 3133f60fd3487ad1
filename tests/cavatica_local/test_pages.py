"""The pages: what they show, and what does not get into them, or out."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import requests
from page_visits import CODE, Guest, Seen, entered, invited
from platform_serving import TERMINAL, Serve, Server, file_input, file_output, tool

from tests.fresh_project import fresh_project

COUNT = tool(
    "wc -l < $f > lines.txt; echo count''ed >&2",
    {"f": "File", "note": "string"},
    {"lines": file_output("lines.txt")},
)
SLEEP = tool("sleep 60", {}, {})
MARKUP = "<script>window.struck = 1</script><img src=x onerror='window.struck = 1'>"
NAMES = (
    f"{MARKUP[8:]}".replace("/", "|"),
    "\"onmouseover='window.struck=1' x=\"",
    "javascript:window.struck=1",
    "line\nSet-Cookie: a=b\r\nend",
    "abc\u202egpj.exe",
    "{{ 7 * 7 }}{% raw %}",
    "née größer 数据 🧬",
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that really runs tasks."""
    options = ("--rate-limit", "off", "--switch", "status_flap=0", "--price-hour", "0.01")
    server = Server.start(tmp_path_factory.mktemp("pages"), *options)
    yield server
    assert server.stop() == 0


@pytest.fixture
def server(shared: Server) -> Server:
    """The same server with a project of its own."""
    return replace(shared, project=fresh_project(shared.api, shared.token))


@pytest.fixture
def guest(server: Server) -> Guest:
    return entered(server)


def is_harmless(seen: Seen) -> bool:
    """Nothing but what the templates hold: no code, no frame, and only links to pages."""
    allowed = {"script": 1, "style": 1, "link": 1}
    for tag, given in seen.elements:
        assert tag not in ("img", "iframe", "object", "embed", "form", "base", "b-x", "svg:script")
        if tag in allowed:
            allowed[tag] -= 1
        assert not [name for name in given if name.startswith("on") or name == "style"], given
        if tag == "a":
            assert str(given["href"]).startswith(("/u", "#")), given
    assert allowed == {"script": 0, "style": 0, "link": 0}
    return True


# --- getting in -----------------------------------------------------------------------------------


def test_an_address_is_good_once(server: Server) -> None:
    first, second = Guest(server), Guest(server)
    address = first.invitation()
    seen = first.enter(address)
    assert seen.status == 200
    assert "code" not in seen.response.url
    assert second.enter(address).status == 401
    assert second.open().status == 401
    assert first.enter(address).status == 200, "who is in stays in"
    assert second.invitation() != address
    assert second.enter().status == 200


def test_the_address_is_for_the_owner_of_the_server_only(server: Server) -> None:
    file = server.root / "pages"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith(f"{server.api.removesuffix('/v2')}/u/local/project?code=")
    Guest(server).enter()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_printed_address_leads_to_the_first_project(serve: Serve) -> None:
    server = serve("--engine", "simulate")
    assert server.pages == Guest(server).invitation()
    seen = Guest(server).enter(server.pages)
    assert (seen.status, seen.response.url) == (200, CODE.sub("", server.pages))


def test_the_cookie_is_for_the_pages_of_this_server_alone(server: Server) -> None:
    answer = Guest(server).answer(Guest(server).invitation(), allow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/u/local/project"
    name, *flags = answer.headers["Set-Cookie"].split("; ")
    assert name.startswith(f"cavatica_local_{server.api.rpartition(':')[2].removesuffix('/v2')}=")
    assert {flag.lower() for flag in flags} == {"httponly", "path=/u", "samesite=strict"}


def test_with_tls_the_cookie_never_travels_readably(serve: Serve) -> None:
    server = serve("--engine", "simulate", "--tls")
    guest = Guest(server)
    answer = guest.answer(guest.invitation(), allow_redirects=False)
    assert "Secure" in answer.headers["Set-Cookie"].split("; ")
    assert guest.open(answer.headers["Location"]).status == 200


@pytest.mark.parametrize(
    "path",
    ["", "tasks/x", "files", "/u", "/u/nobody/nothing", "/u/a/b/c/d", "?code=wrong", "?code="],
)
def test_without_a_cookie_all_addresses_say_how_to_get_in(server: Server, path: str) -> None:
    answers = []
    for cookies in ({}, {f"cavatica_local_{server.api[-8:-3]}": "guess"}, {"other": "x"}):
        seen = Guest(server).open(path, cookies=cookies)
        assert seen.status == 401
        assert "cat .cavatica-local/pages" in seen.text
        assert is_harmless(seen)
        answers.append(seen.text)
    assert len(set(answers)) == 1


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", ""])
def test_another_name_of_this_machine_gets_nothing(guest: Guest, host: str) -> None:
    for path in ("", "/u", "?code=x", guest.invitation()):
        seen = guest.open(path, headers={"Host": host})
        assert seen.status == 421
        assert "127.0.0.1" in seen.text
        assert guest.server.project not in seen.text
    assert Guest(guest.server).enter().status == 200, "the code was not used up"
    api = {"Host": host, "X-SBG-Auth-Token": guest.server.token}
    assert requests.get(f"{guest.server.api}/user", headers=api, timeout=30).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1:1"])
def test_a_tunnel_may_have_another_port(guest: Guest, host: str) -> None:
    cookies = requests.utils.dict_from_cookiejar(guest.session.cookies)
    assert Guest(guest.server).open(headers={"Host": host}, cookies=cookies).status == 200


def test_every_answer_keeps_the_browser_within_the_pages(guest: Guest) -> None:
    key = guest.server.upload("page.html", b"<script>1</script>")
    for path in ("", "files", f"files/{key}", f"files/{key}/download", "tasks/x", "/u/x"):
        for visitor in (guest, Guest(guest.server)):
            headers = visitor.answer(path).headers
            policy = dict(
                part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; ")
            )
            assert policy["default-src"] == "'none'"
            assert policy["script-src"].startswith("'sha256-")
            assert policy["style-src"].startswith("'sha256-")
            for name in ("base-uri", "form-action", "frame-ancestors"):
                assert policy[name] == "'none'"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cache-Control"] == "no-store"
            assert not [name for name in headers if name.lower().startswith("access-control")]


def test_no_code_is_in_the_log_of_requests(server: Server) -> None:
    guest = entered(server)
    guest.open()
    assert [entry for entry in server.control("log") if entry["path"].startswith("/u/")] == []


def test_a_session_ends_with_the_server(serve: Serve) -> None:
    first = serve("--engine", "simulate")
    guest, left = entered(first), Guest(first).invitation()
    port = first.api.rpartition(":")[2].removesuffix("/v2")
    assert first.stop() == 0
    assert not (first.root / "pages").exists()
    second = serve("--engine", "simulate", "--port", port)
    assert guest.open().status == 401
    assert guest.enter(left).status == 401
    assert guest.enter(second.pages).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(guest: Guest, method: str) -> None:
    seen = guest.open(method=method)
    assert (seen.status, seen.response.headers["Allow"]) == (405, "GET, HEAD")
    assert guest.answer(method="HEAD").status_code == 200


# --- what is shown --------------------------------------------------------------------------------


def test_a_project_that_is_new(guest: Guest) -> None:
    seen = guest.open()
    assert "There are no tasks yet" in seen.text
    assert seen.is_live
    assert "Nothing is in it" in guest.open("files").text


def test_a_task_that_has_ended_well(server: Server, guest: Guest) -> None:
    key = server.upload("reads.txt", b"a\nb\n")
    app = server.install("count", COUNT)
    given = {"f": file_input(key), "note": "first line\nsecond line"}
    task = server.run(app, given, name="count [A]", description="Of a run.")
    listing = guest.open()
    assert listing.link(task["id"]) == f"/u/{server.project}/tasks/{task['id']}"
    assert "count [A]" in listing.text
    seen = guest.open(listing.link(task["id"]))
    assert not seen.is_live
    for text in (
        *("count [A]", "completed", "Of a run.", "count, revision 0", task["id"], "c5.large"),
        *(
            "reads.txt",
            "4 B",
            "first line second line",
            "lines.txt",
            "counted",
            "sh -c",
            "job.err.log",
        ),
        *(f"{task['price']['amount']} USD", "by local"),
    ):
        assert text in seen.text, text
    made = guest.open(seen.link(f"/files/{task['outputs']['lines']['path']}"))
    assert "2" in made.text
    assert made.link(task["id"])
    assert guest.answer(made.link("/download")).content == server.content(
        made.link("/download").split("/")[-2]
    )


def test_a_task_that_has_failed(server: Server, guest: Guest) -> None:
    app = server.install("fails", tool("echo 'the reason <b>' >&2; exit 3", {}, {}))
    task = server.run(app, {}, name="fails")
    seen = guest.open(f"tasks/{task['id']}")
    assert "Why it failed" in seen.text
    assert task["execution_status"]["message"] in seen.text
    assert "the reason <b>" in seen.text
    assert "Failed 1" in guest.open().text


def test_a_draft_says_what_stands_against_it(server: Server, guest: Guest) -> None:
    draft = server.draft(server.install("count", COUNT), {})
    seen = guest.open(f"tasks/{draft['id']}")
    assert "What stands against it" in seen.text
    assert next(iter(draft["errors"][0].values())) in seen.text


def test_a_task_changes_while_it_is_under_way(server: Server, guest: Guest) -> None:
    task = server.draft(server.install("sleep", SLEEP), {})
    path = f"tasks/{task['id']}"
    assert "draft" in guest.open(path).text
    server.ok("POST", f"/tasks/{task['id']}/actions/run")
    running = server.until(lambda: guest.open(path), lambda seen: " running" in seen.text)
    assert running.is_live
    assert "Running 1" in guest.open().text
    server.control("fail", {"task": task["id"], "message": "taken away"})
    ended = server.until(lambda: guest.open(path), lambda seen: not seen.is_live)
    assert "failed" in ended.text
    assert "taken away" in ended.text


def test_a_batch_with_its_children(server: Server, guest: Guest) -> None:
    app = server.install("one", tool("test ! -s $f", {"f": "File"}, {}))
    files = [file_input(server.upload(f"{n}.txt", b"x" * (n == 2))) for n in range(3)]
    batch = {"batch": True, "batch_input": "f", "batch_by": {"type": "ITEM"}}
    parent = server.run(app, {"f": files}, name="all", **batch)
    children = server.get(f"/tasks?parent={parent['id']}&fields=_all")["items"]
    listing = guest.open()
    assert "batch, 2 of 3 completed" in listing.text
    assert not [child for child in children if child["id"] in listing.text]
    seen = guest.open(listing.link(parent["id"]))
    assert "Some tasks of the batch failed." in seen.text
    for child in children:
        shown = guest.open(seen.link(child["id"]))
        assert child["name"] in shown.text
        assert shown.link(parent["id"])
    assert not [name for name in ("Standard error", "Command") if name in seen.text]


def test_many_tasks_have_several_pages(simulated: Server) -> None:
    server = replace(simulated, project=fresh_project(simulated.api, simulated.token))
    app = server.install("count", tool("true", {}, {}))
    tasks = [server.draft(app, {}, name=f"task {number}")["id"] for number in range(250)]
    for task in tasks[:30]:
        server.ok("POST", f"/tasks/{task}/actions/run")
    for task in tasks[:30]:
        server.wait(task)
    guest = entered(server)
    shown: list[str] = []
    path, sizes = "", []
    while path is not None:
        seen = guest.open(path)
        assert "All 250" in seen.text
        ids = [link.rpartition("/")[2] for link in seen.links if "/tasks/" in link]
        sizes.append(len(ids))
        shown += ids
        path = next(
            (str(given["href"]) for _, given in seen.elements if given.get("rel") == "next"), None
        )
    assert sizes == [100, 100, 50]
    assert sorted(shown) == sorted(tasks)
    completed = guest.open("?status=COMPLETED")
    assert {link.rpartition("/")[2] for link in completed.links if "/tasks/" in link} == set(
        tasks[:30]
    )
    for page in ("0", "-1", "99", "x", "9" * 40, "²"):
        assert guest.open(f"?page={page}").status == 200
    assert "none of these on this page" in guest.open("?page=99").text


def test_files_and_folders_by_name(server: Server, guest: Guest) -> None:
    root = server.get(f"/projects/{server.project}")["root_folder"]
    folder = server.ok("POST", "/files", {"name": "results", "parent": root, "type": "folder"})[
        "id"
    ]
    inner = server.ok("POST", "/files", {"name": "deep", "parent": folder, "type": "folder"})["id"]
    for name in ("b.txt", "a.txt", "Z.txt"):
        server.upload(name, b"x")
    key = server.upload("in.txt", b"one\ntwo\n", parent=inner)
    seen = guest.open("files")
    order = [seen.text.index(name) for name in ("results/", "Z.txt", "a.txt", "b.txt")]
    assert order == sorted(order)
    deep = guest.open(guest.open(seen.link(folder)).link(inner))
    assert deep.link(folder)
    shown = guest.open(deep.link(key))
    assert "one two" in shown.text
    assert "results / deep /" in shown.text


def test_what_cannot_be_shown_can_be_downloaded(server: Server, guest: Guest) -> None:
    for name, content, said in (
        ("binary", b"\x1f\x8b\0\1", "It is no text."),
        ("latin", b"caf\xe9", "It is no text."),
        ("large", b"x" * 300_000, "too large to be shown"),
        ("empty", b"", "It is empty."),
    ):
        seen = guest.open(f"files/{server.upload(name, content)}")
        assert said in seen.text
        assert guest.answer(seen.link("/download")).content == content


def test_a_download_is_never_shown(server: Server, guest: Guest) -> None:
    key = server.upload('a"\r\nX: y; é.html', b"<script>1</script>")
    answer = guest.answer(f"files/{key}/download")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    disposition = answer.headers["Content-Disposition"]
    assert disposition == "attachment; filename*=UTF-8''a%22%0D%0AX%3A%20y%3B%20%C3%A9.html"
    assert "X" not in answer.headers
    part = guest.answer(f"files/{key}/download", headers={"Range": "bytes=1-6"})
    assert (part.status_code, part.content) == (206, b"script")


def test_a_log_is_shown_from_its_end(server: Server, guest: Guest) -> None:
    loud = "i=0; while [ $i -lt 30000 ]; do echo line $i.; i=$((i+1)); done >&2; printf '\\377' >&2"
    task = server.run(server.install("loud", tool(loud, {}, {})), {})
    seen = guest.open(f"tasks/{task['id']}")
    assert "line 29999." in seen.text
    assert "line 1." not in seen.text
    assert "The end of it:" in seen.text


# --- what must not get in -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_names_are_only_names(server: Server, guest: Guest, name: str) -> None:
    server.ok("PATCH", f"/projects/{server.project}", {"name": f"p {name}", "description": name})
    key = server.upload(name, name.encode())
    server.ok("PATCH", f"/files/{key}/metadata", {"sample": name[:200]})
    app = server.install("count", {**COUNT, "label": name, "doc": name})
    task = server.run(app, {"f": file_input(key), "note": name}, name=name, description=name)
    pages = ["/u", "", "files", f"files/{key}", f"tasks/{task['id']}", "?status=COMPLETED"]
    texts = []
    for path in pages:
        seen = guest.open(path)
        assert seen.status == 200
        assert is_harmless(seen)
        texts.append(seen.text)
        assert not re.search(
            "[\u202a-\u202e\u2066-\u2069\0-\x08\x0b\x0c\x0e-\x1f]", seen.response.text
        )
    spelled = name.replace("\r", "\\r").replace("\n", "\\n").replace("\u202e", "\\u202e")
    for text in texts:
        assert spelled in text, text


def test_inputs_that_are_no_text(server: Server, guest: Guest) -> None:
    note = "a\ud800b\x00c\x1b[31m"
    inputs = {"note": note, "other": {"x": [1, None]}}
    draft = {"project": server.project, "app": server.install("count", COUNT), "inputs": inputs}
    server.call("POST", "/tasks", {**draft, "name": "odd"})  # JSON has no form for the answer
    [task] = server.get(f"/tasks?project={server.project}&fields=id")["items"]
    seen = guest.open(f"tasks/{task['id']}")
    assert r"a\ud800b\x00c\x1b[31m" in seen.text
    assert '{"x": [1, null]}' in seen.text


def test_the_content_of_a_file_is_only_text(server: Server, guest: Guest) -> None:
    content = f"</pre></main>{MARKUP}<!-- ]]>"
    seen = guest.open(f"files/{server.upload('x.html', content.encode())}")
    assert is_harmless(seen)
    assert content in seen.text


def test_the_token_is_nowhere(server: Server, guest: Guest) -> None:
    key = server.upload("f", b"x")
    task = server.run(server.install("count", COUNT), {"f": file_input(key), "note": "n"})
    paths = ("/u", "", "files", f"files/{key}", f"files/{key}/download", f"tasks/{task['id']}", "x")
    for path in paths:
        answer = guest.answer(path)
        assert server.token not in answer.text + str(answer.headers) + answer.url
        assert server.token not in str(guest.session.cookies)


# --- who sees what --------------------------------------------------------------------------------


def colleague(server: Server) -> tuple[str, Guest]:
    name = f"colleague-{time.monotonic_ns()}"
    server.control("users", {"username": name})
    return name, invited(server, name)


def admit(server: Server, name: str, **granted: bool) -> None:
    everything = dict.fromkeys(("read", "write", "copy", "execute", "admin"), False)
    permissions = {**everything, "read": True, **granted}
    body = {"username": name, "permissions": permissions}
    server.ok("POST", f"/projects/{server.project}/members", body)


def test_who_is_no_member_sees_nothing(server: Server) -> None:
    key = server.upload("secret-name.txt", b"secret content")
    task = server.run(server.install("count", COUNT), {"f": file_input(key), "note": "n"})
    _, other = colleague(server)
    paths = ["", "files", f"files/{key}", f"files/{key}/download", f"tasks/{task['id']}"]
    absent = other.open("/u/nobody/nothing")
    for path in paths:
        seen = other.open(path)
        assert seen.status == 404
        assert "secret" not in seen.response.text
    assert other.open().text == absent.text
    assert server.project not in other.open("/u").response.text


def test_a_member_sees_what_their_permissions_allow(server: Server) -> None:
    key = server.upload("f.txt", b"the content")
    task = server.run(server.install("count", COUNT), {"f": file_input(key), "note": "n"})
    name, other = colleague(server)
    admit(server, name)
    assert other.open("/u").link(server.project)
    assert other.open(f"tasks/{task['id']}").status == 200
    seen = other.open(f"files/{key}")
    assert "You lack the copy privilege" in seen.text
    assert "the content" not in seen.text
    assert not [link for link in seen.links if link.endswith("/download")]
    assert "counted" not in other.open(f"tasks/{task['id']}").text
    assert other.open(f"files/{key}/download").status == 403
    server.ok(
        "PUT",
        f"/projects/{server.project}/members/{name}/permissions",
        {"read": True, "write": False, "copy": True, "execute": False, "admin": False},
    )
    assert "the content" in other.open(f"files/{key}").text
    server.ok("DELETE", f"/projects/{server.project}/members/{name}")
    assert other.open(f"files/{key}").status == 404


def test_a_public_project_is_for_all(server: Server) -> None:
    _, other = colleague(server)
    server.control("projects", {"project": server.project, "category": "PUBLIC"})
    assert other.open().status == 200


def test_unknown_things(server: Server, guest: Guest) -> None:
    elsewhere = replace(server, project=fresh_project(server.api, server.token))
    key = elsewhere.upload("f", b"x")
    task = elsewhere.draft(elsewhere.install("sleep", SLEEP), {})["id"]
    for path in (
        *("/u/nobody/nothing", "/u/nobody", "apps", "tasks/x", "files/x", "files/x/download"),
        *(f"tasks/{task}", f"files/{key}", f"files/{key}/download", "tasks/%00", "files/%2e%2e"),
        *("tasks/6d3f3b0a-5b2f-4f3b-8f5e-0a3c0c7f1b11", "/u/%3Cscript%3E/%22", "/u/a/b/c/d/e"),
    ):
        seen = guest.open(path)
        assert seen.status == 404, path
        assert "There is nothing here" in seen.text
        assert is_harmless(seen)


def test_projects_of_a_user(server: Server, guest: Guest) -> None:
    assert guest.open("/u").link(server.project)
    assert guest.open("/u/").link(server.project)


def test_an_input_that_is_gone(server: Server, guest: Guest) -> None:
    key = server.upload("gone.txt", b"x")
    task = server.run(server.install("count", COUNT), {"f": file_input(key), "note": "n"})
    assert task["status"] in TERMINAL
    server.ok("DELETE", f"/files/{key}")
    seen = guest.open(f"tasks/{task['id']}")
    assert "not there any more" in seen.text
