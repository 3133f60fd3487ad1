"""Who may look at the pages: codes that are good once, and the sessions that they open.

Nothing of this outlives the server, and only digests are kept. A code leads to one session in one
browser; the session lasts until the server ends.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Invitation:
    """What a code is good for."""

    username: str
    page: str
    kept_in: Path | None


class Visitors:
    """Invites users of the platform to its pages, and knows them again."""

    def __init__(self, base_url: str) -> None:
        """`base_url` is the server's address, without a path."""
        self._base_url = base_url
        self._invitations: dict[str, _Invitation] = {}
        self._sessions: dict[str, str] = {}

    def invite(self, username: str, page: str, kept_in: Path | None = None) -> str:
        """The address of a page that lets in whoever opens it first, as this user.

        In the file `kept_in`, which nobody but the owner of the server can read, stands always one
        that is still good.
        """
        code = secrets.token_urlsafe(32)
        address = f"{self._base_url}{page}?code={code}"
        if kept_in is not None:
            with os.fdopen(
                os.open(kept_in, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w"
            ) as f:
                f.write(f"{address}\n")
        self._invitations[_digest(code)] = _Invitation(username, page, kept_in)
        return address

    def enter(self, code: str) -> str | None:
        """The key of a new session, if the code is good; from now on it is not."""
        digest = _digest(code)
        invitation = self._invitations.get(digest)
        if invitation is None:
            return None
        if invitation.kept_in is not None:
            # First of all: if the disk is full, the code stays good.
            self.invite(invitation.username, invitation.page, invitation.kept_in)
        del self._invitations[digest]
        session = secrets.token_urlsafe(32)
        self._sessions[_digest(session)] = invitation.username
        return session

    def user(self, session: str) -> str | None:
        """Whose session it is."""
        return self._sessions.get(_digest(session))

    def close(self) -> None:
        """Take away what would lead nowhere once the server has ended."""
        for invitation in self._invitations.values():
            if invitation.kept_in is not None:
                invitation.kept_in.unlink(missing_ok=True)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
