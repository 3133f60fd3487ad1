from __future__ import annotations

import base64
import gzip
import io
import json
import pickle
import tarfile
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from snakemake_executor_cavatica.api.credentials import (
    Credentials,
    Token,
    resolve_credentials,
    resolve_endpoint,
)
from snakemake_executor_cavatica.api.endpoint import CAVATICA, check_endpoint
from snakemake_executor_cavatica.api.errors import ConfigurationError

CGC = "https://cgc-api.sbgenomics.com/v2"
PROFILES = f"""
[default]
api_endpoint = {CGC}
auth_token = default%token

[cavatica]
api_endpoint = {CAVATICA}
auth_token = cavatica-token

[bare]
auth_token = bare-token

[empty]
api_endpoint = {CGC}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / ".sevenbridges"
    folder.mkdir()
    (folder / "credentials").write_text(PROFILES)
    return tmp_path


def found(credentials: Credentials) -> tuple[str, str]:
    return credentials.endpoint, credentials.token.reveal()


def test_own_variable_comes_first(home: Path) -> None:
    environ = {"SNAKEMAKE_CAVATICA_TOKEN": " own\n", "SB_AUTH_TOKEN": "sb"}
    credentials = resolve_credentials(environ=environ, home=home)
    assert found(credentials) == (CAVATICA, "own")
    assert credentials.source == "the environment variable SNAKEMAKE_CAVATICA_TOKEN"


def test_sb_variables(home: Path) -> None:
    environ = {"SB_AUTH_TOKEN": "sb", "SB_API_ENDPOINT": f"{CGC}/"}
    assert found(resolve_credentials(environ=environ, home=home)) == (CGC, "sb")


def test_a_file_that_holds_the_token(home: Path) -> None:
    """What a process starts does not inherit it; the variable of the other tools comes after."""
    file = home / "secret"
    file.write_text("in-a-file\n")
    environ = {"SNAKEMAKE_CAVATICA_TOKEN_FILE": str(file), "SB_AUTH_TOKEN": "sb"}
    credentials = resolve_credentials(environ=environ, home=home)
    assert found(credentials) == (CAVATICA, "in-a-file")
    assert credentials.source.startswith("the file of the environment variable SNAKEMAKE_")
    more = {**environ, "SNAKEMAKE_CAVATICA_TOKEN": "own"}
    assert found(resolve_credentials(environ=more, home=home))[1] == "own"
    file.unlink()
    with pytest.raises(ConfigurationError, match="secret, which cannot be read"):
        resolve_credentials(environ=environ, home=home)


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_file_does_not_stand_for_another_token(home: Path, content: str) -> None:
    file = home / "secret"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match="secret, which is empty"):
        resolve_credentials(environ={"SNAKEMAKE_CAVATICA_TOKEN_FILE": str(file)}, home=home)


def test_explicit_endpoint_beats_the_variable(home: Path) -> None:
    environ = {"SB_AUTH_TOKEN": "sb", "SB_API_ENDPOINT": CGC}
    credentials = resolve_credentials(endpoint=CAVATICA, environ=environ, home=home)
    assert found(credentials) == (CAVATICA, "sb")


def test_profile_cavatica_before_default(home: Path) -> None:
    assert found(resolve_credentials(environ={}, home=home)) == (CAVATICA, "cavatica-token")


def test_profile_default_with_percent_sign(tmp_path: Path, home: Path) -> None:
    path = home / ".sevenbridges" / "credentials"
    path.write_text(f"[default]\napi_endpoint={CGC}\nauth_token=a%b\n")
    assert found(resolve_credentials(environ={}, home=home)) == (CGC, "a%b")


def test_named_profile_beats_the_environment(home: Path) -> None:
    environ = {"SNAKEMAKE_CAVATICA_TOKEN": "own", "SB_API_ENDPOINT": "https://evil.example/v2"}
    credentials = resolve_credentials(profile="default", environ=environ, home=home)
    assert found(credentials) == (CGC, "default%token")


def test_a_named_profile_does_not_need_the_file_of_a_variable(home: Path) -> None:
    """What is left over in the environment is in nobody's way, also if it leads nowhere."""
    environ = {"SNAKEMAKE_CAVATICA_TOKEN_FILE": str(home / "gone")}
    credentials = resolve_credentials(profile="cavatica", environ=environ, home=home)
    assert found(credentials) == (CAVATICA, "cavatica-token")


