"""The primary: takes the operations of all its file systems, ships them, applies and completes them in order (S2, S4).

It is the :class:`replicator.core.issuing.Issuer` of one module, for one epoch. An operation goes to every peer whose
stream stands; what :class:`replicator.core.completions.Completions` releases is applied here, then completed. It
knows neither FUSE nor how a peer is brought in sync (``replicator.joining``), nor what the agent decides.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from manager.model.control import Event, Failed, Frozen, Settled
from manager.model.errors import MirrorfarmError
from replicator.core.completions import Completions, Gate
from replicator.core.issuing import Issuer
from replicator.core.operations import Fsync, Operation
from replicator.dirty_keeper import DirtyKeeper
from replicator.disk.loss import is_broken
from replicator.disk.volume import DivergenceError, Volume
from replicator.fsyncing import Fsyncing
from replicator.fuse.context import Background
from replicator.order import Moment
from replicator.peer import Peer, PeerState
from replicator.peers import FSYNC_TIMEOUTS, PrimarySettings
from replicator.repair import Repairs, can_be_repaired
from replicator.streams import Hooks, JoinerFactory, SetAside, Streams

Done = Callable[[int], None]
TURN_S: Final = 0.05
"""How long a quiet moment that lasts keeps the loop in one turn."""
OWN_FSYNC_TIMEOUTS: Final = 2 * FSYNC_TIMEOUTS
"""Peer timeouts that an fsync may take here: where both disks are slow the peer is dropped before, and one serves."""
Item = tuple[Operation, Done]


class Fence(Protocol):
    """The warden's flag."""

    fenced: bool
    """Nothing may be applied or completed any more; set by another thread."""

    def is_due(self) -> bool:
        """Whether the deadline has passed, noticed by the warden's thread or not; a renewal may still come."""
        ...


