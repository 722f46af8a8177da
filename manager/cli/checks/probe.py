"""Asks each etcd endpoint by itself, over etcd's HTTP gateway (etcd.io/docs: "gRPC gateway").

The agent's own adapter goes round the endpoints so that one bad one is not seen; here every bad one is to be seen.
So this stands apart from it, and works without an agent. The gateway takes nobody's name from a certificate, and
refuses who shows one: where a certificate says who this node is, gRPC is asked for what only a user is told.
"""

import base64
import datetime
import http
import http.client
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from manager.cli.checks.etcd import Endpoint, Member
from manager.model.config import EtcdConfig

if TYPE_CHECKING:
    from manager.etcd_setup.client import EtcdClient

T = TypeVar("T")

TIMEOUT_S = 2.0
_MAX_ANSWER_BYTES = 64 << 20
_UNANSWERED = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError)
"""No connection, no HTTP, no JSON, or not what etcd says."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What stands at a key."""

    value: bytes
    revision: int
    """At which it was written."""
    version: int
    """How often, since the key was made."""
    lease: int
    """0: it is kept without one."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Keys with what stands at them, at one revision of etcd's."""

    revision: int
    pairs: dict[str, Pair]


class Probe:
    """Asks the endpoints of one configuration."""

    def __init__(self, config: EtcdConfig) -> None:
        """Raises: OSError, when a TLS file cannot be read."""
        self._config = config
        self._scheme = "https" if config.ca_file else "http"
        self._tls: ssl.SSLContext | None = None
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if config.ca_file:
            context = ssl.create_default_context(cafile=config.ca_file)
            if config.cert_file:
                context.load_cert_chain(config.cert_file, config.key_file or None)
            handlers.append(urllib.request.HTTPSHandler(context=context))
            self._tls = context
        self._opener = urllib.request.build_opener(*handlers)
        self._by_certificate = bool(config.cert_file) and not config.user
        self.refusal = ""
        """Why the last answer was none, in etcd's words, where it was asked over gRPC."""

    def endpoints(self) -> list[Endpoint]:
        """Every endpoint, with its server's version."""
        return [self._endpoint(e) for e in self._config.endpoints]

    def members(self, answering: list[str]) -> list[Member] | None:
        """The members, as the first of ``answering`` has them; ``None``: none would say."""
        if self._by_certificate:
            return self._over_grpc(answering, lambda client: [_grpc_member(m) for m in client.members()])
        for endpoint in answering:
            try:
                listed = self._post(endpoint, "/v3/cluster/member/list", {}, self._token(endpoint))["members"]
                return [_member(m) for m in listed]
            except _UNANSWERED:
                continue
        return None

    def range(self, answering: list[str], prefix: str) -> dict[str, bytes] | None:
        """Every key under ``prefix`` with its value; ``None``: none would say."""
        kept = self.kept(answering, prefix)
        return None if kept is None else {key: pair.value for key, pair in kept.pairs.items()}

    def kept(self, answering: list[str], prefix: str) -> Kept | None:
        """Every key under ``prefix`` at one revision; ``None``: none would say."""
        if self._by_certificate:
            return self._over_grpc(answering, lambda client: _grpc_kept(client.read(prefix)))
        first = prefix.encode()
        body = {"key": _base64(first), "range_end": _base64(first[:-1] + bytes([first[-1] + 1]))}
        for endpoint in answering:
            try:
                return _kept(self._post(endpoint, "/v3/kv/range", body, self._token(endpoint)))
            except _UNANSWERED:
                continue
        return None

    def _over_grpc(self, answering: list[str], ask: "Callable[[EtcdClient], T]") -> T | None:
        from manager.etcd_setup.client import EtcdClient, Papers, Refused, Unanswered  # brings gRPC with it

        papers = Papers(self._config.ca_file, self._config.cert_file, self._config.key_file)
        try:
            with EtcdClient(answering, papers) as client:
                return ask(client)
        except (Refused, Unanswered) as failure:
            self.refusal = str(failure)
            return None

    def _endpoint(self, endpoint: str) -> Endpoint:
        try:
            answer = self._read(urllib.request.Request(f"{self._scheme}://{endpoint}/version"))
            version, not_after = str(answer["etcdserver"]), self._not_after(endpoint)
            return Endpoint(endpoint, version, not_after=not_after, unwell=self._unwell(endpoint))
        except ssl.SSLError as error:
            return Endpoint(endpoint, "", self._of_tls(error))
        except (http.client.RemoteDisconnected, ConnectionResetError) as error:
            shown = f", as etcd does with a certificate that was revoked: {self._config.cert_file}"
            return Endpoint(endpoint, "", f"{error}{shown if self._config.cert_file else ''}")
        except urllib.error.URLError as error:
            reason = error.reason
            return Endpoint(endpoint, "", self._of_tls(reason) if isinstance(reason, ssl.SSLError) else str(reason))
        except TimeoutError:
            return Endpoint(endpoint, "", f"no answer in {TIMEOUT_S:g} s")
        except OSError as error:
            return Endpoint(endpoint, "", str(error))
        except _UNANSWERED:
            return Endpoint(endpoint, "", "what answers is no etcd")

    def _unwell(self, endpoint: str) -> str:
        """What a member that answers says is wrong with itself (an alarm, no leader); empty: nothing."""
        try:
            answer = self._read(urllib.request.Request(f"{self._scheme}://{endpoint}/health"))
        except urllib.error.HTTPError as error:
            with error:
                unwell = error.code == http.HTTPStatus.SERVICE_UNAVAILABLE
                return _reason(error.read(_MAX_ANSWER_BYTES)) if unwell else ""
        except TimeoutError:
            return f"it has not said within {TIMEOUT_S:g} s whether it is"
        return "" if answer.get("health") == "true" else "it does not say why"

    def _not_after(self, endpoint: str) -> datetime.datetime | None:
        """When the certificate of an endpoint that answers is over."""
        if self._tls is None:
            return None
        host, _, port = endpoint.rpartition(":")
        address = (host.strip("[]"), int(port))
        with (
            socket.create_connection(address, TIMEOUT_S) as plain,
            self._tls.wrap_socket(plain, server_hostname=address[0]) as connection,
        ):
            shown = connection.getpeercert() or {}
        return datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), datetime.UTC)

    def _of_tls(self, error: ssl.SSLError) -> str:
        """OpenSSL's words, and whose certificate they are about."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not taken: {error.verify_message} (etcd.ca_file: {self._config.ca_file})"
        if "ALERT" in error.reason:
            shown = self._config.cert_file or "none; etcd.cert_file says which"
            return f"it does not take the certificate that it is shown ({shown}): {error.reason}"
        return str(error)

    def _token(self, endpoint: str) -> str:
        if not self._config.user:
            return ""
        password = ""
        if self._config.password_file:
            password = Path(self._config.password_file).read_text().split("\n")[0]
        answer = self._post(endpoint, "/v3/auth/authenticate", {"name": self._config.user, "password": password}, "")
        return str(answer["token"])

    def _post(self, endpoint: str, path: str, body: Mapping[str, str], token: str) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": token} if token else {})
        url = f"{self._scheme}://{endpoint}{path}"
        return self._read(urllib.request.Request(url, json.dumps(body).encode(), headers))

    def _read(self, request: urllib.request.Request) -> Any:
        with self._opener.open(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read(_MAX_ANSWER_BYTES))


def _reason(said: bytes) -> str:
    """Of a member that says that it is not well; those of 3.4 do not say why."""
    try:
        return str(json.loads(said)["reason"])
    except (ValueError, KeyError, TypeError):
        return "it does not say why"


def _member(plain: Any) -> Member:
    # The gateway leaves out what has its default: a voter has no isLearner, one that never started has no name.
    return Member(
        name=str(plain.get("name") or plain.get("ID", "?")),
        peer_urls=tuple(str(u) for u in plain.get("peerURLs", [])),
        voter=not plain.get("isLearner", False),
    )


def _kept(plain: Any) -> Kept:
    pairs = {
        base64.b64decode(kv["key"]).decode(): Pair(
            base64.b64decode(kv.get("value", "")),
            int(kv["mod_revision"]),
            int(kv["version"]),
            int(kv.get("lease", 0)),
        )
        for kv in plain.get("kvs", [])
    }
    return Kept(int(plain["header"]["revision"]), pairs)


def _grpc_kept(answer: Any) -> Kept:
    pairs = {
        kv.key.decode(errors="replace"): Pair(kv.value, kv.mod_revision, kv.version, kv.lease) for kv in answer.kvs
    }
    return Kept(answer.header.revision, pairs)


def _grpc_member(message: Any) -> Member:
    # A learner is told in a field that is newer than python-etcd3's code (rpc.proto of etcd 3.4: isLearner = 5).
    learns = any(field.field_number == 5 and field.data for field in message.UnknownFields())
    return Member(message.name or str(message.ID), tuple(message.peerURLs), voter=not learns)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
