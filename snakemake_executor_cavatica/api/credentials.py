"""Who we are on which platform: the token and the endpoint that it belongs to.

Precedence of the token:

1. a profile of ~/.sevenbridges/credentials that is named explicitly: the user pointed at it, so a
   variable left over in the environment does not override it;
2. `SNAKEMAKE_CAVATICA_TOKEN`;
3. the file that `SNAKEMAKE_CAVATICA_TOKEN_FILE` names: what a process starts does not inherit it;
4. `SB_AUTH_TOKEN` (the variable of the provider's own client);
5. the profile `cavatica`, else `default`, of ~/.sevenbridges/credentials.

Precedence of the endpoint: the explicit setting, `SB_API_ENDPOINT`, the profile's `api_endpoint`,
CAVATICA. A named profile brings its endpoint along, ahead of `SB_API_ENDPOINT`; a token from a
variable never goes to the endpoint of a profile.

A profile's token goes to the host of that profile only, unless the user names both the profile and
the endpoint: a stray variable must not send a token to a stranger.
"""

from __future__ import annotations

import base64
import configparser
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import AnyStr, NoReturn
from urllib.parse import quote

from .endpoint import CAVATICA, check_endpoint, host_of_pages, origin, shown_url
from .errors import ConfigurationError

TOKEN_VARIABLE = "SNAKEMAKE_CAVATICA_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE_VARIABLE = "SNAKEMAKE_CAVATICA_TOKEN_FILE"  # noqa: S105
PROFILE_VARIABLE = "SNAKEMAKE_CAVATICA_CREDENTIALS_PROFILE"
SB_TOKEN_VARIABLE = "SB_AUTH_TOKEN"  # noqa: S105
SB_ENDPOINT_VARIABLE = "SB_API_ENDPOINT"
CREDENTIALS_FILE = ".sevenbridges/credentials"
DEFAULT_PROFILES = ("cavatica", "default")

# A shorter run of characters occurs by chance, and no real token is that short.
_SHORTEST_FORM = 16
_GZIP = re.compile(rb"\x1f\x8b\x08")
_MOST_UNPACKED = 64 * 1024 * 1024


class Token:
    """An API token that does not show itself: only `reveal` gives the secret away."""

    __slots__ = ("_again", "_forms", "_secret", "place")

    def __init__(
        self, secret: str, place: str = "", again: Callable[[], Token] | None = None
    ) -> None:
        """`again` reads it again from its place: there may be another one by then."""
        self._secret = secret.strip()
        self._again = again
        self.place = place
        """Where it was found, as sentences name it; empty if nobody has told."""
        del secret  # the error below must not have it in a local variable
        if not self._is_sane():
            raise ConfigurationError(
                "the API token is empty or holds characters that no token has; "
                "copy it again from the developer page of the platform"
            )
        self._forms = tuple(self._made_forms())  # once: each request is searched for them

    def _is_sane(self) -> bool:
        """Anything else could not travel in a header, or would smuggle in a second one."""
        secret = self._secret
        return bool(secret) and secret.isascii() and secret.isprintable() and " " not in secret

    def reveal(self) -> str:
        """The secret itself, for the one place that sends it."""
        return self._secret

    @property
    def is_renewable(self) -> bool:
        """Whether its place may hold another one by now."""
        return self._again is not None

    def renew(self) -> bool:
        """Read it again from where it was found; whether it is another one from now on."""
        if self._again is None:
            return False
        try:
            new = self._again()
        except ConfigurationError:  # it is being written
            return False
        if new == self:
            return False
        self._secret, self._forms = new._secret, new._forms
        return True

    def is_in(self, content: bytes) -> bool:
        """Whether `content` holds the token: as it is, encoded, wrapped in lines, or gzipped.

        Snakemake passes settings on as base64, so a token may leave without being seen as such.
        """
        return any(form in layer for layer in _layers(content) for form in self._forms)

    def cut_from(self, text: AnyStr) -> AnyStr:
        """`text` without the token, for what others wrote and we show or keep."""
        if isinstance(text, bytes):
            return text.replace(self._secret.encode(), b"...")
        return text.replace(self._secret, "...")

    def _made_forms(self) -> Iterator[bytes]:
        secret = self._secret.encode()
        yield secret
        yield secret[::-1]
        yield quote(self._secret, safe="").encode()
        yield self._secret.encode("utf-16-le")
        yield from (secret.hex().encode(), secret.hex().upper().encode())
        yield from (form for form in _base64_forms(secret) if len(form) >= _SHORTEST_FORM)

    def __repr__(self) -> str:
        return "Token(…)"

    def __str__(self) -> str:
        return "…"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Token) and other._secret == self._secret

    def __hash__(self) -> int:
        return hash(self._secret)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Token is never pickled: it must not leave this process")


