"""Until when a node may serve: lease arithmetic (S5). Pure.

A lease counts from before its request was *sent*: the store may have renewed it at any moment since, and its time may
have begun then. The margin is taken off for clocks that differ in speed.

And it counts only as one of the etcd whose keys this node sees. One that was restored from a backup may know the lease
and the node's key, but not what hangs on that lease since: by what it saw in the former etcd, this node would take
itself for the primary that it was there.
"""

from dataclasses import dataclass

from manager.store.api import StorePoint


@dataclass(frozen=True, slots=True)
class Sent:
    """A renewal, as it was sent: when (CLOCK_BOOTTIME), and what had been seen of etcd then."""

    at_ns: int
    watched: StorePoint


def deadline_ns(sent_ns: int, ttl_s: int, margin_ns: int) -> int:
    """The instant until which this node may serve.

    Args:
        sent_ns: CLOCK_BOOTTIME from before the renewal was sent.
        ttl_s: the seconds that the store's answer gave.
        margin_ns: taken off.
    """
    return sent_ns + max(0, ttl_s * 1_000_000_000 - margin_ns)


def later(deadline_ns: int, renewed_ns: int) -> int:
    """The deadline after a renewal: it never goes back, whatever the order in which answers come."""
    return max(deadline_ns, renewed_ns)


def is_of_watched(watched: StorePoint, answered: StorePoint) -> bool:
    """Whether the etcd that answered a renewal is the one whose keys this node sees, as far as the two points tell.

    Args:
        watched: see :class:`Sent`.
        answered: where the renewal was executed, which is a change of its own.
    """
    return watched.store_id in ("", answered.store_id) and answered.revision > watched.revision


def went_back(watched: StorePoint, answered: StorePoint) -> bool:
    """Whether what has answered is surely of a backup, by the same id: nothing counts there before the watch shows it.

    Its revisions may come past what was seen, as others write there, and it passes for the one that is watched then.
    """
    return watched.store_id == answered.store_id != "" and answered.revision < watched.revision


def answers_again(watched: StorePoint, read: StorePoint) -> bool:
    """Whether the etcd that has answered a read is the one whose keys this node sees, as far as the two points tell.

    To be asked where a renewal did not count, before the next one: in another etcd that would keep alive what a backup
    shows of this node, and an operator who names a copy would go by it.

    Args:
        watched: what was seen before the read was sent.
        read: where it was answered.
    """
    return watched.store_id in ("", read.store_id) and read.revision >= watched.revision
