"""With whom this node has no stream just now, in words: since when, who refuses whom, why, and what to do. Pure.

Each node knows of its own connections only, so both displays say it in their own way. Of kinds that this release does
not know, the replicator's own words are shown.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from manager.cli.harmless import harmless
from manager.model.api import ModuleView
from manager.model.reasons import Reason
from manager.model.refused_streams import (
    CLOSED,
    HERE,
    IDENTITY,
    PLAIN_ONLY,
    SILENT,
    THERE,
    TLS,
    TOLD,
    UNREACHABLE,
    UNUSABLE,
    RefusedStream,
)


@dataclass(frozen=True, slots=True)
class _Words:
    """``{shows}``: the node whose certificate it is, or which connects; ``{judges}``: the one that refuses it;
    ``{told}``: what the latter has said beyond the kind."""

    says: str
    remedy: str


_CARRY = "on the machine with the cluster's authority, and carry the files that it names to {shows}"
_ANEW = "The next connection takes them: nothing has to be started again."
_ONE_AUTHORITY = (
    "See that both nodes have files of one authority: mirrorfarm pki show, on {shows} and on {judges}. To give "
    f"{{shows}} new ones: mirrorfarm pki renew {{shows}}, {_CARRY}. {_ANEW}"
)
_ISSUE = f"mirrorfarm pki issue {{shows}}, {_CARRY}. {_ANEW}"
_ONE_MODE = (
    "Make mode of [tls] in /etc/mirrorfarm/agent.toml the same on both. On the node where it is changed: "
    "mirrorfarm stop {module} --node NODE, /etc/init.d/mirrorfarm-agent restart, mirrorfarm start {module} --node NODE"
)
_NETWORK = (
    "See that {shows} and its network are up, and that no firewall drops what goes to {address} "
    "(network.replication_address of agent.toml says by which network): mirrorfarm check, on both nodes."
)
_ONE_RELEASE = "Install the same release of Mirrorfarm on both nodes."
_ONE_PROTOCOL = (
    "A replicator stays the release that it was started from: exchange the older one, as docs/operations.md says under "
    "A new release (mirrorfarm stop {module} --node NODE, mirrorfarm start {module} --node NODE). Where the newest one "
    "is not installed on both nodes, install it first."
)
_WORDS: dict[str, _Words] = {
    "tls_expired": _Words(
        "the certificate of {shows} is over, or the clock of {judges} is wrong",
        f"mirrorfarm pki renew {{shows}}, {_CARRY}. {_ANEW} If mirrorfarm pki show on {{shows}} says that it is "
        "good, set the clock of {judges}.",
    ),
    "tls_early": _Words(
        "the certificate of {shows} is not good yet by the clock of {judges}",
        "Set the clocks of both nodes, and keep them set (chrony, ntpd). Nothing has to be started again.",
    ),
    "tls_revoked": _Words(
        "the certificate of {shows} is revoked",
        f"If {{shows}} is the machine that it shall be: {_ISSUE}",
    ),
    "tls_stranger": _Words(
        "the certificate of {shows} was not signed by the authority that {judges} knows: it is another cluster's, or "
        "from before the authority was made anew",
        _ONE_AUTHORITY,
    ),
    IDENTITY: _Words(
        "the certificate of {shows} is good, and that of another cluster or node",
        _ONE_AUTHORITY,
    ),
    "tls_certificate": _Words("the certificate of {shows} is not taken by {judges}", _ONE_AUTHORITY),
    "tls_list": _Words(
        "{judges} has no list of what is revoked (revoked.crl) that goes with the certificate of {shows}",
        "Carry revoked.crl from the machine with the cluster's authority to {judges}, and see that both nodes have "
        f"files of one authority: mirrorfarm pki show. {_ANEW}",
    ),
    "tls_no_certificate": _Words("{shows} shows no certificate", f"On {{shows}}: mirrorfarm check. {_ISSUE}"),
    "tls_nobody": _Words("the certificate of {shows} names no node of a cluster", _ISSUE),
    "tls_purpose": _Words("the certificate of {shows} is not one of a node", _ISSUE),
    "tls_other_use": _Words("{shows} speaks TLS for something else than a stream", _ONE_RELEASE),
    "tls_garbage": _Words("what {shows} sends is no TLS 1.3", _ONE_RELEASE),
    "tls_version": _Words("{shows} and {judges} do not take the same version of TLS", _ONE_RELEASE),
    UNUSABLE: _Words(
        "{judges} has no certificate of its own that is good",
        "On {judges}: mirrorfarm check says what is wrong with its files. New ones: mirrorfarm pki issue {judges} "
        "(or renew, if it has one), on the machine with the cluster's authority, and carry the files that it names "
        f"to {{judges}}. {_ANEW}",
    ),
    TLS: _Words("{shows} connects in plain, and {judges} takes TLS only: tls.mode differs", _ONE_MODE),
    PLAIN_ONLY: _Words(
        "{shows} connects by TLS, and {judges} takes plain connections only: tls.mode differs", _ONE_MODE
    ),
    "directories": _Words(
        "the module has another number of directories on {shows}: the nodes run by different configurations",
        "The one that was started last has the newest; on the other one: mirrorfarm restart {module} --node NODE",
    ),
    "version": _Words("{shows} and {judges} have no version of the protocol in common: {told}", _ONE_PROTOCOL),
    "cluster": _Words(
        "the replicator of {shows} is of another cluster",
        "See what runs at {address}: mirrorfarm check, on both nodes.",
    ),
    "module": _Words(
        "the replicator of {shows} is of another module",
        "See what runs at {address}: mirrorfarm state, on both nodes.",
    ),
    SILENT: _Words("{shows} takes the connection, or makes one, and says nothing", _NETWORK),
    UNREACHABLE: _Words("{shows} does not answer at {address}", _NETWORK),
    CLOSED: _Words(
        "{shows} ends each connection before the stream begins, and does not say why",
        "On {shows}: mirrorfarm why {module}, and mirrorfarm logs {module}, say why.",
    ),
}
"""By kind. What the other end tells of this node is the same with the roles exchanged."""
_CLOSED_KINDS = frozenset({"tls_closed", "tls_failed", "protocol"})


def known_kind(kind: str) -> str:
    """The one of which there are words, for a kind that the replicator tells; empty: there are none."""
    bare = f"tls_{kind.removeprefix(TOLD)}" if kind.startswith(TOLD) else kind
    bare = CLOSED if bare in _CLOSED_KINDS else bare
    return bare if bare in _WORDS else ""


def refused_lines(module: ModuleView, here: str) -> list[str]:
    """With which nodes of the module, as this node sees it, no stream comes about; each display says so."""
    return [f"{module.name}: {_line(r, here)}" for r in _of_nodes(module, here)]


def stranger_lines(module: ModuleView, here: str) -> list[str]:
    """Who else comes to the module's port and is turned away: it may be the peer by another address, or nobody's."""
    return [f"{module.name}: {_line(r, here)}" for r in _told(module, here) if not r.node]


def refused_remedies(module: ModuleView, here: str) -> list[str]:
    """What to do about each of ``refused_lines``, without saying the same twice."""
    return list(dict.fromkeys(_remedy(module.name, r, here) for r in _of_nodes(module, here)))


def is_untold(module: ModuleView, here: str) -> bool:
    """Whether this node should have a stream, and has not said whether one is refused."""
    own = module.on(here)
    return own is not None and own.refused is None and own.reason in _WANTS_A_STREAM


UNTOLD = "Whether a stream is refused here is not known: this node's replicator has not said."
_WANTS_A_STREAM = frozenset({Reason.SERVING_WITHOUT_PEER, Reason.CATCHING_UP, Reason.SETTING_ASIDE})


def _told(module: ModuleView, here: str) -> Iterable[RefusedStream]:
    own = module.on(here)
    return () if own is None or own.refused is None else own.refused


def _of_nodes(module: ModuleView, here: str) -> Iterable[RefusedStream]:
    return (r for r in _told(module, here) if r.node)


def _line(refused: RefusedStream, here: str) -> str:
    peer = refused.node or f"whoever connects from {refused.address}"
    if refused.by == HERE:
        head = f"{here} refuses the stream of {peer}"
    elif refused.by == THERE:
        head = f"{peer} refuses the stream of {here}"
    else:
        head = f"no stream with {peer}"
    times = "once" if refused.count == 1 else f"{refused.count} times"
    return f"{head} since {refused.since}, {times}: {_says(refused, here)}"


def _says(refused: RefusedStream, here: str) -> str:
    kind = known_kind(refused.kind)
    return _WORDS[kind].says.format(**_roles("", refused, here)) if kind else harmless(refused.reason)


def _remedy(module: str, refused: RefusedStream, here: str) -> str:
    kind = known_kind(refused.kind)
    if not kind:
        return _WORDS[CLOSED].remedy.format(module=module, shows=refused.node)
    return _WORDS[kind].remedy.format(**_roles(module, refused, here))


def _roles(module: str, refused: RefusedStream, here: str) -> dict[str, str]:
    peer = refused.node or "the other end"
    shows, judges = (here, peer) if refused.by == THERE else (peer, here)
    told = harmless(refused.reason.rpartition(f"{refused.kind}: ")[2])
    return {"module": module, "shows": shows, "judges": judges, "address": refused.address or peer, "told": told}