def test_named_profile_and_named_endpoint(home: Path) -> None:
    credentials = resolve_credentials(
        profile="cavatica", endpoint="https://proxy.example/v2", environ={}, home=home
    )
    assert found(credentials) == ("https://proxy.example/v2", "cavatica-token")


def test_profile_without_endpoint_is_cavatica(home: Path) -> None:
    credentials = resolve_credentials(profile="bare", environ={}, home=home)
    assert found(credentials) == (CAVATICA, "bare-token")


@pytest.mark.parametrize(
    "settings",
    [
        {"environ": {"SB_API_ENDPOINT": "https://evil.example/v2"}},
        {"environ": {}, "endpoint": "https://evil.example/v2"},
        {"environ": {}, "endpoint": "http://127.0.0.1:8000/v2"},
        {"environ": {}, "endpoint": "https://cavatica-api.sbgenomics.com:8443/v2"},
    ],
)
def test_token_of_an_unnamed_profile_stays_with_its_host(
    home: Path, settings: dict[str, object]
) -> None:
    with pytest.raises(ConfigurationError, match="belongs to") as caught:
        resolve_credentials(home=home, **settings)  # type: ignore[arg-type]
    assert "cavatica-token" not in str(caught.value)


def test_same_host_is_no_stranger(home: Path) -> None:
    environ = {"SB_API_ENDPOINT": "https://CAVATICA-api.sbgenomics.com/v2/"}
    credentials = resolve_credentials(environ=environ, home=home)
    assert credentials.token.reveal() == "cavatica-token"


def test_a_variables_token_never_follows_a_profiles_endpoint(home: Path) -> None:
    (home / ".sevenbridges" / "credentials").write_text(f"[cavatica]\napi_endpoint={CGC}\n")
    environ = {"SNAKEMAKE_CAVATICA_TOKEN": "own"}
    assert found(resolve_credentials(environ=environ, home=home)) == (CAVATICA, "own")


@pytest.mark.parametrize(
    ("endpoint", "profile", "variable", "goal"),
    [
        (None, None, None, CAVATICA),
        (None, None, CGC, CGC),
        (None, "new", CGC, CGC),
        (None, "default", "https://evil.example/v2", CGC),
        (None, "bare", "https://evil.example/v2", CAVATICA),
        (CAVATICA, "default", CGC, CAVATICA),
    ],
)
def test_a_token_that_is_given_by_hand_goes_where_others_of_its_kind_go(
    home: Path, endpoint: str | None, profile: str | None, variable: str | None, goal: str
) -> None:
    """Protects a new token from going to a platform that nobody has named."""
    environ = {"SB_API_ENDPOINT": variable} if variable else {}
    found = resolve_endpoint(endpoint=endpoint, profile=profile, environ=environ, home=home)
    assert found == goal


@pytest.mark.parametrize(
    ("profile", "message"), [("nobody", "no profile 'nobody'"), ("empty", "has no auth_token")]
)
def test_unusable_profiles(home: Path, profile: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        resolve_credentials(profile=profile, environ={}, home=home)


def test_no_token_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="set SNAKEMAKE_CAVATICA_TOKEN"):
        resolve_credentials(environ={"SB_AUTH_TOKEN": "  "}, home=tmp_path)


def test_broken_file_does_not_show_its_lines(home: Path) -> None:
    path = home / ".sevenbridges" / "credentials"
    path.write_text("auth_token = top-secret\n")
    with pytest.raises(ConfigurationError, match="not a valid INI file") as caught:
        resolve_credentials(environ={}, home=home)
    assert "top-secret" not in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        resolve_credentials(environ={}, home=home)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://cavatica-api.sbgenomics.com/v2",
        "http://localhost.evil.example/v2",
        "cavatica-api.sbgenomics.com/v2",
        "ftp://host/v2",
        "https://user:pw@host/v2",
        "https://host/v2?x=1",
        "https://host:port/v2",
        "https://[/v2",
        "",
    ],
)
def test_endpoints_that_are_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_endpoint(endpoint)
    assert "user:pw" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:80/v2", "http://localhost/v2", "http://[::1]:8/v2", CAVATICA]
)
def test_endpoints_that_are_fine(endpoint: str) -> None:
    assert check_endpoint(f"{endpoint}/") == endpoint