class NoToken(ConfigurationError):
    """Nothing of what was asked for holds a token."""


@dataclass(frozen=True)
class Credentials:
    """A token, the endpoint that it may be sent to, and in `source` where the token was found."""

    endpoint: str
    token: Token
    source: str


@dataclass(frozen=True)
class _Profile:
    name: str
    endpoint: str | None
    secret: str | None = field(repr=False)


@dataclass(frozen=True)
class _Variables:
    """What the environment says: the first variable that holds a token, and the endpoint."""

    name: str
    secret: str = field(repr=False)
    endpoint: str | None
    file: Path | None
    """Where the token is read from, if a variable names a file."""

    @property
    def token(self) -> Token:
        """What they say; a file may hold another one later."""
        file = self.file
        if file is None:
            return Token(self.secret, f"the environment variable {self.name}")
        place = f"the file {file} ({self.name})"
        return Token(self.secret, place, lambda: Token(_content_of(file)))

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> _Variables:
        names = (TOKEN_VARIABLE, TOKEN_FILE_VARIABLE, SB_TOKEN_VARIABLE)
        set_ones = [name for name in names if environ.get(name, "").strip()]
        name = set_ones[0] if set_ones else ""
        value = environ.get(name, "")
        file = Path(value) if name == TOKEN_FILE_VARIABLE else None
        secret = value if file is None else _content_of(file)
        return cls(name, secret, environ.get(SB_ENDPOINT_VARIABLE), file)


def resolve_credentials(
    *,
    endpoint: str | None = None,
    profile: str | None = None,
    environ: Mapping[str, str],
    home: Path | None,
) -> Credentials:
    """The token and endpoint to use, by the precedence that the module's docstring states.

    Raises ConfigurationError, with what to do next, if there is no token or it may not be sent.
    """
    if profile:  # before a file is read that a variable names: it is in nobody's way then
        del environ  # crash reporters print the local variables of all frames
        chosen = _read_profiles(home).get(profile)
        if chosen is None:
            raise NoToken(
                f"~/{CREDENTIALS_FILE} has no profile '{profile}'; "
                "add a section of that name with auth_token and api_endpoint, or name another"
            )
        return _from_profile(chosen, home, endpoint=endpoint, stray_endpoint=None)
    variables = _Variables.of(environ)
    del environ
    if variables.secret:
        return Credentials(
            check_endpoint(endpoint or variables.endpoint or CAVATICA),
            variables.token,
            f"{'the file of ' * (variables.name == TOKEN_FILE_VARIABLE)}"
            f"the environment variable {variables.name}",
        )
    profiles = _read_profiles(home)
    for name in DEFAULT_PROFILES:
        if name in profiles:
            stray = endpoint or variables.endpoint
            return _from_profile(profiles[name], home, endpoint=None, stray_endpoint=stray)
    wanted = check_endpoint(endpoint or variables.endpoint or CAVATICA)
    others = ", ".join(f"[{name}]" for name in profiles)
    raise NoToken(
        f"no API token was found; make one on {page_of_tokens(wanted)}, and set {TOKEN_VARIABLE} "
        f"to it, or add it as auth_token to a section [cavatica] of ~/{CREDENTIALS_FILE}"
        + (f"; of that, {others} is used only if {PROFILE_VARIABLE} names it" if others else "")
    )


def resolve_endpoint(
    *,
    endpoint: str | None = None,
    profile: str | None = None,
    environ: Mapping[str, str],
    home: Path | None,
) -> str:
    """Where a token goes that the user gives by hand, by the precedence of the module's docstring.

    A named profile that is not there says nothing of it: it may be about to be made.
    """
    stray = environ.get(SB_ENDPOINT_VARIABLE)
    del environ  # crash reporters print the local variables of all frames
    named = _read_profiles(home).get(profile) if profile else None
    own = (named.endpoint or CAVATICA) if named else None
    return check_endpoint(endpoint or own or stray or CAVATICA)


