"""One module as etcd shows it: its keys and the nodes' registrations, decoded, at one revision. Pure.

The runtime builds a :class:`ModuleView` from what its watch has folded together (:func:`decode_view`) and gives it to
the core; the core never sees a key's text. A record that this release cannot read is not taken for an absent one: it is
named in :attr:`ModuleView.unreadable`, and nothing is decided against it. What an operator wants is then what was
understood last (:func:`with_last_wishes`), and the configuration the one that the core was made of.
"""

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Generic, TypeVar

from manager.model.codec import DecodeError, decode
from manager.model.keys import ClusterKeys, ModuleKeys
from manager.model.records import (
    ClusterIdentity,
    DesiredRecord,
    InsyncRecord,
    KnownNode,
    LackingRecord,
    MemberRecord,
    ModuleConfigRecord,
    NodeRecord,
    PrimaryRecord,
    RequestRecord,
)
from manager.model.states import ModuleState, Readiness, Run
from manager.store.api import KeyValue

T = TypeVar("T")

_TEXTS_KEPT = 256
OPEN_STATUS = frozenset({"pending", "accepted"})
"""A request that still waits for its node."""


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """A record, and where it stands in the store's history."""

    record: T
    create_revision: int
    mod_revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class ModuleView:
    """The keys of one module and the registrations of all agents, as they stood at ``revision``."""

    revision: int
    cluster_id: str = ""
    """Of the key ``id``; empty: there is none."""
    store_id: str = ""
    """The etcd cluster's own id; empty: not known."""
    config: Seen[ModuleConfigRecord] | None = None
    applied: int = 0
    """The revision that made the key ``config``, whether or not its value is understood; 0: there is no such module."""
    desired: Mapping[str, DesiredRecord] = field(default_factory=dict)
    """By node; a node without one has never been started."""
    primary: Seen[PrimaryRecord] | None = None
    insync: Seen[InsyncRecord] | None = None
    members: Mapping[str, Seen[MemberRecord]] = field(default_factory=dict)
    nodes: Mapping[str, Seen[NodeRecord]] = field(default_factory=dict)
    """The agents that are registered, by node."""
    known: Mapping[str, KnownNode] = field(default_factory=dict)
    """Where nodes were to be found when their agents ran last."""
    lacking: Mapping[str, LackingRecord] = field(default_factory=dict)
    """What is known to be missing in a node's copy, by node: for people."""
    requests: Mapping[str, Seen[RequestRecord]] = field(default_factory=dict)
    """Those pending or accepted, for all nodes, by id."""
    unreadable: tuple[str, ...] = ()
    """Keys whose value this release does not understand."""
    missing: tuple[str, ...] = ()
    """Of the modules that it depends on, those that serve nowhere, as far as is known."""

    def wants(self, node: str) -> Run:
        """What the operator wants of ``node``."""
        desired = self.desired.get(node)
        return Run.STOPPED if desired is None else desired.run

    def member(self, node: str) -> MemberRecord | None:
        """The state that ``node`` has published."""
        seen = self.members.get(node)
        return None if seen is None else seen.record


def with_last_wishes(view: ModuleView, before: ModuleView | None, runs_at: str, keys: ModuleKeys) -> ModuleView:
    """``view``, with what was wanted last where a value of ``desired`` is not understood.

    Args:
        view: as etcd shows it.
        before: what was known until now; ``None``: nothing.
        runs_at: the node on which a former agent left the module running, as somebody has wanted; empty: none.
        keys: of the module.
    """
    prefix = keys.desired("")
    unread = [key.removeprefix(prefix) for key in view.unreadable if key.startswith(prefix)]
    if not unread:
        return view
    known = {runs_at: DesiredRecord(Run.STARTED)} if before is None else before.desired
    kept = {node: known[node] for node in unread if node in known}
    return replace(view, desired={**view.desired, **kept})


def seen(kind: type[T], kv: KeyValue) -> Seen[T]:
    """The record in ``kv``.

    Raises:
        DecodeError: it is not one.
    """
    key: Any = kind  # A type can be hashed, which its checker does not know of a variable.
    found: Seen[T] = _seen(key, kv)
    return found


