"""etcd asked once by an operator's command: over gRPC, with a certificate that says who asks.

etcd takes a user's name from a certificate by gRPC alone, not through its HTTP gateway. What an agent asks goes through
``manager.store``, which this does not know, and which has to do so for years.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import etcd3
import grpc
from etcd3 import etcdrpc

from manager.etcd_options import OPTIONS
from manager.etcd_setup.access import ROOT_ROLE, Access, AddRole, AddUser, GiveRole, Permission, Permit, Step, TurnOn
from manager.model.errors import DefiniteFailure, IndefiniteFailure

CALL_S: Final = 5.0
"""The longest that one endpoint is waited for."""
_NO_PASSWORD: Final = b"\x1a\x02\x08\x01"
"""``options {no_password: true}`` of AuthUserAddRequest (rpc.proto of etcd 3.4); the library's code is older."""
_THERE_ALREADY: Final = ("etcdserver: user name already exists", "etcdserver: role name already exists")
_OFF: Final = "etcdserver: authentication is not enabled"
_ELSEWHERE: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})

Message = Any
"""Of etcd's protocol; python-etcd3's generated code has no types."""


class Refused(DefiniteFailure):
    """etcd has answered, and does not do it; the message is its own."""


class Unanswered(IndefiniteFailure):
    """No endpoint has answered; one may have done it."""


@dataclass(frozen=True, slots=True)
class Papers:
    """The files that say who asks, and whom to believe."""

    ca_file: str
    cert_file: str
    key_file: str


class EtcdClient:
    """Endpoints in turn, the first that answers; a context manager."""

    def __init__(self, endpoints: Sequence[str], papers: Papers) -> None:
        """Each ``host:port``, an IPv6 address in brackets. Raises OSError: a file cannot be read."""
        self._clients = {endpoint: _client(endpoint, papers) for endpoint in endpoints}
        self._order = list(endpoints)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the connections."""
        for client in self._clients.values():
            client.close()

    def read(self, prefix: str) -> Message:
        """Every key that begins with ``prefix``: etcd's RangeResponse. Raises Refused, Unanswered."""
        first = prefix.encode()
        request = etcdrpc.RangeRequest(key=first, range_end=first[:-1] + bytes([first[-1] + 1]))
        return self._call(etcdrpc.KVStub, "Range", request)

    def range(self, prefix: str) -> dict[str, bytes]:
        """Every key that begins with ``prefix``, with its value. Raises Refused, Unanswered."""
        return {pair.key.decode(errors="replace"): pair.value for pair in self.read(prefix).kvs}

    def members(self) -> list[Message]:
        """etcd's own list. Raises Refused, Unanswered."""
        return list(self._call(etcdrpc.ClusterStub, "MemberList", etcdrpc.MemberListRequest()).members)

    def access(self) -> Access:
        """Who may do what, as far as ``mirrorfarm`` set it up. Raises Refused, Unanswered."""
        users = {}
        for user in self._auth("UserList", etcdrpc.AuthUserListRequest()).users:
            users[user] = frozenset(self._auth("UserGet", etcdrpc.AuthUserGetRequest(name=user)).roles)
        roles = {}
        for role in self._auth("RoleList", etcdrpc.AuthRoleListRequest()).roles:
            # That of the administrator has no permissions of its own, and may do everything.
            told = [] if role == ROOT_ROLE else self._auth("RoleGet", etcdrpc.AuthRoleGetRequest(role=role)).perm
            roles[role] = frozenset(map(_permission, told))
        return Access(self._is_on(), users, roles)

    def take(self, step: Step) -> None:
        """Takes one step; it may have been taken already. Raises Refused, Unanswered."""
        match step:
            case AddRole(role):
                self._made("RoleAdd", etcdrpc.AuthRoleAddRequest(name=role))
            case Permit(role, permission):
                request = etcdrpc.AuthRoleGrantPermissionRequest(name=role)
                request.perm.permType = 2 if permission.writes else 0  # authpb.Permission: READWRITE, READ
                request.perm.key = permission.first.encode()
                request.perm.range_end = permission.end.encode()
                self._auth("RoleGrantPermission", request)
            case AddUser(user):
                request = etcdrpc.AuthUserAddRequest(name=user)
                request.MergeFromString(_NO_PASSWORD)
                self._made("UserAdd", request)
            case GiveRole(user, role):
                self._auth("UserGrantRole", etcdrpc.AuthUserGrantRoleRequest(user=user, role=role))
            case TurnOn():
                self._auth("AuthEnable", etcdrpc.AuthEnableRequest())

    def _is_on(self) -> bool:
        # etcd 3.4 has no call that says it: one that would be refused otherwise is refused for that first.
        try:
            self._auth("Authenticate", etcdrpc.AuthenticateRequest(name="-", password="-"))
        except Refused as refused:
            return _OFF not in str(refused)
        return True

    def _made(self, name: str, request: Message) -> None:
        try:
            self._auth(name, request)
        except Refused as refused:
            if not str(refused).endswith(_THERE_ALREADY):
                raise

    def _auth(self, name: str, request: Message) -> Message:
        return self._call(etcdrpc.AuthStub, name, request)

    def _call(self, stub: Any, name: str, request: Message) -> Message:
        failures = []
        for endpoint in tuple(self._order):
            try:
                answer = getattr(stub(self._clients[endpoint].channel), name)(request, timeout=CALL_S)
            except grpc.RpcError as error:
                text = f"{endpoint}: {error.details() or error.code().name}"
                if error.code() not in _ELSEWHERE:
                    raise Refused(text) from None
                failures.append(text)
            else:
                # A machine that is off is waited for once.
                self._order.remove(endpoint)
                self._order.insert(0, endpoint)
                return answer
        raise Unanswered("; ".join(failures))


def _client(endpoint: str, papers: Papers) -> Any:
    host, _, port = endpoint.rpartition(":")
    return etcd3.client(
        host=host,
        port=int(port),
        ca_cert=papers.ca_file,
        cert_cert=papers.cert_file,
        cert_key=papers.key_file,
        grpc_options=OPTIONS,
    )


def _permission(told: Message) -> Permission:
    # One of READ, WRITE, READWRITE: writing alone is told as what it is short of.
    return Permission(told.key.decode(errors="replace"), told.range_end.decode(errors="replace"), told.permType == 2)