def _content_of(file: Path) -> str:
    """The token that a file holds, and nothing else."""
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{TOKEN_FILE_VARIABLE} names {file}, which cannot be read ({type(error).__name__}); "
            "let it name a file that holds the token alone, or unset it"
        ) from None
    if not content.strip():  # else another token would be taken
        raise ConfigurationError(
            f"{TOKEN_FILE_VARIABLE} names {file}, which is empty; "
            "let it name a file that holds the token alone, or unset it"
        )
    return content


def page_of_tokens(endpoint: str) -> str:
    """Where a platform's users make tokens, as sentences name it."""
    host = host_of_pages(endpoint)
    return f"https://{host}/developer" if host else f"the developer page of {endpoint}"


def _base64_forms(secret: bytes) -> Iterator[bytes]:
    """What base64 makes of the secret, whatever stands before and after it."""
    for shift in range(3):
        padded = b"\0" * shift + secret
        # Only characters that depend on the secret alone: six bits each.
        inside = slice(-(-shift * 8 // 6), len(padded) * 8 // 6)
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(padded)[inside]


def _layers(content: bytes) -> Iterator[bytes]:
    """The content, without line breaks (base64 is often wrapped), and what is gzipped in it."""
    yield content
    if b"\n" in content or b"\r" in content:
        yield content.translate(None, b"\r\n")
    for start in _GZIP.finditer(content):
        yield _unpacked(memoryview(content)[start.start() :])


def _unpacked(gzipped: memoryview) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(gzipped, _MOST_UNPACKED)
    except zlib.error:
        return b""  # it only looked like gzip


def _from_profile(
    profile: _Profile, home: Path | None, *, endpoint: str | None, stray_endpoint: str | None
) -> Credentials:
    """`endpoint` may send the token anywhere; `stray_endpoint` only to the profile's own host."""
    if not profile.secret:
        raise NoToken(f"profile '{profile.name}' of ~/{CREDENTIALS_FILE} has no auth_token; add it")
    own = profile.endpoint or CAVATICA
    if stray_endpoint and origin(check_endpoint(stray_endpoint)) != origin(check_endpoint(own)):
        raise ConfigurationError(
            f"the token of profile '{profile.name}' belongs to {own} and is not sent to "
            f"{shown_url(stray_endpoint)}; name the profile explicitly if you mean this, "
            f"or set {TOKEN_VARIABLE} to the token for that endpoint"
        )
    place = f"profile '{profile.name}' of ~/{CREDENTIALS_FILE}"
    token = Token(profile.secret, place, partial(_token_of_profile, home, profile))
    return Credentials(check_endpoint(endpoint or stray_endpoint or own), token, place)


def _token_of_profile(home: Path | None, before: _Profile) -> Token:
    """The token that a profile has by now.

    Raises:
        ConfigurationError: it has none, or is one for another endpoint now.
    """
    now = _read_profiles(home).get(before.name)
    if now is None or not now.secret or now.endpoint != before.endpoint:
        raise NoToken(f"profile '{before.name}' of ~/{CREDENTIALS_FILE} is another one now")
    return Token(now.secret)


def credentials_path(home: Path | None) -> Path:
    """Where profiles are kept below a home directory.

    Raises:
        ConfigurationError: nobody knows that.
    """
    if home is None:
        raise ConfigurationError(
            f"it is not known where your home directory is, and so your ~/{CREDENTIALS_FILE}; set "
            f"HOME to a folder, or {TOKEN_VARIABLE} to a token"
        )
    return home / CREDENTIALS_FILE


def _read_profiles(home: Path | None) -> dict[str, _Profile]:
    path = credentials_path(home)
    # No interpolation: a token may hold a percent sign. No default section: the provider's client
    # writes [default] in lower case, and a [DEFAULT] must not leak into the other profiles.
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({type(error).__name__}); make it readable or remove it"
        ) from None
    except configparser.Error as error:
        # The parser's own message quotes the line, and the line may hold the token.
        raise ConfigurationError(
            f"{path} is not a valid INI file ({type(error).__name__}); "
            "it needs sections such as [cavatica] with lines auth_token = … and api_endpoint = …"
        ) from None
    return {
        name: _Profile(
            name, parser[name].get("api_endpoint") or None, parser[name].get("auth_token")
        )
        for name in parser.sections()
    }
