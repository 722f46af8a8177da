"""What went wrong with TLS, in words that say what to do: what this node found, or what the other one says of this one.

Pure: it knows OpenSSL's codes (x509_vfy.h) and the names of TLS's alerts (RFC 8446, 6.2).
"""

import ssl
from dataclasses import dataclass
from typing import Final

from manager.model.refused_streams import TOLD


@dataclass(frozen=True, slots=True)
class TlsTrouble:
    """Why there is no secure connection."""

    kind: str
    """One word, for those who count."""
    detail: str
    """For people."""


class Unsecured(OSError):
    """There is no secure connection; the message is for people."""

    def __init__(self, trouble: TlsTrouble) -> None:
        super().__init__(trouble.detail)
        self.trouble = trouble


_STRANGER: Final = TlsTrouble(
    "tls_stranger",
    "its certificate was not signed by this cluster's authority: it is another cluster's, or from before the authority "
    "was made anew (mirrorfarm pki show, on both nodes)",
)
_FOUND: Final = {
    3: TlsTrouble("tls_list", "there is no list of what is revoked from its authority (revoked.crl)"),
    7: _STRANGER,
    9: TlsTrouble(
        "tls_early", "its certificate is not good yet: the clocks of the two nodes differ by more than a day"
    ),
    10: TlsTrouble(
        "tls_expired",
        "its certificate is over, or this node's clock is wrong: mirrorfarm pki renew, where the authority is",
    ),
    12: TlsTrouble("tls_list", "the list of what is revoked is over (revoked.crl)"),
    18: _STRANGER,
    19: _STRANGER,
    20: _STRANGER,
    21: _STRANGER,
    23: TlsTrouble("tls_revoked", "its certificate is revoked"),
    26: TlsTrouble("tls_purpose", "its certificate is not one of a node"),
}
"""By X509_V_ERR_..., of the other end's certificate."""
_NOT_TAKEN: Final = "the other node does not take this node's certificate"
_TOLD: Final = {
    "UNKNOWN_CA": ("stranger", "the other node says that this node's certificate is of another authority than its own"),
    "CERTIFICATE_EXPIRED": (
        "expired",
        "the other node says that this node's certificate is over: mirrorfarm pki renew",
    ),
    "CERTIFICATE_REVOKED": ("revoked", "the other node says that this node's certificate is revoked"),
    "DECRYPT_ERROR": ("certificate", f"{_NOT_TAKEN}: its signature is wrong there"),
    "BAD_CERTIFICATE": ("certificate", _NOT_TAKEN),
    "CERTIFICATE_UNKNOWN": ("certificate", _NOT_TAKEN),
    "CERTIFICATE_REQUIRED": ("no_certificate", "the other node wants a certificate, and was shown none"),
    "PROTOCOL_VERSION": ("version", "the other node takes another version of TLS only"),
}
"""By the end of the alert's name as OpenSSL has it: what it says of this node, in one word and for people."""
_CLOSED: Final = "closed while TLS was agreed on"
_MAY_BE_PLAIN: Final = ": the other node may take plain connections only (tls.mode in its agent.toml)"
NO_CERTIFICATE: Final = TlsTrouble("tls_no_certificate", "it shows no certificate")
NOT_TLS: Final = TlsTrouble("tls_garbage", "what it sends is no TLS 1.3")


def of_handshake(error: OSError, server: bool) -> TlsTrouble:
    """Why a handshake failed; ``server``: at the end that was connected to."""
    if isinstance(error, ssl.SSLCertVerificationError):
        known = _FOUND.get(error.verify_code)
        return known or TlsTrouble("tls_certificate", f"its certificate is not taken: {error.verify_message}")
    # Before Python 3.11.4 an end without a word is taken for one that was said.
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return TlsTrouble("tls_closed", _CLOSED if server else f"{_CLOSED}{_MAY_BE_PLAIN}")
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return NO_CERTIFICATE
        if "ALERT" not in reason:
            return TlsTrouble(NOT_TLS.kind, f"{NOT_TLS.detail} ({reason.lower().replace('_', ' ')})")
        words = of_connection(error)
        return TlsTrouble(told_in(words) or f"{TOLD}other", words)
    return TlsTrouble("tls_failed", error.strerror or str(error))


def of_connection(error: ssl.SSLError) -> str:
    """Why a secure connection ended: an alert of the other node may be its answer to this node's certificate."""
    reason = error.reason or str(error)
    for name, (_, words) in _TOLD.items():
        if reason.endswith(f"ALERT_{name}"):
            return words
    return f"TLS: {reason.lower().replace('_', ' ')}"


def told_in(reason: str) -> str:
    """Of which kind the other node's alert was, where ``reason`` has the words of :func:`of_connection` for one."""
    return next((f"{TOLD}{kind}" for kind, words in _TOLD.values() if words in reason), "")
