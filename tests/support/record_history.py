"""What a module's keys in etcd went through, and which rules that breaks: no stale promotion, one primary an epoch.

Pure. It has every revision of the keys, in order (``tests.support.etcd_events`` fetches them); it knows no files.
"""

import itertools
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """A key was put or deleted."""

    revision: int
    key: str
    """Below the cluster's prefix."""
    value: Json | None
    """``None``: it was deleted."""


class _Keys:
    """The keys as they stand after some events."""

    def __init__(self, module: str) -> None:
        self._module = module
        self.values: dict[str, Json] = {}

    def apply(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.value is None:
                self.values.pop(event.key, None)
            else:
                self.values[event.key] = event.value

    @property
    def record(self) -> Json | None:
        return self.values.get(f"modules/{self._module}/insync")

    @property
    def primary(self) -> Json | None:
        return self.values.get(f"modules/{self._module}/primary")


def violations(events: Sequence[Event], module: str) -> list[str]:
    """What is wrong, in sentences. ``events`` begin with the cluster's first."""
    wrong = []
    keys = _Keys(module)
    served: dict[int, tuple[str, str]] = {}
    members = f"modules/{module}/members/"
    for revision, together in itertools.groupby(sorted(events, key=lambda e: e.revision), lambda e: e.revision):
        record, primary = keys.record, keys.primary
        told = {key: value for key, value in keys.values.items() if key.startswith(("nodes/", members))}
        keys.apply(together)
        if keys.record is not None and keys.record != record:
            found = _of_record(record, keys, _boot_ids(told))
            wrong += [f"revision {revision}: {words}" for words in found]
        if keys.primary is not None and keys.primary != primary:
            found = _of_primary(primary, keys, served)
            wrong += [f"revision {revision}: {words}" for words in found]
    return wrong


def forgetful(events: Iterable[Event], module: str) -> bool:
    """Whether a node was promoted that had lost its power: what was not synced may be missing, as it was not there."""
    before: Json | None = None
    for event in events:
        if event.key == f"modules/{module}/insync" and event.value is not None:
            listed = {holder["node"]: holder["boot_id"] for holder in event.value["holders"]}
            former = {} if before is None else {holder["node"]: holder["boot_id"] for holder in before["holders"]}
            node = event.value["last_primary"]
            if before is not None and event.value["epoch"] != before["epoch"] and listed.get(node) != former.get(node):
                return True
            before = event.value
    return False


def epochs(events: Sequence[Event], module: str) -> list[int]:
    """All that there were, in their order."""
    key = f"modules/{module}/insync"
    found = [int(e.value["epoch"]) for e in events if e.key == key and e.value is not None]
    return [epoch for epoch, _ in itertools.groupby(found)]


def _boot_ids(told: dict[str, Json]) -> dict[str, str]:
    """Of the registered nodes: a node's own word, and what its member record adds to it (losses without a reboot)."""
    found = {key.partition("/")[2]: str(value["boot_id"]) for key, value in told.items() if key.startswith("nodes/")}
    for key, value in told.items():
        node, boot_id = key.rpartition("/")[2], str(value["boot_id"])
        if not key.startswith("nodes/") and boot_id.startswith(found.get(node, " ")):
            found[node] = boot_id
    return found


def _of_record(before: Json | None, keys: _Keys, boot_ids: dict[str, str]) -> list[str]:
    after = keys.record
    assert after is not None
    listed = {holder["node"]: holder for holder in after["holders"]}
    node, epoch = after["last_primary"], after["epoch"]
    wrong = []
    if node not in listed:
        wrong.append(f"the primary {node} is not in its own record")
    if before is None:
        return wrong
    if after["number"] <= before["number"]:
        wrong.append(f"the record's number went from {before['number']} to {after['number']}")
    if epoch == before["epoch"]:
        if node != before["last_primary"]:
            wrong.append(f"epoch {epoch} went from {before['last_primary']} to {node}")
        return wrong
    if epoch != before["epoch"] + 1:
        wrong.append(f"the epoch went from {before['epoch']} to {epoch}")
    primary = keys.primary
    if primary is None or (primary["node"], primary["epoch"]) != (node, epoch):
        wrong.append(f"epoch {epoch} began without the key of its primary {node}")
    return wrong + _may_stand(node, listed, before, boot_ids)


def _may_stand(node: str, listed: dict[str, Json], before: Json, boot_ids: dict[str, str]) -> list[str]:
    """The rule of S8, from what the keys know."""
    former = {holder["node"]: holder for holder in before["holders"]}
    if node not in former:
        return [f"{node} was promoted, and was not listed: {sorted(former)} were"]
    if node not in listed or listed[node]["boot_id"] == former[node]["boot_id"]:
        return []
    intact = [other for other, holder in former.items() if other != node and boot_ids.get(other) == holder["boot_id"]]
    return [f"{node} was promoted after it had lost its power, while {other} had kept all" for other in intact]


def _of_primary(before: Json | None, keys: _Keys, served: dict[int, tuple[str, str]]) -> list[str]:
    after = keys.primary
    assert after is not None
    node, epoch, instance = after["node"], after["epoch"], after["instance"]
    wrong = []
    if served.setdefault(epoch, (node, instance)) != (node, instance):
        wrong.append(f"epoch {epoch} had two primaries: {served[epoch]} and {(node, instance)}")
    if before is not None and before["node"] != node and epoch <= before["epoch"]:
        wrong.append(f"the key went from {before['node']} to {node} in epoch {epoch}")
    if keys.record is None or keys.record["epoch"] != epoch:
        wrong.append(f"the key of {node} is of epoch {epoch}, and the record is not")
    return wrong


def latest(events: Sequence[Event], key: str) -> Json | None:
    """The value that ``key`` has in the end."""
    found = [event for event in events if event.key == key]
    return max(found, key=operator.attrgetter("revision")).value if found else None
