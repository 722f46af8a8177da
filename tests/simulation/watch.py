"""One agent's watch of the store: all changes of one revision at once, in order, late; a snapshot after a break."""

from collections.abc import Callable

from agent.core.events import Event, StoreHeard, StoreSilent
from manager.store.api import Changes, KeyValue, Snapshot, StorePoint
from tests.simulation.clockwork import MS_NS, Actor, Clockwork
from tests.simulation.storelink import StoreLink

_LOOK_NS = 500 * MS_NS
_NOTICED_NS = 3_000 * MS_NS
"""After so long without anything from a watch, the store counts as silent."""
Show = Callable[[dict[str, KeyValue], int, bool], None]


class Watch:
    """Follows every key."""

    def __init__(
        self, clock: Clockwork, link: StoreLink, actor: Actor, show: Show, give: Callable[[Event], None]
    ) -> None:  # fmt: skip
        """``show``: is given all keys as they stood at a revision, and whether that is lower than one before."""
        self._clock, self._link, self._actor, self._show, self._give = clock, link, actor, show, give
        self.kvs: dict[str, KeyValue] = {}
        self.revision = 0
        self.store_id = ""
        """The id of the etcd that all this is of."""
        self._restores = clock.etcd.restores
        self._not_before_ns = 0
        self._silent = True
        self._told_silent = True
        self.blind_until_ns = 0
        """Nothing of what happens is shown before, although calls are answered: a connection that died unnoticed."""
        self.unrenewed = False
        """The lease's renewal was not answered: the store counts as silent."""
        self._end = clock.etcd.subscribe(self._changed)
        self._look()

    @property
    def point(self) -> StorePoint:
        """The etcd that all this is of, and how far it has been seen."""
        return StorePoint(self.store_id, self.revision)

    def close(self) -> None:
        """No more."""
        self._end()

    def _look(self) -> None:
        """Each half second: whether the stream is up, and a new snapshot when it was not."""
        if not self._link.open:
            return
        if not self._link.reaches or self._restores != self._clock.etcd.restores:
            self._silent = True
            self._restores = self._clock.etcd.restores
        elif self._silent and self._clock.now_ns >= self.blind_until_ns:
            self._silent = False
            snapshot = self._clock.etcd.range_now("/")
            self._not_before_ns = 0
            self._later(lambda: self._snapshot(snapshot))
        self.judge()
        self._clock.after(_LOOK_NS, self._look, self._actor)

    def go_blind(self, span_ns: int) -> None:
        """Show nothing for so long; the next snapshot comes after that."""
        self._silent = True
        self._blind_ns = self._clock.now_ns
        self.blind_until_ns = self._clock.now_ns + span_ns

    _blind_ns = 0

    def judge(self) -> None:
        """Tell when the store falls silent, and when it is heard again."""
        unnoticed = self._clock.now_ns < min(self.blind_until_ns, self._blind_ns + _NOTICED_NS)
        silent = (self._silent and not unnoticed) or self.unrenewed or not self.revision
        if silent != self._told_silent:
            self._told_silent = silent
            self.tell()

    def tell(self) -> None:
        """To a core that knows nothing yet, too."""
        self._give(StoreSilent() if self._told_silent else StoreHeard())

    def _later(self, action: Callable[[], None]) -> None:
        at_ns = max(self._not_before_ns, self._clock.now_ns + self._clock.between(0.5, 20))
        self._not_before_ns = at_ns

        def come() -> None:
            if self._link.open:
                action()

        self._clock.after(at_ns - self._clock.now_ns, come, self._actor)

    def _snapshot(self, snapshot: Snapshot) -> None:
        went_back = snapshot.revision < self.revision
        self.kvs, self.revision, self.store_id = dict(snapshot.kvs), snapshot.revision, snapshot.store_id
        self._show(self.kvs, snapshot.revision, went_back)
        self.judge()

    def _changed(self, changes: Changes) -> None:
        if not self._silent:
            restores = self._restores
            self._later(lambda: self._take(changes, restores))

    def _take(self, changes: Changes, restores: int) -> None:
        if self._silent or changes.revision <= self.revision or restores != self._clock.etcd.restores:
            return
        if not self._link.reaches:
            self._silent = True  # What is missed now comes with the next snapshot.
            self.judge()
            return
        for event in changes.events:
            if event.kv is None:
                self.kvs.pop(event.key, None)
            else:
                self.kvs[event.key] = event.kv
        self.revision = changes.revision
        self._show(self.kvs, changes.revision, False)
