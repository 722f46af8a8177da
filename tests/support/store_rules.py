"""What a lab's etcd has kept, before the judge of the simulated store: the same checker for both. Pure.

It has every revision of the keys (``tests.support.etcd_events`` fetches them); who lost its power when is looked at by
``tests.support.record_history``, which shares no code with this.
"""

import itertools
import json
import operator
from collections.abc import Collection, Iterable

from manager.model.keys import ClusterKeys
from manager.store.api import Changes, KeyValue
from manager.store.api import Event as StoreEvent
from tests.simulation.checkers import StoreChecker, Violation
from tests.support.record_history import Event

_KEYS = ClusterKeys("lab")


def violations(events: Iterable[Event], module: str, named: Collection[str]) -> list[str]:
    """What is wrong, in sentences; after the first of them nothing more is looked for.

    Args:
        events: beginning with the cluster's first.
        module: whose keys.
        named: the nodes whose data an operator has named at the first start (S9).
    """
    keys = _KEYS.module(module)
    checker = StoreChecker(keys.primary, keys.insync, named=set(named))
    for revision, together in by_revision(events):
        try:
            checker.on_changes(Changes(revision, tuple(_as_watched(event) for event in together)))
        except Violation as error:
            return [f"revision {revision}: {error}"]
    return []


def by_revision(events: Iterable[Event]) -> Iterable[tuple[int, Iterable[Event]]]:
    """Each revision with what it has changed, in their order."""
    revision = operator.attrgetter("revision")
    return itertools.groupby(sorted(events, key=revision), revision)


def _as_watched(event: Event) -> StoreEvent:
    key = _KEYS.prefix + event.key
    if event.value is None:
        return StoreEvent(key, None)
    return StoreEvent(key, KeyValue(json.dumps(event.value), event.revision, event.revision, 1))
