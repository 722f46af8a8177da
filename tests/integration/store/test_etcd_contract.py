"""The store's contract, held by a real etcd; and the fake compared with it, transaction by transaction."""

import asyncio
import itertools
import random
from collections.abc import Iterator

import pytest
import uvloop

from manager.model.config.agent_config import EtcdConfig
from manager.model.errors import DefiniteFailure
from manager.store.api import (
    Change,
    CreateRevisionIs,
    Delete,
    DeletePrefix,
    Get,
    Guard,
    KeyAbsent,
    KeyValue,
    ModRevisionIs,
    Put,
    Range,
    Store,
    Txn,
    TxnResult,
    ValueIs,
)
from manager.store.etcd import connect
from manager.store.fake import FakeEtcd
from tests.support.etcd import EtcdCluster
from tests.support.store_contract import Ground, StoreContract

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[EtcdCluster]:
    with EtcdCluster() as cluster:
        yield cluster


class RealGround:
    """One cluster for all tests; each has a prefix of its own."""

    def __init__(self, cluster: EtcdCluster) -> None:
        self._cluster = cluster
        self.prefix = f"/contract/{next(_numbers)}/"

    def new_loop(self) -> asyncio.AbstractEventLoop:
        # The agent's kind.
        return uvloop.new_event_loop()

    def connect(self) -> Store:
        return connect(EtcdConfig(endpoints=self._cluster.endpoints))

    async def passes(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def compact(self) -> None:
        store = self.connect()
        revision = (await store.range(self.prefix)).revision
        await store.close()
        await asyncio.to_thread(self._cluster.control, "compact", str(revision), "--physical")


class TestEtcd(StoreContract):
    @pytest.fixture
    def ground(self, cluster: EtcdCluster) -> Ground:
        return RealGround(cluster)


ROUNDS = 400
_KEYS = ("/r/a", "/r/a/1", "/r/a/2", "/r/b", "/r/c")
_PREFIXES = ("/r/a", "/r/a/", "/r/", "/r/none")


def _random_txn(seed: int, number: int, base: int, revision: int) -> Txn:
    """One of the transactions of a run, for a cluster that was empty at ``base`` and is at ``base + revision``."""
    dice = random.Random(f"{seed}/{number}")
    return Txn(
        tuple(_random_guard(dice, base, revision) for _ in range(dice.choice((0, 0, 1, 1, 2)))),
        tuple(_random_change(dice) for _ in range(dice.randint(0, 3))),
        (Get(dice.choice(_KEYS)), Range(dice.choice(_PREFIXES))),
    )


def _random_guard(dice: random.Random, base: int, revision: int) -> Guard:
    key = dice.choice(_KEYS)
    revision = base + max(1, revision - dice.randint(0, 4))
    guards: tuple[Guard, ...] = (
        KeyAbsent(key),
        CreateRevisionIs(key, revision),
        ModRevisionIs(key, revision),
        ValueIs(key, str(dice.randint(0, 2))),
    )
    return dice.choice(guards)


def _random_change(dice: random.Random) -> Change:
    key, prefix = dice.choice(_KEYS), dice.choice(_PREFIXES)
    put = Put(key, str(dice.randint(0, 2)))
    return dice.choice((put, put, put, Delete(key), DeletePrefix(prefix)))


Outcome = tuple[bool, int, dict[str, tuple[str, int, int, int]]] | str


def _outcome(result: TxnResult | DefiniteFailure, base: int) -> Outcome:
    if isinstance(result, DefiniteFailure):
        return type(result).__name__
    return result.succeeded, result.revision - base, _relative(dict(result.found), base)


def _relative(kvs: dict[str, KeyValue], base: int) -> dict[str, tuple[str, int, int, int]]:
    return {key: (kv.value, kv.create_revision - base, kv.mod_revision - base, kv.version) for key, kv in kvs.items()}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_fake_decides_what_etcd_decides(cluster: EtcdCluster, seed: int) -> None:
    async def scenario() -> None:
        fake = FakeEtcd()
        store = connect(EtcdConfig(endpoints=cluster.endpoints))
        base = (await store.commit(Txn(then=(DeletePrefix("/r"),)))).revision - fake.revision
        refused = failed = 0
        for number in range(ROUNDS):
            revision = fake.revision
            txn = _random_txn(seed, number, 0, revision)
            real: TxnResult | DefiniteFailure
            imagined: TxnResult | DefiniteFailure
            try:
                real = await store.commit(_random_txn(seed, number, base, revision))
            except DefiniteFailure as error:
                real = error
            try:
                imagined = fake.commit_now(txn)
            except DefiniteFailure as error:
                imagined = error
            assert _outcome(real, base) == _outcome(imagined, 0), f"seed {seed}, transaction {number}: {txn}"
            refused += isinstance(real, DefiniteFailure)
            failed += isinstance(real, TxnResult) and not real.succeeded
        kept = await store.range("/r")
        assert _relative(dict(kept.kvs), base) == _relative(dict(fake.range_now("/r").kvs), 0)
        # The dice are worth something only if they fell on every side.
        assert refused > ROUNDS // 50 and failed > ROUNDS // 10 and fake.revision > ROUNDS // 10
        await store.close()

    asyncio.run(scenario())
