"""One farm module as etcd shows it, decoded, at one revision. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agent.core.view import ModuleView, Seen, decode_view, seen
from manager.model.codec import DecodeError
from manager.model.farm import DirectorRecord, SlotsRecord
from manager.model.keys import ClusterKeys
from manager.store.api import KeyValue


@dataclass(frozen=True, slots=True)
class FarmView:
    """The keys of one farm module and the registrations of all agents, as they stood at ``revision``."""

    common: ModuleView
    """What any module has: configuration, desired state, members, registrations, requests."""
    directors: Mapping[str, Seen[DirectorRecord]] = field(default_factory=dict)
    """By address."""
    slots: Mapping[str, Seen[SlotsRecord]] = field(default_factory=dict)
    """By address."""
    unreadable: tuple[str, ...] = ()
    """Keys whose value this release does not understand: nothing is decided against them."""

    @property
    def revision(self) -> int:
        """Of the store."""
        return self.common.revision


def decode_farm(
    cluster: ClusterKeys, module: str, kvs: Mapping[str, KeyValue], revision: int, store_id: str = "",
    depends: Iterable[str] = (),
) -> FarmView:  # fmt: skip
    """The view of ``module`` in ``kvs``: the cluster's keys and values as they stood at ``revision``.

    ``depends``: as of ``decode_view``.
    """
    keys = cluster.module(module)
    unreadable: list[str] = []
    directors: dict[str, Seen[DirectorRecord]] = {}
    slots: dict[str, Seen[SlotsRecord]] = {}
    for key in sorted(k for k in kvs if k.startswith(keys.prefix)):
        try:
            if key.startswith(keys.director("")):
                directors[key.removeprefix(keys.director(""))] = seen(DirectorRecord, kvs[key])
            elif key.startswith(keys.slots("")):
                slots[key.removeprefix(keys.slots(""))] = seen(SlotsRecord, kvs[key])
        except DecodeError:
            unreadable.append(key)
    common = decode_view(cluster, module, kvs, revision, store_id, depends)
    return FarmView(common, directors, slots, (*common.unreadable, *unreadable))