def test_token_keeps_its_secret() -> None:
    token = Token("s3cret")
    shown = [repr(token), str(token), f"{token}", f"{token!r:>30}", "%s" % token, f"{[token]}"]  # noqa: UP031
    assert not any("s3cret" in text for text in shown)
    assert not hasattr(token, "__dict__")
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(token)
    assert token == Token("s3cret")
    assert hash(token) == hash(Token("s3cret"))
    assert token != "s3cret"
    assert "s3cret" not in repr(Credentials(CAVATICA, token, "test"))


@pytest.mark.parametrize("secret", ["", "  ", "a b", "a\r\nX-Evil: 1", "tokén"])
def test_impossible_tokens(secret: str) -> None:
    with pytest.raises(ConfigurationError):
        Token(secret)


HEX = "5f3a9c0d71e24b86a0c9e8d7f6b5a493"
ODD = "ab%/+~?>5f3a9c0d71e24b86a0c9e8d7"


def _tar(content: bytes, mode: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo("member")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


HIDING_PLACES: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda secret: b"token=" + secret + b"\n",
    "json": lambda secret: json.dumps({"config": {"token": secret.decode()}}).encode(),
    "base64 after nothing": base64.b64encode,
    "base64 after 1 byte": lambda secret: base64.b64encode(b"x" + secret + b"tail"),
    "base64 after 2 bytes": lambda secret: base64.b64encode(b"xy" + secret + b"t"),
    "base64 of JSON": lambda secret: base64.b64encode(b'{"a": 1, "token": "' + secret + b'"}'),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(b"?>" + secret),
    "base64 in lines": lambda secret: base64.encodebytes(b"long" * 11 + secret + b"more" * 9),
    "hex": lambda secret: secret.hex().encode(),
    "upper case hex": lambda secret: secret.hex().upper().encode(),
    "reversed": lambda secret: secret[::-1],
    "UTF-16": lambda secret: secret.decode().encode("utf-16"),
    "gzip": lambda secret: gzip.compress(b"some text " + secret),
    "a gzipped file in a tar": lambda secret: _tar(gzip.compress(secret), "w"),
    "a gzipped tar": lambda secret: _tar(secret, "w:gz"),
    "base64 in gzip": lambda secret: gzip.compress(base64.b64encode(b"x" + secret)),
}


@pytest.mark.parametrize("secret", [HEX, ODD])
@pytest.mark.parametrize("place", HIDING_PLACES)
def test_a_token_is_found_in_whatever_form(place: str, secret: str) -> None:
    """Snakemake passes `--config token=...` on as base64, for one."""
    hide = HIDING_PLACES[place]
    assert Token(secret).is_in(hide(secret.encode()))
    assert not Token(secret).is_in(hide(secret.upper().swapcase()[1:].encode() + b"0"))


def test_content_without_the_token_is_not_suspected() -> None:
    """Also not if it looks like gzip but is broken, or if the token is so short as no token is."""
    for content in (b"", b"\x1f\x8b\x08 no gzip", b"\x1f\x8b\x08", bytes(range(256)) * 50):
        assert not Token(HEX).is_in(content)
    assert not Token("abc").is_in(base64.b64encode(b"abcdef") * 9 + b"YWJj")


def test_a_gzip_bomb_is_not_unpacked_as_a_whole() -> None:
    """The sources of a workflow may hold anything."""
    assert not Token(HEX).is_in(gzip.compress(bytes(200_000_000), compresslevel=1))


def test_the_token_is_cut_from_what_others_wrote() -> None:
    """A gateway's page may quote the request."""
    assert Token(HEX).cut_from(f"X-SBG-Auth-Token: {HEX}; {HEX}") == "X-SBG-Auth-Token: ...; ..."
    assert Token(HEX).cut_from(f"<p>{HEX}</p>".encode()) == b"<p>...</p>"


