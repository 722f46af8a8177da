"""Who could serve a mirror of a lab now, by what is left of the lab: what its nodes are to have made of it. Pure.

It looks at what was done to machines, links and disks, and at what etcd has, never at what an agent takes for true: but
for what only an operator ends, an application that failed. That a process is gone which the product itself starts anew,
or kills where it does not answer, excuses nobody; nor does a slow cable: all of them pass soon.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manager.model.boots import parts
from manager.model.resources import has_failed_application

Json = dict[str, Any]
Pairs = frozenset[tuple[str, str]]
"""From which machine to which one nothing passes."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One machine that is up, and not frozen as a whole."""

    etcd: bool = False
    """Its member of etcd runs; this, and the next one: not frozen."""
    agent: bool = False
    frozen_replicator: bool = False
    frozen_application: bool = False
    full: bool = False
    """Its ``/srv``."""
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """A lab at one moment."""

    seen: Mapping[str, Seen]
    """Without the machines that are down, or frozen."""
    members: frozenset[str]
    """All machines that have one of etcd's, as they were set up."""
    client: str
    """Where the clients are."""
    cuts: Pairs
    etcd_cuts: Pairs
    """Only what etcd is asked and says."""
    keys: Mapping[str, Json]
    """What etcd had when it answered last, by keys below the cluster's prefix."""

    def reaches(self, one: str, other: str) -> bool:
        """Whether what either sends comes to the other."""
        return one == other or not {(one, other), (other, one)} & self.cuts

    def reaches_member(self, one: str, member: str) -> bool:
        """Likewise, of etcd's connections."""
        return self.reaches(one, member) and not {(one, member), (member, one)} & self.etcd_cuts

    @property
    def voters(self) -> frozenset[str]:
        """The members that are of a majority, around one that all of it reaches; empty: there is none."""
        running = [member for member in self.members if member in self.seen and self.seen[member].etcd]
        found: set[str] = set()
        for leader in running:
            around = {member for member in running if member == leader or self.reaches_member(leader, member)}
            if 2 * len(around) > len(self.members):
                found |= around
        return frozenset(found)


@dataclass(slots=True)
class Chances:
    """Of the nodes of one module, looked at often."""

    module: str
    away_ns: int
    """How long no other listed node may have been registered before one that has lost its memory stands (S8)."""
    _alone_ns: dict[str, int] = field(default_factory=dict)
    """Since when such a one could have stood, but for that."""

    def who(self, sight: Sight | None, now_ns: int) -> list[str]:
        """The nodes that the record lists and that could serve. Without a sight: one does, and nobody has to."""
        if sight is None:
            self._alone_ns.clear()
            return []
        record, primary = self._key(sight, "insync"), self._key(sight, "primary")
        listed = {} if record is None else {holder["node"]: holder["boot_id"] for holder in record["holders"]}
        # What one of them has no room for is refused on all of them.
        full = any(node in sight.seen and sight.seen[node].full for node in listed)
        if full or (primary is not None and self._is_held_up(sight, primary["node"])):
            self._alone_ns.clear()
            return []
        sound = [node for node in listed if self._is_sound(sight, node)]
        for node in self._alone_ns.keys() - set(sound):
            del self._alone_ns[node]
        return [node for node in sound if self._may_stand(sight, node, listed, now_ns)]

    def pauses(self, sight: Sight) -> bool:
        """The primary stays although it cannot serve: so it does for a while once a swap has broken off, or a hand-over
        was not taken. Its member record does not say whether it is for that."""
        primary = self._key(sight, "primary")
        member = None if primary is None else self._key(sight, f"members/{primary['node']}")
        return member is not None and member["readiness"] == "blocked"

    def _is_held_up(self, sight: Sight, primary: str) -> bool:
        """The application of ``primary`` is frozen and nothing else: who is to find that out was not configured."""
        seen = sight.seen.get(primary)
        return seen is not None and seen.agent and seen.frozen_application

    def _is_sound(self, sight: Sight, node: str) -> bool:
        """Up, wanted, and nothing keeps it from etcd or its clients."""
        seen = sight.seen.get(node)
        if seen is None or not seen.agent or seen.frozen_replicator or not sight.reaches(node, sight.client):
            return False
        desired, member = self._key(sight, f"desired/{node}"), self._key(sight, f"members/{node}")
        wanted = desired is not None and desired["run"] == "started"
        failed = member is not None and has_failed_application(member.get("resources", {}))
        return wanted and not failed and any(sight.reaches_member(node, voter) for voter in sight.voters)

    def _may_stand(self, sight: Sight, node: str, listed: Mapping[str, str], now_ns: int) -> bool:
        """It has kept its memory; or nobody has kept more, or nobody has been there for long enough who has (S8)."""
        lost = self._has_lost(sight, node, sight.seen[node].boot_id, listed[node])
        others = [self._is_back_without(sight, other, listed[other]) for other in listed if other != node and lost]
        if False in others or None not in others:
            self._alone_ns.pop(node, None)
            return False not in others
        return now_ns >= self._alone_ns.setdefault(node, now_ns) + self.away_ns

    def _is_back_without(self, sight: Sight, node: str, listed: str) -> bool | None:
        """Whether it has registered, and lost its memory before; ``None``: it is not registered."""
        registered = sight.keys.get(f"nodes/{node}")
        return None if registered is None else self._has_lost(sight, node, str(registered["boot_id"]), listed)

    def _has_lost(self, sight: Sight, node: str, boot_id: str, listed: str) -> bool:
        """It has another boot id than it was ``listed`` with; losses without a reboot are told by its member record."""
        kernel, losses = parts(listed)
        if parts(boot_id)[0] != kernel:
            return True
        member = self._key(sight, f"members/{node}")
        of_member = ("", 0) if member is None else parts(str(member["boot_id"]))
        return of_member[0] == kernel and of_member[1] > losses

    def _key(self, sight: Sight, name: str) -> Json | None:
        return sight.keys.get(f"modules/{self.module}/{name}")
