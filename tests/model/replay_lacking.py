"""What one node may lack of the other: what R1 needs to be named, what the model has, what the shipped lists name.

The first is by content, and so of neither: a zone in which what is in the page caches or on the disks of the two is not
the same, or may become so by what is under way. It has to be in the list, wherever that is, of whoever may serve next:
what is only in a page cache may be gone with the power, on one side and not on the other.
"""

from typing import Final

from replicator.core.tracking import Mode
from tests.model.contents import Content, copied
from tests.model.replay_process import Process, Zones
from tests.model.replay_words import Parted
from tests.model.state import COPY_IT, NEVER, SERVES, Frame, List, State
from tests.model.tracking import zones_of
from tests.model.world import World, name

_NO_LIST: Final = None
"""Nothing is known: everything is copied."""


def counts(state: State, n: int) -> bool:
    """Whether what ``n`` knows of the other one matters: it serves, or may be the next that does."""
    node = state.nodes[n]
    listed = any(holder.node == n for holder in state.store.holders)
    return listed and (node.role is not SERVES or node.epoch == state.store.epoch)


def may_differ(world: World, state: State, n: int, x: int) -> Zones:
    """The zones that ``n``'s list about ``x`` has to name."""
    here, there = state.nodes[n], state.nodes[x]
    copies = (here.cache, here.disk, there.cache, there.disk)
    zones = {world.bounds.zones[slot] for slot, values in enumerate(zip(*copies, strict=True)) if len({*values}) > 1}
    for pending in here.primary.pending if here.primary is not None else ():
        zones.update(world.operation_zones[pending.number - 1])
    stream = state.streams[n * world.nodes + x]
    if here.primary is not None and stream is not None and stream.near:
        for frame in stream.frames:
            zones.update(_changed_by(world, frame, there.cache))
    return frozenset(zones)


def differs_now(world: World, state: State, n: int, x: int) -> Zones:
    """The zones in which ``x`` has not what is at ``n``."""
    here, there = state.nodes[n].cache, state.nodes[x].cache
    return frozenset(zone for slot, zone in enumerate(world.bounds.zones) if here[slot] != there[slot])


def _changed_by(world: World, frame: Frame, content: Content) -> tuple[int, ...]:
    """The zones in which a frame under way will change ``content``."""
    if frame.kind == "op":
        return world.operation_zones[frame.body[0] - 1]
    changes = frame.kind == "copy" and copied(content, frame.body[1:]) != content
    return (frame.body[0],) if changes else ()


def compare(world: World, state: State, n: int, process: Process | None, file: Zones | None) -> None:
    """What ``n`` knows of the other one: of ``process``, if it runs, and in the ``file`` on its disk, if there is one.

    The shipped lists name what has to be named; the model leaves nothing of that out which they name; they name what
    the model's primary has marked; and in memory no more than its rule marks, by the barriers that were passed.
    """
    (x,) = world.others[n]
    if process is not None:
        _compare_marks(process, n)
    if not counts(state, n):
        return
    every = frozenset(range(world.zones))
    needed = may_differ(world, state, n, x)
    memory = _in_memory(process, file)
    for where, shipped, modelled in (
        ("in memory", memory, _of_model(state, n, x)),
        ("on the disk", file, _bits(state.nodes[n].written[x])),
    ):
        named = every if shipped is _NO_LIST else shipped
        if not needed <= named:
            raise Parted(f"{name(n)}'s list {where} does not name {set(needed - named)}, which {name(x)} may lack")
        marked = every if modelled is _NO_LIST else modelled
        if not needed & named <= marked:
            raise Parted(f"{name(n)}'s list {where} names {set(needed & named)}, the model's {set(marked)}")
    _compare_with_shipped(state, n, x, memory, every)


def _compare_marks(process: Process, n: int) -> None:
    """Marks are those of the model's rule, by the barriers that were made: a list on the disk only grows."""
    serving = process.serving
    found = process.list
    if serving is not None and found.mode is Mode.MEMORY and serving.mode is not Mode.MEMORY:
        serving.marks.forget(serving.joined_at)
    if serving is not None:
        serving.mode = found.mode
    if found.mode is Mode.VOID:
        return
    marks = process.marks if serving is None else serving.marks
    named = process.place.named(found.missing())
    if named != marks.zones if found.mode is Mode.MEMORY else not named <= marks.zones:
        raise Parted(f"{name(n)}'s list names {set(named)}, by what was shipped and forgotten {set(marks.zones)}")


def _in_memory(process: Process | None, file: Zones | None) -> Zones | None:
    """What it would go by now, which is what is in the file where it tracks nothing."""
    if process is None or (process.serving is None and process.tracker.mode is not Mode.MEMORY):
        return file
    dirty = process.list.missing()
    return _NO_LIST if dirty.everything else process.place.named(dirty)


def _of_model(state: State, n: int, x: int) -> Zones | None:
    node = state.nodes[n]
    known = node.lists[x]
    if known is None:
        return _bits(node.written[x])
    return _bits(zones_of(known)) if known.valid else _NO_LIST


def _bits(written: int | None) -> Zones | None:
    return _NO_LIST if written is None else frozenset(z for z in range(written.bit_length()) if written >> z & 1)


def _compare_with_shipped(state: State, n: int, x: int, memory: Zones | None, every: Zones) -> None:
    """What the model's primary has shipped and not forgotten is marked: it forgets at syncs, the code at barriers."""
    known = state.nodes[n].lists[x]
    if state.nodes[n].primary is None or known is None:
        return
    marked = _shipped(known)
    named = every if memory is _NO_LIST else memory
    if not marked <= named:
        raise Parted(f"{name(n)}'s list names {set(named)}, and the model has marked {set(marked)}")


def _shipped(known: List) -> Zones:
    return frozenset(zone for zone, mark in enumerate(known.marks) if mark not in (NEVER, COPY_IT))