def _shown_with_locals(error: BaseException) -> str:
    """As crash reporters show it, without the frames of the tests themselves."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    shown.stack = traceback.StackSummary.from_list(
        [frame for frame in shown.stack if frame.filename != __file__]
    )
    return "".join(shown.format())


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({"SB_AUTH_TOKEN": HEX}, "http://not.encrypted.example/v2"),
        ({"SB_AUTH_TOKEN": f"{HEX} {HEX}"}, None),
        ({}, "https://evil.example/v2"),
    ],
)
def test_errors_have_no_token_in_local_variables(
    home: Path, environ: dict[str, str], endpoint: str | None
) -> None:
    """Crash reporters print them, and some Python set-ups do with every traceback."""
    (home / ".sevenbridges" / "credentials").write_text(f"[cavatica]\nauth_token = {HEX}\n")
    with pytest.raises(ConfigurationError) as caught:
        resolve_credentials(environ=environ, endpoint=endpoint, home=home)
    shown = _shown_with_locals(caught.value)
    assert "resolve_credentials" in shown
    assert HEX not in shown


@pytest.mark.parametrize("in_file", [False, True], ids=["profile", "file"])
def test_a_token_that_was_renewed_is_read_again_from_its_place(home: Path, in_file: bool) -> None:
    file = home / "token" if in_file else home / ".sevenbridges/credentials"
    text = "{}\n" if in_file else f"[cavatica]\napi_endpoint = {CAVATICA}\nauth_token = {{}}\n"
    file.write_text(text.format("first"))
    environ = {"SNAKEMAKE_CAVATICA_TOKEN_FILE": str(file)} if in_file else {}
    token = resolve_credentials(environ=environ, home=home).token
    assert not token.renew(), "it is the same"
    file.write_text("")
    assert not token.renew(), "it is being written"
    file.write_text(text.format("second"))
    assert token.renew()
    assert token.reveal() == "second"
    assert token.is_in(b"what is sent may not hold the second one either")
    assert token.is_renewable


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("SNAKEMAKE_CAVATICA_TOKEN", "the environment variable SNAKEMAKE_CAVATICA_TOKEN"),
        ("SNAKEMAKE_CAVATICA_TOKEN_FILE", "the file {file} (SNAKEMAKE_CAVATICA_TOKEN_FILE)"),
        ("SB_AUTH_TOKEN", "the environment variable SB_AUTH_TOKEN"),
        ("HOME", "profile 'cavatica' of ~/.sevenbridges/credentials"),
    ],
)
def test_a_token_knows_where_it_was_found(home: Path, variable: str, place: str) -> None:
    """Protects from the search for a bad token in all places where one may be."""
    file = home / "token"
    file.write_text("a-token")
    token = resolve_credentials(environ={variable: str(file)}, home=home).token
    assert token.place == place.format(file=file)


def test_a_token_of_a_variable_or_of_another_endpoint_is_not_renewed(home: Path) -> None:
    """Protects against sending the token of a profile that was changed to where the run works."""
    token = resolve_credentials(environ={"SB_AUTH_TOKEN": "sb"}, home=home).token
    assert not token.renew()
    assert not token.is_renewable
    token = resolve_credentials(environ={}, home=home).token
    text = PROFILES.replace(CAVATICA, CGC).replace("cavatica-token", "token-of-the-other")
    (home / ".sevenbridges/credentials").write_text(text)
    assert not token.renew()
    assert token.reveal() == "cavatica-token"


def test_sections_that_nobody_named_are_told(tmp_path: Path) -> None:
    file = tmp_path / ".sevenbridges" / "credentials"
    file.parent.mkdir()
    file.write_text(f"[cgc]\napi_endpoint = {CGC}\nauth_token = cgc-token\n[other]\n")
    with pytest.raises(ConfigurationError) as raised:
        resolve_credentials(environ={}, home=tmp_path)
    assert "[cgc], [other] is used only if SNAKEMAKE_CAVATICA_CREDENTIALS_PROFILE names it" in str(
        raised.value
    )
    assert "cgc-token" not in str(raised.value)
