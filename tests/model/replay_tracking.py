"""The model's steps, replayed by the shipped objects that track what the other node may lack.

Tracker, keeper, barriers, and what a stream makes of a secondary's list: each is given what happens in the model, when
it happens. Operations are shipped, applied, fail, are copied; streams begin, join and end; the record changes; power is
lost. Disks are brought up to date when the model's are, so that a barrier is passed only once both of the model's disks
have everything up to it. After each step what is known is compared (``replay_lacking``), and at each beginning of a
stream what the join would copy.
"""

import random
import re
from typing import Final

from replicator.core.tracking import Mode
from tests.model.replay_lacking import compare, differs_now
from tests.model.replay_process import SHIPPED, Clock, Place, Process, Serving, Stream, Zones
from tests.model.replay_words import Parted, Stricter
from tests.model.state import RUNS, State, Step
from tests.model.world import World, name
from tests.simulation.plan import Parts
from tests.simulation.volume import Copy

_OFTEN: Final = 0.5
"""The share of steps after which threads have written what they were at, and of those after which a barrier is made."""


class TrackingReplay:
    """Two nodes, brought to the model's first state, then led along its steps."""

    def __init__(self, world: World, parts: Parts = SHIPPED, chance: random.Random | None = None) -> None:
        """``parts``: others only where a test breaks one; without ``chance`` nothing happens but the steps."""
        self.world = world
        self.clock = Clock(chance)
        self.place = Place(parts, self.clock, world.zones)
        self.disks = [Copy(name(n)) for n in range(world.nodes)]
        self.processes: list[Process | None] = [Process(self.place, copy) for copy in self.disks]
        self.streams: dict[tuple[int, int], Stream] = {}
        self.happened: list[str] = []

    def _process(self, n: int) -> Process:
        found = self.processes[n]
        assert found is not None, f"{name(n)} does not run"
        return found

    def _serving(self, n: int) -> Serving:
        found = self._process(n).serving
        assert found is not None, f"{name(n)} does not serve"
        return found

    # --- the first state ------------------------------------------------------------------------------------

    def begin(self, state: State) -> None:
        """A serves; B has joined it, and was dropped again where A is alone."""
        serving = self._process(0).serve()
        stream = self.streams[0, 1] = Stream(serving, self._process(1))
        serving.keeper.missing(stream.bases)
        stream.join()
        self._hear_all(stream)
        serving.settled_with(stream)
        serving.disk.finish()
        self._hear_all(stream)
        if not stream.is_tracked:
            raise Parted("a node that has joined is not tracked")
        if state.streams[1] is None:
            serving.lost(stream)
            stream.close_there()
            serving.settled_without()
        self._compare(state)

    def _hear_all(self, stream: Stream) -> None:
        while stream.there or stream.back or stream.other.background.busy or stream.serving.syncs.busy:
            for said in (stream.there, stream.back):
                while said:
                    said.popleft()[1]()
            stream.other.background.finish()
            stream.serving.syncs.finish()
            stream.serving.disk.finish()

    # --- a step ---------------------------------------------------------------------------------------------

    def follow(self, before: State, step: Step) -> None:
        """One step of the model, which led from ``before`` to ``step.state``."""
        self.happened.append(step.text)
        after = step.state
        who, _, what = step.text.partition(": ")
        for n in range(self.world.nodes):
            self._end_process(n, before, after)
        if len(who) == 1:
            self._act(ord(who) - ord("A"), what, before, after)
        self._end_streams(before, after)
        for n in range(self.world.nodes):
            self._change_role(n, before, after)
        if len(who) == 1:
            self._settle(ord(who) - ord("A"), what)
        self._advance(after)
        self._let(after)
        self._compare(after)

    def _end_process(self, n: int, before: State, after: State) -> None:
        was, now = before.nodes[n].power, after.nodes[n].power
        process = self.processes[n]
        if was == RUNS != now and process is not None:
            process.die()
            self.processes[n] = None
        elif was != RUNS == now:
            self.processes[n] = Process(self.place, self.disks[n])

    def _act(self, n: int, what: str, before: State, after: State) -> None:
        x = 1 - n
        if " connects, " in what:
            self._connect(n, x, before, after)
        elif what.startswith("nothing is left to copy"):
            self._join(n, x)
        elif what.startswith(("applies operation", "applies a copy")):
            self._apply(n, x, what, after)
        elif found := re.match(r"issues operation (\d+)", what):
            serving = self._issue(n, after)
            serving.mark(self.world.operation_zones[int(found[1]) - 1])
        elif found := re.match(r"copies zone (\d+)|operation \d+ fails here, zone (\d+)", what):
            self._issue(n, after).mark_beside(int(found[1] or found[2]))
            self._serving(n).under_way = found[2] is not None
            if found[1]:
                self.streams[n, x].lacks -= {int(found[1])}
        elif what.startswith("applies and completes"):
            self._serving(n).released += 1
        elif what.startswith(("adds", "writes the record anew with ")):
            self._require_durable(n, x, after)

    def _issue(self, n: int, after: State) -> Serving:
        primary = after.nodes[n].primary
        assert primary is not None
        serving = self._serving(n)
        serving.issued = primary.issued
        return serving

    def _connect(self, n: int, x: int, before: State, after: State) -> None:
        """What the join would copy: all that differs, and nothing that differs is left out by the model."""
        serving = self._serving(n)
        stream = self.streams[n, x] = Stream(serving, self._process(x))
        found = serving.keeper.missing(stream.bases)
        every = frozenset(range(self.world.zones))
        stream.lacks = every if found.everything else self.place.named(found)
        self.place.count("tracked join" if not found.everything else "full compare")
        differs = differs_now(self.world, before, n, x)
        if not differs <= stream.lacks:
            raise Parted(f"{name(n)} copies {set(stream.lacks)}, {name(x)} lacks {set(differs)}")
        known = after.nodes[n].lists[x]
        assert known is not None
        copied = frozenset(zone for zone, mark in enumerate(known.marks) if mark)
        if not differs <= copied:
            raise Parted(f"{name(n)} copies {set(stream.lacks)}, the model {set(copied)}")
        # What differs in nothing makes no difference to the model.
        stream.lacks &= copied

    def _join(self, n: int, x: int) -> None:
        stream = self.streams[n, x]
        if stream.lacks:
            raise Parted(f"{name(n)} has {set(stream.lacks)} to copy to {name(x)} before the join point")
        stream.join()

    def _apply(self, n: int, x: int, what: str, after: State) -> None:
        place = int(what.rpartition(" ")[2])
        zones: Zones | tuple[int, ...]
        if found := re.match(r"applies operation (\d+)", what):
            zones = self.world.operation_zones[int(found[1]) - 1]
        else:
            zones = (int(what.split()[5]),)
        for zone in zones:
            self.streams[x, n].touch(zone, place)

    def _require_durable(self, n: int, x: int, after: State) -> None:
        """Who is listed has everything up to its join point on both disks."""
        self._serving(n).disk.finish()
        if self.streams[n, x].durable:
            return
        primary = after.nodes[n].primary
        assert primary is not None
        if primary.synced < self.streams[n, x].serving.joined_at <= primary.heard[x]:
            raise Stricter("a node is listed once the primary's own disk has the join point, too")
        raise Parted(f"{name(n)} lists {name(x)}, whose disk does not have everything")

    def _end_streams(self, before: State, after: State) -> None:
        for i, (was, now) in enumerate(zip(before.streams, after.streams, strict=True)):
            p, s = divmod(i, self.world.nodes)
            if was is None:
                continue
            stream = self.streams.get((p, s))
            if stream is None:
                continue
            if was.near and not (now is not None and now.near) and stream.open_here:
                if self.processes[p] is stream.serving.process:
                    stream.serving.lost(stream)
                stream.open_here = False
            if was.far and not (now is not None and now.far) and stream.open_there:
                stream.close_there()

    def _change_role(self, n: int, before: State, after: State) -> None:
        was, now = before.nodes[n].primary, after.nodes[n].primary
        process = self.processes[n]
        if process is None:
            return
        if was is not None and now is None and process.serving is not None:
            process.leave()
        elif now is not None and was is None:
            serving = process.serve()
            self.place.count("no list" if serving.keeper.tracker.mode is Mode.VOID else "list taken up")

    def _settle(self, n: int, what: str) -> None:
        """The record is changed, and that is settled."""
        settled = not what.endswith((", answer lost", ", delayed"))
        if what.startswith(("adds", "writes the record anew with ")) and settled:
            self._serving(n).settled_with(self.streams[n, 1 - n])
        elif what.startswith(("drops", "writes the record anew without")) and settled:
            self._serving(n).settled_without()

    # --- what follows by itself -----------------------------------------------------------------------------

    def _advance(self, state: State) -> None:
        """What was said is heard where the model's is, and disks are brought up to date where they are."""
        for (p, s), stream in self.streams.items():
            modelled = state.streams[p * self.world.nodes + s]
            while modelled is not None and self._advance_stream(state, p, s, stream):
                pass

    def _advance_stream(self, state: State, p: int, s: int, stream: Stream) -> bool:
        """Whether anything happened."""
        modelled = state.streams[p * self.world.nodes + s]
        assert modelled is not None
        far = modelled.far and stream.open_there and self.processes[s] is stream.other
        primary = state.nodes[p].primary
        near = modelled.near and stream.open_here and primary is not None
        if far and stream.there and stream.there[0][0] <= modelled.applied:
            stream.there.popleft()[1]()
            return True
        if far and stream.other.background.busy and modelled.synced >= stream.taken:
            stream.other.background.finish()
            return True
        if not near or primary is None:
            return False
        serving = stream.serving
        serving.under_way = any(pending.repair for pending in primary.pending)
        serving.applied(primary.pending[0].place - 1 if primary.pending else primary.issued)
        if serving.syncs.busy and primary.synced >= stream.asked:
            serving.syncs.finish()
            return True
        if stream.back and stream.back[0][0] <= primary.heard[s]:
            stream.back.popleft()[1]()
            return True
        return False

    def _let(self, state: State) -> None:
        """At any time, a thread has written what it is at, or a barrier is made."""
        for process in self.processes:
            if process is None or process.serving is None:
                continue
            if self.clock.chance(_OFTEN):
                process.serving.disk.finish()
            if self.clock.chance(_OFTEN) or self.happened[-1].endswith("to its disk, and says so"):
                process.serving.tick()
        self._advance(state)

    def _compare(self, state: State) -> None:
        for n, process in enumerate(self.processes):
            dirty = self.place.parts.file(self.disks[n]).load()
            file = None if dirty is None or dirty[1].everything else self.place.named(dirty[1])
            compare(self.world, state, n, process, file)


def is_replayable(state: State, step: Step) -> bool:
    """Whether the shipped objects may be led along: that the model's nodes may do more makes what it shows stronger."""
    who, _, what = step.text.partition(": ")
    if len(who) != 1:
        return True
    n = ord(who) - ord("A")
    primary, stream = state.nodes[n].primary, state.streams[n * 2 + 1 - n]
    if " connects, " in what or what.startswith("nothing is left to copy"):
        # A stream begins, and comes to its join point, at a moment when nothing is under way.
        return primary is not None and not primary.pending
    if what.startswith(("adds", "writes the record anew with ")):
        # Who is listed has said itself that it has its join point, and the primary's own disk has that, too.
        return primary is not None and stream is not None and stream.far and primary.synced >= stream.join
    return True
