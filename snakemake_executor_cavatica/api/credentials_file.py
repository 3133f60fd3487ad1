"""Writes a token into the file that the provider's own tools read, ~/.sevenbridges/credentials."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from .credentials import Token, credentials_path
from .errors import ConfigurationError

_SECTION = re.compile(r"\s*\[(?P<name>[^\]]+)\]")
_OURS = re.compile(r"\s*(auth_token|api_endpoint)\s*[=:]", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def store_token(home: Path | None, profile: str, endpoint: str, token: Token) -> Path:
    """Put endpoint and token into the section `profile`; the file, which only its owner may read.

    Other sections, other keys and comments stay as they are. A symbolic link stays one.

    Raises:
        ConfigurationError: the name cannot be that of a section, the file cannot be written, or
            nobody knows `home`.
    """
    if not _NAME.fullmatch(profile):
        raise ConfigurationError(
            f"the credentials profile {profile!r} may hold letters, digits, '.', '_' and '-' only"
        )
    path = credentials_path(home)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        lines = _with_section(old, profile, endpoint, token)
        _replace(path.resolve(), "\n".join(lines) + "\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(
            f"The token cannot be stored in {path} ({reason}); make the file and its folder "
            "writable, or set SNAKEMAKE_CAVATICA_TOKEN instead."
        ) from None
    return path


def _with_section(lines: list[str], profile: str, endpoint: str, token: Token) -> list[str]:
    own = [f"api_endpoint = {endpoint}", f"auth_token = {token.reveal()}"]
    kept: list[str] = []
    section, is_there = None, False
    for line in lines:
        if begin := _SECTION.match(line):
            section = begin["name"]
            kept.append(line)
            if section == profile:
                kept += own
                is_there = True
        elif section != profile or not _OURS.match(line):
            kept.append(line)
    if is_there:
        return kept
    return [*kept, *([""] if kept and kept[-1].strip() else []), f"[{profile}]", *own]


def _replace(path: Path, text: str) -> None:
    """All or nothing, and never readable by others, not even for a moment."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # mode 600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
