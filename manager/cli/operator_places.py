"""Where an operator's certificate and key are looked for, on the machine where he types."""

from pathlib import Path
from typing import Final

from manager.model.node_identity import OPERATOR_CERTIFICATE

HOME: Final = ".mirrorfarm/operators"
"""Below the home directory of whoever types: a directory for each operator."""
SHORTEST: Final = 8
"""Characters of a passphrase."""
LONGEST: Final = 1023
"""Bytes of one: what OpenSSL keeps a key with."""


def places(operator: str, tls_directory: str, home: Path | None = None) -> tuple[Path, ...]:
    """The directories that are looked at: his own, and where ``pki issue`` has put it on the authority's machine."""
    return (home or Path.home()) / HOME / operator, Path(tls_directory) / "operators" / operator


def find(operator: str, tls_directory: str, home: Path | None = None) -> Path | None:
    """The first of :func:`places` that has a certificate; ``None``: none has, as far as this user may look."""
    for place in places(operator, tls_directory, home):
        try:
            if (place / OPERATOR_CERTIFICATE).exists():
                return place
        except PermissionError:
            continue  # It is root's, and this user has none of his own.
    return None
