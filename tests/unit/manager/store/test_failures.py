"""Which failure is certain to have changed nothing: the table, word for word as etcd and gRPC say it."""

import grpc
import pytest

from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.store.api import LeaseExpired, StoreRefused, StoreUnreachable
from manager.store.failures import AuthenticationOff, TokenRejected, failure_of

Code = grpc.StatusCode


class Failed(grpc.RpcError):  # type: ignore[misc]  # grpc has no types
    """A failed call."""

    def __init__(self, code: grpc.StatusCode, details: str | None) -> None:
        super().__init__()
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (Code.UNAVAILABLE, "failed to connect to all addresses; last error: UNKNOWN: refused", StoreUnreachable),
        (Code.UNAVAILABLE, "etcdserver: no leader", StoreUnreachable),
        (Code.RESOURCE_EXHAUSTED, "etcdserver: too many requests", StoreUnreachable),
        (Code.UNAVAILABLE, "etcdserver: rpc not supported for learner", StoreUnreachable),
        # As some 3.5 releases say it (etcd-io/etcd#12985).
        (Code.FAILED_PRECONDITION, "etcdserver: rpc not supported for learner", StoreUnreachable),
        (Code.UNAUTHENTICATED, "etcdserver: invalid auth token", TokenRejected),
        (Code.INVALID_ARGUMENT, "etcdserver: revision of auth store is old", TokenRejected),
        (Code.INVALID_ARGUMENT, "etcdserver: user name is empty", TokenRejected),
        (Code.FAILED_PRECONDITION, "etcdserver: authentication is not enabled", AuthenticationOff),
        (Code.NOT_FOUND, "etcdserver: requested lease not found", LeaseExpired),
        (Code.PERMISSION_DENIED, "etcdserver: permission denied", StoreRefused),
        (Code.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request", StoreRefused),
        (Code.INVALID_ARGUMENT, "etcdserver: request is too large", StoreRefused),
        (Code.RESOURCE_EXHAUSTED, "grpc: received message larger than max (3 vs. 2)", StoreRefused),
        (Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", StoreRefused),
        # Executed or not, nobody knows.
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", IndefiniteFailure),
        (Code.CANCELLED, "Locally cancelled by application!", IndefiniteFailure),
        (Code.UNAVAILABLE, "Socket closed", IndefiniteFailure),
        (Code.UNAVAILABLE, "recvmsg:Connection reset by peer", IndefiniteFailure),
        (Code.UNAVAILABLE, "etcdserver: request timed out", IndefiniteFailure),
        (Code.UNAVAILABLE, "etcdserver: request timed out, possibly due to previous leader failure", IndefiniteFailure),
        (Code.UNAVAILABLE, "etcdserver: server stopped", IndefiniteFailure),
        (Code.UNAVAILABLE, "etcdserver: leader changed", IndefiniteFailure),
        (Code.UNKNOWN, "context deadline exceeded", IndefiniteFailure),
        (Code.INTERNAL, "", IndefiniteFailure),
        (Code.UNAVAILABLE, None, IndefiniteFailure),
        # etcd also says so of a transaction that it executed.
        (Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", IndefiniteFailure),
        # The client's words on an answer, which comes after the deed.
        (Code.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (9 vs. 4)", IndefiniteFailure),
    ],
)
def test_what_a_failure_says_of_the_outcome(
    code: grpc.StatusCode, details: str | None, expected: type[Exception]
) -> None:
    error = failure_of(Failed(code, details), "10.0.0.1:2379")
    assert type(error) is expected
    assert isinstance(error, DefiniteFailure) is (expected is not IndefiniteFailure)
    assert str(error).startswith("10.0.0.1:2379: ")


def test_a_long_message_is_cut() -> None:
    assert len(str(failure_of(Failed(Code.INTERNAL, "x" * 10_000), "a:1"))) < 400
