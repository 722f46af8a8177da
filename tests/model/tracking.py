"""What another node may lack: a list in memory, by zone and sequence, and one on disk, by zone. Pure.

A zone is marked when an operation on it is shipped, and forgotten when both nodes have said that their disks have
everything up to there. While both are there the list is in memory; before a node serves alone, it goes to its disk;
before it is tracked in memory again, the one on disk is voided. A void list means a full compare.
"""

from tests.model.draft import Draft
from tests.model.state import COPY_IT, NEVER, List, Node
from tests.model.world import World


def with_item(items: tuple, at: int, value: object) -> tuple:  # type: ignore[type-arg]
    """``items`` with another value at one place."""
    return (*items[:at], value, *items[at + 1 :])


def zones_of(known: List) -> int:
    """The zones that it marks, as bits."""
    return sum(1 << zone for zone, mark in enumerate(known.marks) if mark != NEVER)


def from_disk(world: World, written: int | None) -> List:
    """The list in memory that the one on disk makes: each zone it names has to be copied."""
    return List(True, 0, tuple(COPY_IT if written is None or written >> z & 1 else NEVER for z in range(world.zones)))


def mark(world: World, draft: Draft, n: int, other: int, zones: tuple[int, ...], place: int) -> None:
    """``n`` marks what ``other`` may lack, as of ``place``; on its disk too, where it keeps a list there."""
    node = draft.nodes[n]
    known, written = node.lists[other], node.written[other]
    if known is None:
        return
    marks = list(known.marks)
    for zone in zones:
        if marks[zone] != COPY_IT or place == COPY_IT:
            marks[zone] = place
    lists = with_item(node.lists, other, known._replace(marks=tuple(marks)))
    if written is not None and world.rules.marks_before_applying:
        node = node._replace(written=with_item(node.written, other, written | sum(1 << z for z in zones)))
    draft.nodes[n] = node._replace(lists=lists)


def forget(world: World, node: Node, other: int, stable: int) -> Node:
    """``node`` forgets the zones that both disks have everything of up to the place ``stable``."""
    known, written = node.lists[other], node.written[other]
    if known is None:
        return node
    anyway = not world.rules.forgets_by_sequence and stable > 0
    gone = [z for z, m in enumerate(known.marks) if m not in (NEVER, COPY_IT) and (m <= stable or anyway)]
    if not gone:
        return node
    marks = tuple(NEVER if z in gone else m for z, m in enumerate(known.marks))
    if written is not None:
        kept = written & ~sum(1 << z for z in gone)
        node = node._replace(written=with_item(node.written, other, kept))
    return node._replace(lists=with_item(node.lists, other, known._replace(marks=marks)))


def on_both(world: World, own: int, others: int) -> int:
    """The place up to which both nodes' disks have everything."""
    return min(own if world.rules.forgets_by_own else others, others if world.rules.forgets_by_other else own)


def to_disk(world: World, node: Node, other: int) -> Node:
    """Before it serves without ``other``: what is in memory goes to the disk (a void list: a full compare)."""
    if not world.rules.list_on_disk_before_alone:
        return node._replace(written=with_item(node.written, other, 0))
    known = node.lists[other]
    if known is None:
        return node
    return node._replace(written=with_item(node.written, other, zones_of(known) if known.valid else None))


def to_memory(world: World, node: Node, other: int) -> Node:
    """Before the list is tracked in memory: the one on disk is voided."""
    if world.rules.list_on_disk_voided:
        return node._replace(written=with_item(node.written, other, None))
    return node._replace(written=with_item(node.written, other, node.written[other] or 0))


def told_barriers(world: World, node: Node, n: int, own: int, barriers: tuple[int, ...]) -> Node:
    """A secondary is told up to where each node's disk has everything; its own reaches ``own``."""
    for other in world.others[n]:
        known = node.lists[other]
        if known is None:
            continue
        stable = on_both(world, own, barriers[other])
        if not known.valid and known.join != COPY_IT and stable >= known.join:
            node = node._replace(lists=with_item(node.lists, other, known._replace(valid=True)))
        node = forget(world, node, other, stable)
    return node
