"""Keeps this node's one lease, and with it this node's registration (S5).

A renewal is a keep-alive *and* a guarded put of the node's own key: old servers answer keep-alives for leases that are
gone. Only when both have been answered does the deadline move, and it counts from before the first of them was sent. A
lost lease is granted anew, and the node is registered again; what that means for a module is the core's business.

And only an answer of the etcd that is watched counts (``agent.core.lease``): until the watch has come to one that was
restored, the deadline stands where the former one had it. Where one did not count, a read has to say that it is that
etcd before the next keep-alive is sent.

It does not register beside a node of a release with which this one has no version of the records in common: the one
that came first goes on, and this one, without a lease, starts nothing (docs/adr/0020-releases-side-by-side.md).
"""

import asyncio
import contextlib
import dataclasses
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.adapters.host import now_ns
from agent.core.lease import Sent, answers_again, deadline_ns, is_of_watched, later, went_back
from manager.model.codec import DecodeError, OtherRecordVersion, decode, encode
from manager.model.config import LeaseConfig
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.model.records import NodeRecord
from manager.model.versions import strange
from manager.note_file import read_note, write_note
from manager.store.api import (
    CreateRevisionIs,
    Get,
    KeyAbsent,
    KeyValue,
    LeaseExpired,
    ModRevisionIs,
    Put,
    Store,
    StorePoint,
    Txn,
    TxnResult,
)
from manager.time_limit import time_limit

RETRY_S = 0.1
"""Between two attempts when etcd does not answer; less when the calls themselves take their time."""
HASTE_S = 0.5
"""From one renewal to the next while somebody looks at this node's registration for whether it lives."""
MS_NS = 1_000_000


class LeaseListener(Protocol):
    """Who is told of the lease; called on the loop, must not block."""

    def lease_renewed(self, lease_id: int, deadline_ns: int) -> None:
        """This node may serve until ``deadline_ns`` (CLOCK_BOOTTIME)."""

    def lease_lost(self, lease_id: int) -> None:
        """etcd has said that the lease, and every key on it, is gone."""

    def store_silent(self, why: str) -> None:
        """A renewal was not answered, or by another etcd than the one that is watched; told again at each attempt."""

    def node_taken(self, other: NodeRecord | None) -> None:
        """Another agent is registered under this node's name, so that this one cannot be."""

    def node_strange(self, other: str, software: str) -> None:
        """Node ``other`` is registered, and it and this one do not understand each other's records: this one waits.

        ``software`` is its release; empty: not even its registration is understood.
        """


@dataclass(frozen=True, slots=True)
class LeaseNote:
    """The file in the run directory that names the lease of the agent that wrote it."""

    lease_id: int
    agent_instance: str