class Primary(Issuer):
    """The issuer of one module, for one epoch. All methods are for the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        volumes: Sequence[Volume],
        settings: PrimarySettings,
        hooks: Hooks,
        background: Background,
        fence: Fence,
        make_joiner: JoinerFactory,
        set_aside: SetAside,
        keeper: DirtyKeeper,
    ) -> None:
        """Nothing completes before the first :meth:`settled`: who has to have it is not known until then."""
        self.volumes: Final = tuple(volumes)
        self.epoch: Final = settings.epoch
        self.background: Final = background
        self.completions: Final = Completions[Item]()
        self._node = settings.node
        self._hooks = hooks
        self._fence = fence
        self._apply = tuple(volume.apply for volume in volumes)
        self.keeper: Final = keeper
        keeper.on_written = self._written
        self._mark = keeper.tracker.mark
        self.standing: tuple[Peer, ...] = ()
        """The peers that are sent the operations. Read it only."""
        self._joining = False
        """Whether one of them is joining."""
        self._careful = keeper.is_careful
        """Whether an operation is looked at twice: somebody joins, or watches, or what it marks goes to the disk."""
        self._watchers: tuple[Callable[[Operation], None], ...] = ()
        self._loop = loop
        self._quiet: deque[Moment] = deque()
        self._lasting: Iterator[None] | None = None
        """What is left of a quiet moment."""
        self._after: deque[tuple[int, Callable[[], None]]] = deque()
        self._draining = False
        self._shipping = False
        self._resting = False
        self._failed = False
        self._failure: Failed | None = None
        self._frozen_told = False
        self._preparing: Operation | None = None
        """What joiners were asked about, and is shipped as soon as what it needs is listed."""
        self._fsyncs = Fsyncing(self, hooks.disk_lost)
        self._repairs = Repairs(self)
        self._operations = 0
        self._patience_s = OWN_FSYNC_TIMEOUTS * settings.peer_timeout_ms / 1000
        self._disk_told = False
        self._disk_lost = ""
        """What this node's disk has lost while nobody else was listed; empty: nothing."""
        self.streams: Final = Streams(self, loop, settings, hooks, make_joiner, set_aside, background)

    # The issuer

    def issue(self, operation: Operation, done: Done) -> None:
        """See Issuer."""
        completions = self.completions
        if completions.gated:
            completions.wait((operation, done))
            if self._careful:
                self.keeper.foresee(operation)
            return
        if self._careful:
            if self._may_ship(operation, done):
                self._issue(operation, done)
            return
        self._mark(operation)
        completions.issue((operation, done))
        try:
            for peer in self.standing:
                peer.ship(operation)
        except (OSError, MirrorfarmError) as error:
            self.fail(f"an inode cannot be introduced to the peer: {error}")
        if completions.limit > completions.released:
            self.drain()

    def _issue(self, operation: Operation, done: Done) -> None:
        """As :meth:`issue` at an open gate; a joining peer's socket may tell at once that it has taken it."""
        completions = self.completions
        completions.issue((operation, done))
        self._shipping = True
        try:
            for peer in self.standing:
                peer.ship(operation)
        except (OSError, MirrorfarmError) as error:
            self.fail(f"an inode cannot be introduced to the peer: {error}")
        self._shipping = False
        if completions.limit > completions.released:
            self.drain()

    @property
    def fsync_carries_time(self) -> bool:
        """See Issuer: an fsync does not go to a peer that is joining."""
        return not self._joining

    def fsync(self, operation: Fsync, done: Done) -> None:
        """See Issuer."""
        self._fsyncs.issue(operation, done)

    def forgotten(self, volume: int, inode: int) -> None:
        """See Issuer."""
        for peer in self.standing:
            peer.unbind(volume, inode)

    # Applying and completing

    def drain(self) -> None:
        """Applies and completes what is released. When the module is fenced or has failed it never returns to it.

        Past the deadline it waits: after a standstill of the process the loop may have its turn before the warden.
        """
        if self._draining or self._shipping or self._fence.is_due():
            return
        self._draining = True
        fence, apply, completions = self._fence, self._apply, self.completions
        while items := completions.release():
            for operation, done in items:
                if fence.fenced or self._failed:
                    return
                try:
                    result = apply[operation.volume](operation)
                except OSError as error:
                    if self.standing:
                        self._failed_here(operation, done, error)
                        continue
                    result = -(error.errno or errno.EIO)
                except DivergenceError as error:
                    self.fail(f"the files here are not what they were: {error}")
                    return
                if fence.fenced:
                    return
                self._answer(operation, done, result)
            self._operations += len(items)
        self._draining = False
        if self._after or completions.gated:
            self.rest()

    def _answer(self, operation: Operation, done: Done, result: int) -> None:
        """Raises neither OSError nor DivergenceError.

        Whoever issues just now would take it for his own, and all others would wait for ever.
        """
        try:
            done(result)
        except (OSError, DivergenceError) as error:
            self.fail(f"{operation.kind.name} of inode {operation.inode:x} is over and cannot be answered: {error}")

    def _failed_here(self, operation: Operation, done: Done, error: OSError) -> None:
        """The peers have applied it, or will.

        One that is joining has not all of what was before: where nobody else has it either, it goes on here, as alone.
        """
        if can_be_repaired(operation, error):
            self._repairs.add(operation, done, error)
            return
        reason = f"{operation.kind.name} of inode {operation.inode:x} failed here: {error}"
        if self.completions.required:
            self.fail(reason, is_broken(error))
            return
        for peer in self.standing:
            peer.drop(reason)  # its copy has it: what it lacks begins with that
        self._answer(operation, done, -(error.errno or errno.EIO))

    def fail(self, reason: str, memory_lost: bool = False) -> None:
        """Nothing is applied or completed any more, and the agent is told: it resigns.

        ``memory_lost``: what was applied here and not synced may be gone (S8); the agent hears it after a failure, too.
        """
        former = self._failure
        if self._failed and (former is None or former.memory_lost or not memory_lost):
            return
        self._failed = True
        self._failure = Failed(reason, memory_lost=memory_lost or bool(self._disk_lost))
        self.completions.fence()
        self._hooks.event(self._failure)

    def disk_failed(self, reason: str, memory_lost: bool) -> None:
        """This node's disk does not have what was completed: a peer that is listed is to go on with it.

        Alone it is as with a disk of any server: the application hears of it by its next fsync. Once somebody is listed
        that has been given what could be read here, it goes on there; this disk is to be compared with it.
        """
        if memory_lost:
            for volume in self.volumes:
                volume.memory_lost = True
            self.streams.barriers.disk_lost()
        if self.completions.holders or self._failed:
            self.fail(reason, memory_lost)
        elif memory_lost:
            self._disk_lost = reason

    def tick(self) -> None:
        """To be called every second: a disk of this node that does not answer, or has lost something, is found."""
        if self.stopped:
            return
        self.streams.barriers.tick()
        silent_s = self._fsyncs.tick()
        silent = silent_s > self._patience_s
        if silent and not self._disk_told:
            self._hooks.note("disk.silent", silent_s=silent_s)
        self._disk_told = silent
        if silent:
            self.disk_failed(f"an fsync was not answered by this node's own disk for {silent_s} s", memory_lost=False)

    @property
    def changes(self) -> int:
        """Differs when something was changed here, or synced."""
        return self.completions.released + self._fsyncs.begun

    @property
    def repairing(self) -> bool:
        """Whether a peer has something that failed here, and is not repaired yet."""
        return self._repairs.under_way

    @property
    def untold_loss(self) -> str:
        """Why this node's disk does not have what was completed; empty: it has it, or the agent was told.

        It waits for somebody to be listed, and is the process's matter when this primary has ended.
        """
        return self._disk_lost if self._failure is None else ""

    @property
    def stopped(self) -> bool:
        """Whether nothing may complete any more."""
        return self._failed or self._fence.fenced

    # Moments

    def when_quiet(self, callback: Moment) -> None:
        """Calls ``callback`` on the loop when nothing is issued and not yet applied here.

        Until then what is issued waits. What the callback sends, and reads here, is of one moment of the stream. Keep
        it short: the application waits. What cannot be short returns an iterator: the moment lasts until its end, and
        the loop has its turns meanwhile, so that peers and agent hear of this process. Callbacks are called in the
        order asked, perhaps before this returns; never once the module is fenced or has failed.
        """
        self._quiet.append(callback)
        self.completions.shut(Gate.QUIET)
        self.rest()

    def when_quiet_first(self, callback: Moment) -> None:
        """As :meth:`when_quiet`, before whatever was asked for until now."""
        self._quiet.appendleft(callback)
        self.completions.shut(Gate.QUIET)
        self.rest()

    def underway_on(self, volume: int, inode: int) -> list[Operation]:
        """What was issued on an inode, or is the very next to be shipped, and is not applied here yet.

        Not to be asked from within :meth:`drain`, which has taken out what it applies.
        """
        return [operation for operation in self.underway_in(volume) if operation.inode == inode]

    def underway_in(self, volume: int) -> list[Operation]:
        """As :meth:`underway_on`, on any inode."""
        found = [*(operation for operation, _ in self.completions.under_way), *self._repairs.operations]
        if self._preparing is not None:
            found.append(self._preparing)
        return [operation for operation in found if operation.volume == volume]

    def watch(self, watcher: Callable[[Operation], None]) -> None:
        """Has ``watcher`` told of each operation that is about to be shipped, until :meth:`unwatch`."""
        self._watchers = (*self._watchers, watcher)
        self._look_twice()

    def unwatch(self, watcher: Callable[[Operation], None]) -> None:
        """It is told of nothing more."""
        self._watchers = tuple(each for each in self._watchers if each != watcher)
        self._look_twice()

    def when_applied(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` when all that has been issued until now is applied here, perhaps before this returns."""
        self._after.append((self.completions.issued, callback))
        self.rest()

    def rest(self) -> None:
        """Does what waits for a moment, if this is one."""
        if self._draining or self._resting or self._lasting is not None or self.stopped:
            return
        self._resting = True
        completions = self.completions
        while True:
            while self._after and self._after[0][0] <= completions.released:
                self._after.popleft()[1]()
            if completions.idle and not completions.is_shut(Gate.REPAIR):
                if self._quiet:
                    steps = self._quiet.popleft()()
                    if steps is None or self._advance(steps):
                        continue
                    break
                self._tell_frozen()
            if not self._quiet:
                completions.open(Gate.QUIET)
            waiting = completions.next_waiting()
            if waiting is None:
                break
            if not self._careful:
                self._mark(waiting[0])
                self._issue(*waiting)
            elif self._may_ship(*waiting):
                self._issue(*waiting)
        self._resting = False

    def _advance(self, steps: Iterator[None]) -> bool:
        """Whether a quiet moment that lasts has come to its end; else it goes on in the loop's next turn."""
        until = self._loop.time() + TURN_S
        for _ in steps:
            if self._loop.time() > until:
                self._lasting = steps
                self._loop.call_soon(self._go_on)
                return False
        return True

    def _go_on(self) -> None:
        steps, self._lasting = self._lasting, None
        if steps is None or self.stopped:
            return
        self._resting = True
        ended = self._advance(steps)
        self._resting = False
        if ended:
            self.rest()

    def _may_ship(self, operation: Operation, done: Done) -> bool:
        """Whether what it marks is on the disk, and every joiner lets it pass; else it waits, before all others."""
        if not self.keeper.passes(operation):
            if self.keeper.refusal:
                self._answer(operation, done, -self.keeper.refusal)
                return False
            self.completions.wait_first((operation, done))
            self.completions.shut(Gate.MARK)
            return False
        for watcher in self._watchers:
            watcher(operation)
        joiners = [p.joiner for p in self.standing if p.joiner is not None and p.state is PeerState.JOINING]
        asking = [joiner for joiner in joiners if not joiner.may_ship(operation)]
        if not asking:
            return True

        def prepare() -> Iterator[None]:
            for joiner in asking:
                yield from joiner.prepare(operation)
            self._preparing = None
            self._issue(operation, done)

        self._preparing = operation
        self.when_quiet_first(prepare)
        return False

    # The agent's side

    def takes_out(self, command: Settled) -> bool:
        """Whether the record that stands so leaves out a node that the last one listed."""
        return command.epoch == self.epoch and self.completions.takes_out(command.number, command.holders)

    def goes_on_alone(self, command: Settled) -> bool:
        """Whether nobody is left, once that is settled, who has what completes from then on, and somebody was."""
        if command.epoch != self.epoch or any(peer.durable for peer in self.standing):
            return False
        return self.takes_out(command) or self.keeper.has_noted_base

    def settled(self, command: Settled) -> None:
        """The record stands so. One of another epoch says nothing of this primary."""
        if command.epoch != self.epoch:
            self._hooks.note("record.of_other_epoch", epoch=command.epoch, own_epoch=self.epoch)
            return
        self.completions.settled(command.number, [n for n in command.holders if n != self._node])
        self._hooks.note("record.settled", number=command.number, holders=command.holders)
        if self._disk_lost:
            self.disk_failed(self._disk_lost, memory_lost=True)
        self.streams.tell_missing()
        self.streams.settled()
        self._look_twice()
        self.changed()
        self.streams.begin_welcomed()

    def stand(self, peers: tuple[Peer, ...]) -> None:
        """These are sent the operations from now on; some may have become complete."""
        self.standing = peers
        self._joining = any(peer.state is PeerState.JOINING for peer in peers)
        self._look_twice()

    def _look_twice(self) -> None:
        """Whether an operation passes may have changed: the list may be somewhere else, a peer may have come."""
        self._careful = self._joining or self.keeper.is_careful or bool(self._watchers)

    def _written(self) -> None:
        """What waited for the disk to know of it may be tried again."""
        self._look_twice()
        self.completions.open(Gate.MARK)
        self.rest()

    def changed(self, lost: Peer | None = None) -> None:
        """Who is required, or what stands, has changed; perhaps since ``lost`` is."""
        if lost is not None:
            self._repairs.lost(lost)
        self.drain()
        self._fsyncs.changed()
        self._repairs.changed()
        self.rest()

    def freeze(self) -> None:
        """Takes no more changes; Frozen when all that was under way is applied."""
        self.completions.shut(Gate.FROZEN)
        self._frozen_told = False
        self.rest()

    def _tell_frozen(self) -> None:
        if self.frozen and not self._frozen_told:
            self._frozen_told = True
            self._hooks.event(Frozen())

    def thaw(self) -> None:
        """Takes changes again, those that waited first."""
        self.completions.open(Gate.FROZEN)
        self.rest()

    @property
    def frozen(self) -> bool:
        """Whether changes wait, since :meth:`freeze` until :meth:`thaw`."""
        return self.completions.is_shut(Gate.FROZEN)

    def close(self) -> None:
        """Ends all streams. What is under way never completes."""
        self.completions.fence()
        self._failed = True
        self._lasting = None
        self.streams.close()

    def outstanding(self) -> list[Event]:
        """What a new agent has to be told; its former one may not have heard that nothing completes any more."""
        frozen = [Frozen()] if self.frozen and self._frozen_told else []
        failed = [self._failure] if self._failure is not None else []
        return [*self.streams.outstanding(), *frozen, *failed]

    def counters(self) -> dict[str, int]:
        """For Status."""
        counted = {
            "operations_completed": self._operations,
            "operations_under_way": self.completions.issued - self.completions.released,
            "fsyncs_under_way": self._fsyncs.under_way,
            "repairs": self._repairs.count,
            "barriers": self.streams.barriers.count,
            "marks_written": self.keeper.batches,
            "frames_unacknowledged": sum(peer.unacknowledged_frames for peer in self.standing),
        }
        return counted | self.streams.counters()
