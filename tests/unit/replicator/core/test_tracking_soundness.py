"""Wherever the two copies differ the tracker names it: any operations, faults, and joins, in any order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from replicator.core.dirty import BOUNDS, Bounds
from tests.unit.replicator.core.tracked_pair import Pair

NARROW = Bounds(zones=2, all_zones=5, files=4, inodes=6, places=8)


class TrackedPair(RuleBasedStateMachine):
    """Checks at every join; see Pair."""

    @initialize(kind=st.integers(0, 3))
    def begin(self, kind: int) -> None:
        self.data: st.DataObject | None = None
        self.pair = Pair(self._pick, NARROW if kind == 2 else BOUNDS)
        self.pair.content_only = kind == 3

    def _pick(self, count: int) -> int:
        return 0 if self.data is None or count < 2 else self.data.draw(st.integers(0, count - 1))

    @rule(data=st.data(), count=st.integers(1, 4))
    def operations(self, data: st.DataObject, count: int) -> None:
        self.data = data
        for _ in range(count):
            self.pair.issue_some()

    @rule()
    def tried_again(self) -> None:
        self.pair.retry()

    @rule()
    def released(self) -> None:
        self.pair.release()

    @rule(count=st.integers(1, 6))
    def deliver(self, count: int) -> None:
        for _ in range(count):
            self.pair.deliver()

    @rule(data=st.data())
    def fsync(self, data: st.DataObject) -> None:
        self.data = data
        self.pair.sync_time()

    @rule()
    def write(self) -> None:
        self.pair.write()

    @rule()
    def written(self) -> None:
        self.pair.written()

    @rule()
    def written_out(self) -> None:
        self.pair.write_all()

    @rule()
    def barrier(self) -> None:
        self.pair.barrier()

    @rule()
    def barrier_at_the_peer(self) -> None:
        self.pair.barrier_peer()

    @rule()
    def barrier_here(self) -> None:
        self.pair.barrier_own()

    @rule()
    def whole_barrier(self) -> None:
        self.pair.barrier()
        self.pair.deliver_all()
        self.pair.barrier_peer()
        self.pair.barrier_own()
        self.pair.deliver_all()

    @rule()
    def rejoin(self) -> None:
        self.pair.rejoin()

    @rule()
    def join_point(self) -> None:
        self.pair.send_finish()

    @rule()
    def durable_at_the_peer(self) -> None:
        self.pair.peer_durable()

    @rule()
    def durable_here(self) -> None:
        self.pair.own_durable()

    @rule()
    def settled(self) -> None:
        self.pair.settle()

    @rule(data=st.data())
    def whole_join(self, data: st.DataObject) -> None:
        self.data = data
        self.pair.join_through(self.pair.issue_some)

    @rule(data=st.data(), power=st.booleans())
    def peer_lost(self, data: st.DataObject, power: bool) -> None:
        self.data = data
        self.pair.lose_peer(power)

    @rule(data=st.data(), power=st.booleans())
    def fail_over(self, data: st.DataObject, power: bool) -> None:
        self.data = data
        self.pair.fail_over(power)

    @rule(data=st.data(), power=st.booleans())
    def restart(self, data: st.DataObject, power: bool) -> None:
        self.data = data
        self.pair.restart(power)

    def teardown(self) -> None:
        """Whatever was under way, the peer comes back: what it lacks is named."""
        self.data = None
        pair = self.pair
        pair.write_all()
        pair.deliver_all()
        pair.lose_peer(power=False)
        pair.write_all()
        pair.join_through(lambda: None)


TestSoundness = TrackedPair.TestCase
TestSoundness.settings = settings(stateful_step_count=40)