class LeaseFile:
    """Names the lease for the next agent on this node, which ends what a crashed one left."""

    def __init__(self, path: str) -> None:
        """``path``: in a directory that does not outlive the machine's run."""
        self._path = path

    def read(self) -> LeaseNote | None:
        """``None``: there is none, or it is not whole."""
        try:
            return decode(LeaseNote, read_note(self._path))
        except (OSError, DecodeError):
            return None

    def write(self, note: LeaseNote) -> None:
        """Replace it as a whole; where there is room for one only, in its place.

        Raises:
            DefiniteFailure: it cannot be written.
        """
        text = encode(note) + "\n"
        try:
            write_note(self._path, text)
        except OSError as error:
            if error.errno != errno.ENOSPC or not self._overwrite(text):
                raise DefiniteFailure(f"writing {self._path}: {error}") from None

    def _overwrite(self, text: str) -> bool:
        """The former one is of no use any more; one that is not whole is as none."""
        try:
            with open(self._path, "r+", encoding="utf-8") as file:
                file.write(text)
                file.truncate()
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Remove it; it may be gone."""
        if os.path.exists(self._path):
            os.unlink(self._path)


class LeaseKeeper:
    """Grants, registers and renews, for as long as :meth:`keep` runs."""

    def __init__(
        self,
        store: Store,
        node_key: str,
        record: NodeRecord,
        config: LeaseConfig,
        file: LeaseFile,
        watched: Callable[[], StorePoint],
        clock: Callable[[], int] = now_ns,
    ) -> None:
        """``record``: what is registered; its ``renewal`` counts up. ``file``: as a former agent left it.

        ``watched``: which etcd this node has its view from, and how far that has come.
        """
        self._store = store
        self._key = node_key
        self._record = record
        self._config = config
        self._file = file
        self._watched = watched
        self._clock = clock
        self._former = file.read()
        self._hurried_by: set[str] = set()
        self._hurried = asyncio.Event()
        self.created_revision = 0
        """Of this agent's own key; 0: it is not registered by a settled transaction."""
        self.lease_id = 0
        """0: none."""
        self.deadline_ns = 0
        self._in_doubt = False
        """The last renewal, or the registration, did not count: it may have been another etcd that it went to."""
        self._backup: StorePoint | None = None
        """What had been seen of etcd when one of the same id was behind that."""

    async def keep(self, listener: LeaseListener) -> None:
        """Keep the lease until cancelled, and tell ``listener``."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            stands = await self.attempt(listener)
            while (rest_s := begun + self._interval_s(stands) - loop.time()) > 0:
                self._hurried.clear()
                with contextlib.suppress(TimeoutError):
                    async with time_limit(rest_s):
                        await self._hurried.wait()

    def hasten(self, module: str, wanted: bool) -> None:
        """Whether ``module`` wants renewals at least every :data:`HASTE_S`, from now on."""
        if wanted and module not in self._hurried_by:
            self._hurried_by.add(module)
            self._hurried.set()
        elif not wanted:
            self._hurried_by.discard(module)

    def _interval_s(self, stands: bool) -> float:
        if not stands:
            return RETRY_S
        usual_s = self._config.renew_interval_ms / 1000
        return min(usual_s, HASTE_S) if self._hurried_by else usual_s

    def register_at(self, addresses: tuple[str, ...]) -> None:
        """Where this node is to be found from now on; the next renewal writes it."""
        self._record = dataclasses.replace(self._record, addresses=addresses)

    async def revoke(self) -> None:
        """End the lease, and with it every key of this node: for the agent's clean stop, after :meth:`keep`.

        Raises:
            DefiniteFailure, IndefiniteFailure: etcd did not take it; the lease ends by itself.
        """
        lease_id, self.lease_id = self.lease_id, 0
        self.created_revision = 0
        self.deadline_ns = 0
        if lease_id:
            await self._store.revoke(lease_id)
        self._file.remove()

    async def end_former(self) -> bool:
        """Ends the lease of an agent of this node that crashed, so that nothing waits for it; whether there was one.

        Only when nothing that it had started lives any more. Else its keys are taken over one by one, and its lease
        ends by itself.

        Raises:
            DefiniteFailure, IndefiniteFailure: etcd did not take it.
        """
        former = self._former
        if former is None:
            return False
        await self._store.revoke(former.lease_id)
        self._former = None
        self._file.remove()
        return True

    async def attempt(self, listener: LeaseListener) -> bool:
        """One renewal, or the first steps to a lease; whether the lease stands now."""
        try:
            if not self.created_revision and await self._is_kept_out(listener):
                return False
            if not self.lease_id:
                await self._grant()
            if not self.created_revision:
                return await self._register(listener)
            if self._in_doubt and not await self._is_watched(listener):
                return False
            return await self._renew(listener)
        except LeaseExpired:
            self._lost(listener)
        except (DefiniteFailure, IndefiniteFailure) as failure:
            listener.store_silent(str(failure))
        return False

    async def _grant(self) -> None:
        ttl_s = self._config.ttl_ms // 1000
        self.lease_id = await self._store.grant(ttl_s)
        self._file.write(LeaseNote(self.lease_id, self._record.agent_instance))

    async def _register(self, listener: LeaseListener) -> bool:
        """The node's key, on a lease that is renewed first: its grant may have been long ago."""
        sent = self._sent()
        ttl_s = await self._store.keep_alive(self.lease_id)
        put = Put(self._key, encode(self._record), self.lease_id)
        result = await self._store.commit(Txn((KeyAbsent(self._key),), (put,), (Get(self._key),)))
        if not result.succeeded:
            return await self._take_over(listener, result.found.get(self._key), put, sent, ttl_s)
        self.created_revision = result.revision
        return self._stands(listener, sent, result, ttl_s)

    async def _is_kept_out(self, listener: LeaseListener) -> bool:
        """By a registered node with which this one shares no version of the records. No transaction: one that comes at
        the same moment is beside this one then, and neither reads what the other writes."""
        prefix = self._key.removesuffix(self._record.node)
        registered = await self._store.range(prefix)
        for key, kv in registered.kvs.items():
            software = _strange_release(kv.value, self._record)
            if key != self._key and software is not None:
                listener.node_strange(key.removeprefix(prefix), software)
                return True
        return False

    async def _take_over(
        self, listener: LeaseListener, found: KeyValue | None, put: Put, sent: Sent, ttl_s: int
    ) -> bool:
        """The node is registered: by us, when only the answer was lost, or by our former agent; else it is taken."""
        if found is None:
            return False
        former = self._former.lease_id if self._former is not None else 0
        if found.lease not in (self.lease_id, former):
            listener.node_taken(_read(found.value))
            return False
        result = await self._store.commit(Txn((ModRevisionIs(self._key, found.mod_revision),), (put,)))
        if not result.succeeded:
            return False
        self.created_revision = found.create_revision
        return self._stands(listener, sent, result, ttl_s)

    async def _renew(self, listener: LeaseListener) -> bool:
        self._in_doubt = True
        sent = self._sent()
        ttl_s = await self._store.keep_alive(self.lease_id)
        record = dataclasses.replace(self._record, renewal=self._record.renewal + 1)
        put = Put(self._key, encode(record), self.lease_id)
        result = await self._store.commit(Txn((CreateRevisionIs(self._key, self.created_revision),), (put,)))
        if not result.succeeded:
            self._lost(listener)
            return False
        # Other addresses may have come while etcd was asked.
        self._record = dataclasses.replace(self._record, renewal=record.renewal)
        return self._stands(listener, sent, result, ttl_s)

    async def _is_watched(self, listener: LeaseListener) -> bool:
        """Asking so keeps nothing alive."""
        watched = self._watched()
        found = await self._store.range(self._key)
        read = StorePoint(found.store_id, found.revision)
        if watched == self._backup or not answers_again(watched, read):
            self._another_answers(listener, watched, read)
            return False
        return True

    def _another_answers(self, listener: LeaseListener, watched: StorePoint, answered: StorePoint) -> None:
        self._in_doubt = True
        if went_back(watched, answered):
            self._backup = watched
        listener.store_silent(f"{answered} answers; what was seen last is {watched}: it was restored or rebuilt")

    def _sent(self) -> Sent:
        return Sent(self._clock(), self._watched())

    def _stands(self, listener: LeaseListener, sent: Sent, result: TxnResult, ttl_s: int) -> bool:
        answered = StorePoint(result.store_id, result.revision)
        if not is_of_watched(sent.watched, answered):
            self._another_answers(listener, sent.watched, answered)
            return False
        self._in_doubt = False
        # What a node needs to stop serving is part of what is taken off: at the lease's end it has stopped.
        taken_off_ns = (self._config.margin_ms + self._config.stop_budget_ms) * MS_NS
        renewed_ns = deadline_ns(sent.at_ns, min(ttl_s, self._config.ttl_ms // 1000), taken_off_ns)
        self.deadline_ns = later(self.deadline_ns, renewed_ns)
        listener.lease_renewed(self.lease_id, self.deadline_ns)
        return True

    def _lost(self, listener: LeaseListener) -> None:
        lost, self.lease_id = self.lease_id, 0
        self.created_revision = 0
        self.deadline_ns = 0
        listener.lease_lost(lost)


def _strange_release(text: str, own: NodeRecord) -> str | None:
    """The release of a registered node that does not go with ``own``, empty if it is not understood; ``None``: it does.

    What is no registration of any version keeps nobody out.
    """
    try:
        other = decode(NodeRecord, text)
    except OtherRecordVersion:
        return ""
    except DecodeError:
        return None
    return other.software if "records" in strange(other.speaks, own.speaks) else None


def _read(text: str) -> NodeRecord | None:
    try:
        return decode(NodeRecord, text)
    except DecodeError:
        return None
