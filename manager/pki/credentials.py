"""This node's certificate, key, authority and list of what is revoked: what TLS is made of them, anew when they change.

It decides which files are used: new ones as soon as they are good, and the former ones until then, since a pair must
not stop because somebody is in the middle of copying. A connection that stands is not touched by new files. It knows no
connections, and not what is said on them: the replicators' stream and the agents' channel each have their own.

Whether files are good is found out by showing this node its own certificate: what it does not take of itself, the other
nodes will not take either. What is refused may become good without another file, as when a clock is set: so files that
are not good are looked at again, the same ones too.
"""

import os
import ssl
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from manager.file_signatures import Signature, signature
from manager.model.node_identity import (
    AUTHORITY_CERTIFICATE,
    NODE_CERTIFICATE,
    NODE_FILES,
    NODE_KEY,
    REVOKED,
    Holder,
    NodeIdentity,
    find_holder,
    find_identity,
)
from manager.pki import tls_words

_MOST_STEPS: Final = 8
"""Of a handshake between two ends in memory: it takes four."""
AGAIN_S: Final = 1.0
"""Until files that were refused are looked at again, though they are the same: connections may be tried faster."""


class Unusable(OSError):
    """There is nothing to make a secure connection with; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """What connections are made secure with."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    own: NodeIdentity


class Credentials:
    """The files in one directory."""

    def __init__(
        self,
        directory: str,
        node: str,
        application: str,
        on_taken: Callable[[NodeIdentity], None],
        on_refused: Callable[[str, bool], None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads nothing yet.

        ``application`` is what connections are for (ALPN, RFC 7301): a certificate that is shown for one use is not
        taken for another. The other two are for the log: ``on_taken(identity)`` is called for files that are used from
        now on, ``on_refused(why, former)`` once for those that are not: ``former`` says whether there are others, which
        stay in use. ``clock_s`` never goes back.
        """
        self._directory = directory
        self._node = node
        self._application = application
        self._on_taken = on_taken
        self._on_refused = on_refused
        self._clock_s = clock_s
        self._looked_at: tuple[Signature, ...] | None = None
        self._looked_s = 0.0
        self._contexts: Contexts | None = None
        self._refused = ""
        """Why the files that are there now are not used; empty: they are."""

    def contexts(self) -> Contexts:
        """For the next connection. Raises Unusable: there never were good ones.

        Reads four small files when they have changed, and once a second at the most while they are refused; else asks
        only whether they have.
        """
        try:
            now = tuple(signature(self._path(name)) for name in NODE_FILES)
        except OSError as error:
            now = None
            self._refuse(f"{error.filename}: {error.strerror}")
        if now is not None and (now != self._looked_at or self._is_due_again()):
            self._look()
        self._looked_at = now
        if self._contexts is None:
            raise Unusable(f"this node has no certificate that it could show: {self._refused}")
        return self._contexts

    def _is_due_again(self) -> bool:
        return bool(self._refused) and self._clock_s() - self._looked_s >= AGAIN_S

    def _look(self) -> None:
        self._looked_s = self._clock_s()
        try:
            contexts = self._load()
        except Unusable as unusable:
            self._refuse(str(unusable))
        except OSError as error:  # ssl.SSLError is one
            self._refuse(f"{self._directory}: {_words(error)}")
        else:
            self._contexts, self._refused = contexts, ""
            self._on_taken(contexts.own)

    def _refuse(self, why: str) -> None:
        if why != self._refused:
            self._refused = why
            self._on_refused(why, self._contexts is not None)

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _load(self) -> Contexts:
        mode = stat.S_IMODE(os.stat(self._path(NODE_KEY)).st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Unusable(f"{self._path(NODE_KEY)} has mode {mode:04o}: chmod 600, if nobody else can have read it")
        server, client = (
            make_context(protocol, self._directory, NODE_CERTIFICATE, NODE_KEY, self._application)
            for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT)
        )
        server.num_tickets = 0  # each connection shows its certificate anew: it may be revoked meanwhile
        own = _prove(server, client)
        if own.node != self._node:
            raise Unusable(f"{self._path(NODE_CERTIFICATE)} is that of node {own.node}, and this is {self._node}")
        return Contexts(server, client, own)


def make_context(
    protocol: int, directory: str, certificate: str, key: str, application: str, passphrase: str = ""
) -> ssl.SSLContext:
    """For connections whose both ends show a certificate that the cluster's authority has signed and not revoked.

    Args:
        protocol: ``ssl.PROTOCOL_TLS_SERVER`` or ``ssl.PROTOCOL_TLS_CLIENT``.
        directory: of the files; the authority's certificate and its list are among them.
        certificate: the file's name; ``key``: likewise.
        application: what connections are for (ALPN, RFC 7301).
        passphrase: of the key; empty: it has none.

    Raises:
        OSError: a file is not there, or, ``ssl.SSLError``, not good.
    """
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a node is known by its name, wherever it is (NodeIdentity)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    context.load_verify_locations(os.path.join(directory, AUTHORITY_CERTIFICATE))
    context.load_verify_locations(os.path.join(directory, REVOKED))
    own = os.path.join(directory, certificate), os.path.join(directory, key)
    context.load_cert_chain(*own, password=lambda: passphrase)
    context.set_alpn_protocols([application])
    return context


def shown_identity(end: ssl.SSLSocket | ssl.SSLObject) -> NodeIdentity | None:
    """Which node the other end is by its certificate, which was found good; ``None``: no node of a cluster."""
    return find_identity(_uris(end))


def shown_holder(end: ssl.SSLSocket | ssl.SSLObject) -> Holder | None:
    """Who the other end is by its certificate, which was found good; ``None``: neither a node nor an operator."""
    return find_holder(_uris(end))


def _uris(end: ssl.SSLSocket | ssl.SSLObject) -> list[str]:
    names: Any = (end.getpeercert() or {}).get("subjectAltName", ())
    return [value for kind, value in names if kind == "URI"]


def shown_until_s(end: ssl.SSLSocket | ssl.SSLObject) -> float:
    """Until when the other end's certificate is good, in seconds of wall time since 1970."""
    until: Any = (end.getpeercert() or {}).get("notAfter", "")
    return float(ssl.cert_time_to_seconds(until))


def _prove(server: ssl.SSLContext, client: ssl.SSLContext) -> NodeIdentity:
    """What another node would find out of this one. Raises Unusable, OSError."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for step in range(_MOST_STEPS):
        try:
            ends[step % 2].do_handshake()
        except ssl.SSLWantReadError:
            continue
        except OSError as error:
            trouble = tls_words.of_handshake(error, server=bool(step % 2))
            raise Unusable(f"this node's own certificate is one of which it would say: {trouble.detail}") from None
    identity = shown_identity(ends[1])
    if identity is None:
        raise Unusable("this node's own certificate names no node of a cluster (mirrorfarm pki issue)")
    return identity


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"{NODE_KEY} is not the key of {NODE_CERTIFICATE}"
    if isinstance(error, ssl.SSLError):
        return f"no certificates, key and list in PEM ({(error.reason or str(error)).lower().replace('_', ' ')})"
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
