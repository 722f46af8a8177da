"""The store's contract, held by the fake. ``tests/integration/store/test_etcd_contract.py``: by a real etcd."""

import asyncio

import pytest

from manager.store.api import Store
from manager.store.fake import FakeEtcd
from manager.store.fake_store import FakeStore
from tests.support.store_contract import Ground, StoreContract


class FakeGround:
    """A cluster in memory for each test."""

    prefix = "/contract/"

    def __init__(self) -> None:
        self.etcd = FakeEtcd()

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()

    def connect(self) -> Store:
        return FakeStore(self.etcd)

    async def passes(self, seconds: float) -> None:
        self.etcd.advance(seconds)

    async def compact(self) -> None:
        self.etcd.compact()


class TestFake(StoreContract):
    @pytest.fixture
    def ground(self) -> Ground:
        return FakeGround()
