"""Certificates for a server on this machine, for clients that insist on https."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

NAMES = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Certificate:
    """Files in PEM; clients are told to trust the authority, which is made for one server."""

    authority: Path
    chain: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Make an authority and a certificate by it, good until the next start.

    Raises:
        ModuleNotFoundError: the library that makes them is not installed.
    """
    import trustme  # noqa: PLC0415 - only those who ask for https need it

    folder.mkdir(mode=0o700, exist_ok=True)
    made = Certificate(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    authority = trustme.CA()
    server = authority.issue_cert(*NAMES)
    authority.cert_pem.write_to_path(made.authority)
    made.chain.write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    with os.fdopen(os.open(made.key, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.write(server.private_key_pem.bytes())
    return made
