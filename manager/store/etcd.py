"""The store over a real etcd: what each call asks, and what its answers mean.

It decides nothing about endpoints and time (``rounds``), connections and tokens (``endpoint``), or the course of a
watch (``watch``).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from etcd3 import etcdrpc

from manager.model.config.agent_config import EtcdConfig
from manager.model.errors import IndefiniteFailure, MirrorfarmError
from manager.model.keys import ROOT
from manager.store import translate
from manager.store.api import (
    EndpointStatus,
    KeyValue,
    LeaseExpired,
    Member,
    Snapshot,
    Store,
    StoreRefused,
    StoreStatus,
    StoreUnreachable,
    Txn,
    TxnResult,
)
from manager.store.connection import Rpc
from manager.store.credentials import read_credentials
from manager.store.endpoint import Endpoint
from manager.store.rounds import Answer, Attempt, Rounds
from manager.store.translate import Message
from manager.store.watch import EtcdWatch, WatchTiming

_MS_PER_S = 1_000


def connect(config: EtcdConfig, silence_s: float = 60.0) -> Store:
    """The store that ``config`` names. Reads the credentials' files; nothing is connected before the first call.

    All calls and watches belong to the event loop of the first one.

    Args:
        config: where it is, and what is shown to it.
        silence_s: a watch that has told nothing for so long is not relied upon.

    Raises:
        InvalidConfig: a file of the credentials is missing or wrong.
    """
    credentials = read_credentials(config)
    endpoints = [Endpoint(name, credentials) for name in config.endpoints]
    return EtcdStore(endpoints, WatchTiming(config.call_timeout_ms / _MS_PER_S, silence_s=silence_s))


class EtcdStore:
    """A :class:`~manager.store.api.Store` over the endpoints of one etcd cluster."""

    def __init__(self, endpoints: Sequence[Endpoint], timing: WatchTiming) -> None:
        """Calls go round ``endpoints``, and take ``timing.call_timeout_s`` at most; the store closes them."""
        self._rounds = Rounds(endpoints)
        self._timing = timing
        self._call_timeout_s = timing.call_timeout_s
        self._watches: set[EtcdWatch] = set()
        self._calls = 0
        self._idle = asyncio.Event()

    @property
    def call_timeout_s(self) -> float:
        """The longest that one call takes, in seconds, whatever the number of endpoints."""
        return self._call_timeout_s

    async def get(self, key: str) -> KeyValue | None:
        """One key as it stands now, or ``None``."""
        answer = await self._read(_attempt(Rpc.RANGE, translate.get_request(key)))
        return translate.key_values(answer.value).get(key)

    async def range(self, prefix: str) -> Snapshot:
        """All keys below ``prefix``, at one revision."""
        return (await self._list(prefix)).value

    async def commit(self, txn: Txn) -> TxnResult:
        """Settle ``txn``; sent once, save where the first sending certainly changed nothing."""
        return translate.txn_result(await self._change(Rpc.TXN, translate.txn_request(txn)))

    async def grant(self, ttl_s: int) -> int:
        """A new lease, by its id."""
        answer = await self._change(Rpc.GRANT, etcdrpc.LeaseGrantRequest(TTL=ttl_s))
        return int(answer.ID)

    async def keep_alive(self, lease_id: int) -> int:
        """Renew a lease: the seconds it now has."""
        attempt = _attempt(Rpc.KEEP_ALIVE, etcdrpc.LeaseKeepAliveRequest(ID=lease_id))
        async with self._call():
            answer = await self._rounds.ask(attempt, self._call_timeout_s)
        ttl_s = int(answer.value.TTL)
        # etcd's way to say that there is no such lease; python-etcd3 raises nothing either.
        if ttl_s <= 0:
            raise LeaseExpired(f"lease {lease_id:x} does not exist")
        return ttl_s

    async def revoke(self, lease_id: int) -> None:
        """End a lease and remove its keys."""
        with contextlib.suppress(LeaseExpired):
            await self._change(Rpc.REVOKE, etcdrpc.LeaseRevokeRequest(ID=lease_id))

    def watch(self, prefix: str) -> EtcdWatch:
        """Follow everything below ``prefix``. To be called on the event loop."""
        watch = EtcdWatch(self._rounds, self._list, prefix, self._timing)
        self._watches.add(watch)
        watch.on_close(lambda: self._watches.discard(watch))
        return watch

    async def status(self) -> StoreStatus:
        """What each endpoint says of itself, and the members."""
        async with self._call():
            # Their order on the list, not the one in which they are tried.
            endpoints = sorted(self._rounds.endpoints, key=lambda endpoint: endpoint.name)
            statuses = asyncio.gather(*(self._endpoint_status(endpoint) for endpoint in endpoints))
            told, (members, cluster_id) = await asyncio.gather(statuses, self._members())
        return StoreStatus(tuple(told), members, cluster_id)

    async def close(self) -> None:
        """End all calls and watches; returns when nothing is left running."""
        self._rounds.close()
        for watch in tuple(self._watches):
            await watch.close()
        while self._calls:
            self._idle.clear()
            await self._idle.wait()

    async def _list(self, prefix: str) -> Answer[Snapshot]:
        answer = await self._read(_attempt(Rpc.RANGE, translate.range_request(prefix)))
        return Answer(answer.endpoint, translate.snapshot(answer.value))

    async def _read(self, attempt: Attempt[Message]) -> Answer[Message]:
        async with self._call():
            try:
                return await self._rounds.ask(attempt, self._call_timeout_s)
            except IndefiniteFailure as error:
                # Nothing was changed, whether it was executed or not.
                raise StoreUnreachable(str(error)) from error

    async def _change(self, rpc: Rpc, request: Message) -> Message:
        async with self._call():
            return await self._rounds.tell(_probe, _attempt(rpc, request), self._call_timeout_s)

    async def _endpoint_status(self, endpoint: Endpoint) -> EndpointStatus:
        deadline = asyncio.get_running_loop().time() + self._call_timeout_s
        try:
            answer = await endpoint.call(Rpc.STATUS, etcdrpc.StatusRequest(), deadline)
        except MirrorfarmError as error:
            return EndpointStatus(endpoint.name, problem=str(error).removeprefix(f"{endpoint.name}: "))
        return translate.endpoint_status(endpoint.name, answer)

    async def _members(self) -> tuple[tuple[Member, ...], int]:
        attempt = _attempt(Rpc.MEMBERS, etcdrpc.MemberListRequest())
        try:
            answer = (await self._rounds.ask(attempt, self._call_timeout_s)).value
        except MirrorfarmError:
            # The endpoints' own problems say why; ``members`` empty says that.
            return (), 0
        return tuple(translate.member(member) for member in answer.members), int(answer.header.cluster_id)

    @contextlib.asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        """Lets :meth:`close` wait for calls on their way."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self._idle.set()


def _attempt(rpc: Rpc, request: Message) -> Attempt[Message]:
    return lambda endpoint, deadline: endpoint.call(rpc, request, deadline)


async def _probe(endpoint: Endpoint, deadline: float) -> None:
    """Does the endpoint answer, with a majority behind it? A refusal to read is an answer too."""
    with contextlib.suppress(StoreRefused):
        await endpoint.call(Rpc.RANGE, translate.get_request(ROOT), deadline)
