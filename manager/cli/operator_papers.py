"""An operator's certificate and key, as he has them: looked at before they are shown to anybody.

What is over, somebody else's, or can be read by others is refused here, with what to do; the node that is asked looks
at the certificate by itself. The key's passphrase is asked for once, and kept nowhere.
"""

import contextlib
import datetime
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from manager.cli.operator_places import LONGEST, find, places
from manager.model.api import ApiError, ErrorKind
from manager.model.api_channel import APPLICATION
from manager.model.node_identity import OPERATOR_CERTIFICATE, OPERATOR_KEY, REVOKED, OperatorIdentity
from manager.pki.credentials import make_context

SOON: Final = datetime.timedelta(days=30)
"""A certificate that ends within this is told of at each use."""
_TYPE: Final = "Type it on a terminal, or have it come as a line by a pipe."
_UNASKED: Final = "Nobody was asked, and nothing was changed."


@dataclass(frozen=True, slots=True)
class Papers:
    """What an operator makes connections with."""

    identity: OperatorIdentity
    context: ssl.SSLContext
    soon: str
    """That the certificate ends soon; empty: it does not."""


def open_papers(operator: str, tls_directory: str, secret: Callable[[str], str], now: datetime.datetime) -> Papers:
    """Those of ``operator``.

    Args:
        operator: his name.
        tls_directory: of the node where he types, which may have a newer list of what is revoked than he.
        secret: asks for the passphrase of his key, where it has one.
        now: wall time.

    Raises:
        ApiError: there are none, or they are not good.
    """
    from manager.pki import certificates, files  # brings cryptography with it, which few commands need

    directory = find(operator, tls_directory)
    if directory is None:
        raise _refused(
            f"Operator {operator} has no certificate here.",
            f"Looked for {OPERATOR_CERTIFICATE} in {' and '.join(map(str, places(operator, tls_directory)))}.",
            f"Where the cluster's authority is: mirrorfarm pki issue --operator {operator}, and carry the folder here.",
        )
    renew = f"Where the cluster's authority is: mirrorfarm pki renew --operator {operator}, and carry the folder here."
    try:
        key = files.read_secret(directory / OPERATOR_KEY)
        shown = certificates.read_operator(files.read(directory / OPERATOR_CERTIFICATE))
        if shown.identity.operator != operator:
            raise certificates.NotOurs(f"it is that of operator {shown.identity.operator}")
        if shown.not_after <= now:
            over = f"The certificate of operator {operator} is over since {shown.not_after:%Y-%m-%d}."
            raise _refused(over, _UNASKED, renew)
        passphrase = _passphrase(operator, secret) if _has_passphrase(key) else ""
        context = _context(directory, Path(tls_directory), passphrase)
    except files.Exposed as exposed:
        remedy = f"chmod 600 {directory / OPERATOR_KEY}, if nobody can have read it; else revoke it, and issue another."
        raise _refused(f"{exposed}.", _UNASKED, remedy) from None
    except certificates.NotOurs as other:
        raise _refused(f"{directory / OPERATOR_CERTIFICATE}: {other}.", _UNASKED, renew) from None
    except ssl.SSLError:
        words = "no certificate and key in PEM that belong together"
        if _has_passphrase(key):
            words = "the passphrase is not that of the key"
        raise _refused(
            f"{directory}: {words}.", _UNASKED, f"Type it again. If the files are damaged: {renew}"
        ) from None
    except OSError as error:
        words = f"{error.filename or directory}: {error.strerror or error}"
        raise _refused(f"{words}.", _UNASKED, f"The folder has to be whole, and the user's own. {renew}") from None
    soon = ""
    if shown.not_after - now < SOON:
        soon = (
            f"mirrorfarm: the certificate of operator {operator} is good until {shown.not_after:%Y-%m-%d} only. {renew}"
        )
    return Papers(shown.identity, context, soon)


def _has_passphrase(key: bytes) -> bool:
    return b"ENCRYPTED" in key


def _passphrase(operator: str, secret: Callable[[str], str]) -> str:
    """Raises ApiError: none was typed; ``ssl.SSLError``: it cannot be that of a key."""
    word = secret(f"Passphrase of operator {operator}: ")
    if not word:
        raise _refused(f"The key of operator {operator} has a passphrase, and none was typed.", _UNASKED, _TYPE)
    if len(word.encode()) > LONGEST:
        raise ssl.SSLError  # Python's ssl would say so in another way.
    return word


def _context(directory: Path, node_directory: Path, passphrase: str) -> ssl.SSLContext:
    """Raises OSError; ``ssl.SSLError`` is one."""
    context = make_context(
        ssl.PROTOCOL_TLS_CLIENT, str(directory), OPERATOR_CERTIFICATE, OPERATOR_KEY, APPLICATION, passphrase
    )
    with contextlib.suppress(OSError):  # This is no node, or its files are not for this user: then by his own list.
        context.load_verify_locations(node_directory / REVOKED)  # The newer of the two counts.
    return context


def _refused(message: str, meaning: str, remedy: str) -> ApiError:
    return ApiError(ErrorKind.REFUSED, message, meaning=meaning, remedy=remedy)
