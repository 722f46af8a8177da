"""An endpoint that is closed ends what is on its way, by whichever of its connections."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from etcd3 import etcdrpc

from manager.model.errors import IndefiniteFailure
from manager.store import endpoint
from manager.store.api import StoreUnreachable
from manager.store.connection import Rpc
from manager.store.credentials import Credentials
from manager.store.endpoint import Endpoint

LONG_S, SHORT_S = 30.0, 5.0


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes every call and answers none, until the test is over."""
    over = threading.Event()

    def wait(request: bytes, context: grpc.ServicerContext) -> bytes:
        over.wait(LONG_S)
        return b""

    methods = {"Range": grpc.unary_unary_rpc_method_handler(wait)}
    handler = grpc.method_handlers_generic_handler("etcdserverpb.KV", methods)
    server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    over.set()
    server.stop(None).wait()


def test_closing_ends_the_calls_of_a_connection_that_was_given_up(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = iter([(None, None, None), (1, 1, 1)])
    monkeypatch.setattr(endpoint, "signatures", lambda _: next(shown))

    async def run() -> None:
        loop, one = asyncio.get_running_loop(), Endpoint(silent, Credentials())
        former = one._connection
        long = asyncio.create_task(one.call(Rpc.RANGE, etcdrpc.RangeRequest(key=b"k"), loop.time() + LONG_S))
        with pytest.raises((StoreUnreachable, IndefiniteFailure)):
            await one.call(Rpc.RANGE, etcdrpc.RangeRequest(key=b"k"), loop.time() + 0.5)
        assert one._connection is not former and not long.done(), "given up, and still used"
        one.close()
        with pytest.raises((StoreUnreachable, IndefiniteFailure)):
            await asyncio.wait_for(long, SHORT_S)

    asyncio.run(run())
