"""What a member record says beside its state and cause (``MemberRecord.resources``): written and read here alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_APPLICATION, _FAILED, _UNWATCHED = "application", "failed", "unwatched"
_UNSTEADY = "unsteady:"
_ASIDE = "aside"
_WAITS_FOR = "waits_for"
_ADDRESSES, _MISSING = "addresses", "missing"


@dataclass(frozen=True, slots=True)
class Unsteady:
    """A node that its primary lost again and again, and does not list for it (S10)."""

    node: str
    losses: int
    """In a row, with little time between."""
    stable_s: int
    """For how long it has to be connected before it is listed, in seconds."""


@dataclass(frozen=True, slots=True)
class KeptAside:
    """How much a node has set aside of what it alone had (S12)."""

    count: int
    """Of times that something was, and is there still; 0: nothing is."""
    bytes: int


def resources_of(*, application_failed: bool, unsteady: Iterable[Unsteady]) -> dict[str, str]:
    """The resources of a node: whether its application could not run there, and which peers are unsteady."""
    words = {_APPLICATION: _FAILED} if application_failed else {}
    return words | {f"{_UNSTEADY}{one.node}": f"{one.losses} {one.stable_s}" for one in unsteady}


def has_failed_application(resources: Mapping[str, str]) -> bool:
    """Whether the application could not run on the node of ``resources``."""
    return resources.get(_APPLICATION) == _FAILED


def with_unwatched(resources: Mapping[str, str], *, unwatched: bool) -> dict[str, str]:
    """``resources``, of a module of either kind, and whether its application has left no process that is watched."""
    return {_APPLICATION: _UNWATCHED, **resources} if unwatched else {**resources}


def is_unwatched(resources: Mapping[str, str]) -> bool:
    """Whether the application of the node of ``resources`` was started, and has no process that could be watched."""
    return resources.get(_APPLICATION) == _UNWATCHED


def with_missing(resources: Mapping[str, str], *, missing: bool) -> dict[str, str]:
    """``resources``, of a mirror, and whether an address that its node should have has gone and cannot be added."""
    return {**resources, _ADDRESSES: _MISSING} if missing else {**resources}


def are_addresses_missing(resources: Mapping[str, str]) -> bool:
    """Whether the node of ``resources`` serves without an address that it should have: no client comes by that."""
    return resources.get(_ADDRESSES) == _MISSING


def unsteady_in(resources: Mapping[str, str]) -> tuple[Unsteady, ...]:
    """The peers that the node of ``resources`` finds unsteady; what another release says in other words is left out."""
    found = []
    for name, words in sorted(resources.items()):
        losses, _, seconds = words.partition(" ")
        if name.startswith(_UNSTEADY) and losses.isdecimal() and seconds.isdecimal():
            found.append(Unsteady(name.removeprefix(_UNSTEADY), int(losses), int(seconds)))
    return tuple(found)


def with_aside(resources: Mapping[str, str], kept: KeptAside | None) -> dict[str, str]:
    """``resources``, and what its node has set aside; ``None``: that is not said."""
    return {**resources} if kept is None else {**resources, _ASIDE: f"{kept.count} {kept.bytes}"}


def aside_in(resources: Mapping[str, str]) -> KeptAside | None:
    """What the node of ``resources`` has set aside; ``None``: that is not said."""
    count, _, size = resources.get(_ASIDE, "").partition(" ")
    return KeptAside(int(count), int(size)) if count.isdecimal() and size.isdecimal() else None


def with_waited(resources: Mapping[str, str], modules: Iterable[str]) -> dict[str, str]:
    """``resources``, of a module of either kind, and the ``modules`` for which its application waits on this node."""
    names = " ".join(modules)
    return {**resources, _WAITS_FOR: names} if names else {**resources}


def waited_in(resources: Mapping[str, str]) -> tuple[str, ...]:
    """The modules for which the application waits on the node of ``resources``."""
    return tuple(resources.get(_WAITS_FOR, "").split())