@lru_cache(maxsize=_TEXTS_KEPT)
def _seen(kind: Any, kv: KeyValue) -> Seen[Any]:
    """Of a cluster's keys few change between two views."""
    return Seen(_decoded(kind, kv.value), kv.create_revision, kv.mod_revision, kv.lease)


@lru_cache(maxsize=_TEXTS_KEPT)
def _decoded(kind: Any, text: str) -> Any:
    """The same text is the same record, as what is written anew at each renewal."""
    return decode(kind, text)


def serves(keys: ModuleKeys, kvs: Mapping[str, KeyValue]) -> bool:
    """Whether the module of ``keys``, of either kind, serves on any node: it says so, and clients can reach it.

    A mirror has a primary that is ready; a farm has a node that is UP and ready, and one that receives for an address.
    What cannot be read says nothing.
    """

    def is_ready(key: str, *states: ModuleState) -> bool:
        member = _read(MemberRecord, kvs.get(key))
        return member is not None and member.state in states and member.readiness is Readiness.READY

    primary = _read(PrimaryRecord, kvs.get(keys.primary))
    if primary is not None:
        return is_ready(keys.member(primary.node), ModuleState.PRIM, ModuleState.ALONE)
    members, directors = keys.member(""), keys.director("")
    up = any(is_ready(key, ModuleState.UP) for key in kvs if key.startswith(members))
    return up and any(key.startswith(directors) for key in kvs)


def _read(kind: type[T], kv: KeyValue | None) -> T | None:
    try:
        return None if kv is None else seen(kind, kv).record
    except DecodeError:
        return None


def _open(requests: Mapping[str, Seen[RequestRecord]]) -> dict[str, Seen[RequestRecord]]:
    return {request_id: seen for request_id, seen in requests.items() if seen.record.status in OPEN_STATUS}


def decode_view(
    cluster: ClusterKeys, module: str, kvs: Mapping[str, KeyValue], revision: int, store_id: str = "",
    depends: Iterable[str] = (),
) -> ModuleView:  # fmt: skip
    """The view of ``module`` in ``kvs``: the cluster's keys and values as they stood at ``revision`` in ``store_id``.

    Of other modules only whether those that it ``depends`` on serve; keys of kinds that are not looked at here are
    passed over.
    """
    keys = cluster.module(module)
    unreadable: list[str] = []
    ordered = sorted(kvs)

    def one(kind: type[T], key: str) -> Seen[T] | None:
        kv = kvs.get(key)
        if kv is None:
            return None
        try:
            return seen(kind, kv)
        except DecodeError:
            unreadable.append(key)
            return None

    def below(kind: type[T], prefix: str) -> dict[str, Seen[T]]:
        found = {}
        for key in ordered[bisect.bisect_left(ordered, prefix) :]:
            if not key.startswith(prefix):
                break
            record = one(kind, key)
            if record is not None:
                found[key.removeprefix(prefix)] = record
        return found

    identity, config = one(ClusterIdentity, cluster.identity), kvs.get(keys.config)
    desired = below(DesiredRecord, keys.desired(""))
    return ModuleView(
        revision=revision,
        cluster_id="" if identity is None else identity.record.cluster_id,
        store_id=store_id,
        config=one(ModuleConfigRecord, keys.config),
        applied=0 if config is None else config.create_revision,
        desired={node: s.record for node, s in desired.items()},
        primary=one(PrimaryRecord, keys.primary),
        insync=one(InsyncRecord, keys.insync),
        members=below(MemberRecord, keys.member("")),
        nodes=below(NodeRecord, cluster.nodes_prefix),
        known={node: s.record for node, s in below(KnownNode, cluster.known_prefix).items()},
        lacking={node: s.record for node, s in below(LackingRecord, keys.lacking("")).items()},
        requests=_open(below(RequestRecord, keys.request(""))),
        unreadable=tuple(unreadable),
        missing=tuple(name for name in depends if not serves(cluster.module(name), kvs)),
    )
