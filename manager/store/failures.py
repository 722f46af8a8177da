"""What a failed call says of its outcome: gRPC's status codes and etcd's messages, translated once.

Two questions decide: was the request certainly not executed, and is it worth asking another endpoint. Whatever
is not certain is indefinite. The messages are etcd's own (etcd 3.4, ``etcdserver/api/v3rpc/rpctypes/error.go``),
and one of gRPC's core.
"""

import grpc

from manager.model.errors import IndefiniteFailure, MirrorfarmError
from manager.store.api import LeaseExpired, StoreRefused, StoreUnreachable

_LONGEST_DETAILS = 300

_NOT_TAKEN = (
    # gRPC found no connection to send on. With its retries switched off a request that was sent never ends so.
    "failed to connect to all addresses",
    # Said before the request is proposed to the cluster.
    "etcdserver: no leader",
    "etcdserver: too many requests",
    "etcdserver: not capable",
    # A member that is still learning; the others answer.
    "etcdserver: rpc not supported for learner",
)
_TOO_LARGE = ("grpc: received message larger than max",)
"""The server's own words; the client's, on an answer that it cannot take, begin otherwise and mean nothing."""

_TOKEN_REJECTED = (
    "etcdserver: invalid auth token",
    "etcdserver: revision of auth store is old",
    # No token was sent, since authentication was off when it was last asked for.
    "etcdserver: user name is empty",
)
_LEASE_NOT_FOUND = "etcdserver: requested lease not found"
_AUTHENTICATION_OFF = "etcdserver: authentication is not enabled"

_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
# Not among them: RESOURCE_EXHAUSTED with "mvcc: database space exceeded". etcd says it of a transaction that it
# refused, and of one that it *executed* while the space ran out (etcdserver/apply.go, quotaApplierV3).


class TokenRejected(StoreRefused):
    """The token sent with the request is not valid any more; the request was not executed."""


class AuthenticationOff(StoreRefused):
    """A token was asked for, and the store needs none."""


def failure_of(error: grpc.RpcError, endpoint: str, explanation: str = "") -> MirrorfarmError:
    """What ``error``, met at ``endpoint``, says of the outcome; ``explanation``: what is added to its words."""
    code, details = error.code(), error.details() or ""
    text = f"{endpoint}: {details[:_LONGEST_DETAILS] or code.name}{explanation}"
    if details.startswith(_NOT_TAKEN):
        return StoreUnreachable(text)
    if details.startswith(_TOKEN_REJECTED):
        return TokenRejected(text)
    if details == _LEASE_NOT_FOUND:
        return LeaseExpired(text)
    if details == _AUTHENTICATION_OFF:
        return AuthenticationOff(text)
    if code in _REFUSALS or details.startswith(_TOO_LARGE):
        return StoreRefused(text)
    return IndefiniteFailure(text)
