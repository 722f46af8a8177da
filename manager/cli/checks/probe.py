"""Asks each etcd endpoint by itself, over etcd's HTTP gateway (etcd.io/docs: "gRPC gateway").

The agent's own adapter goes round the endpoints so that one bad one is not seen; here every bad one is to be seen.
So this stands apart from it, and works without an agent.
"""

import base64
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manager.cli.checks.etcd import Endpoint, Member
from manager.model.config import EtcdConfig

TIMEOUT_S = 2.0
_MAX_ANSWER_BYTES = 64 << 20
_UNANSWERED = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError)
"""No connection, no HTTP, no JSON, or not what etcd says."""


class Probe:
    """Asks the endpoints of one configuration."""

    def __init__(self, config: EtcdConfig) -> None:
        """Raises: OSError, when a TLS file cannot be read."""
        self._config = config
        self._scheme = "https" if config.ca_file else "http"
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if config.ca_file:
            context = ssl.create_default_context(cafile=config.ca_file)
            if config.cert_file:
                context.load_cert_chain(config.cert_file, config.key_file or None)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    def endpoints(self) -> list[Endpoint]:
        """Every endpoint, with its server's version."""
        return [self._endpoint(e) for e in self._config.endpoints]

    def members(self, answering: list[str]) -> list[Member] | None:
        """The members, as the first of ``answering`` has them; ``None``: none would say."""
        for endpoint in answering:
            try:
                listed = self._post(endpoint, "/v3/cluster/member/list", {}, self._token(endpoint))["members"]
                return [_member(m) for m in listed]
            except _UNANSWERED:
                continue
        return None

    def range(self, answering: list[str], prefix: str) -> dict[str, bytes] | None:
        """Every key under ``prefix`` with its value; ``None``: none would say."""
        first = prefix.encode()
        body = {"key": _base64(first), "range_end": _base64(first[:-1] + bytes([first[-1] + 1]))}
        for endpoint in answering:
            try:
                found = self._post(endpoint, "/v3/kv/range", body, self._token(endpoint)).get("kvs", [])
                return {base64.b64decode(kv["key"]).decode(): base64.b64decode(kv.get("value", "")) for kv in found}
            except _UNANSWERED:
                continue
        return None

    def _endpoint(self, endpoint: str) -> Endpoint:
        try:
            answer = self._read(urllib.request.Request(f"{self._scheme}://{endpoint}/version"))
            return Endpoint(endpoint, str(answer["etcdserver"]))
        except urllib.error.URLError as error:
            return Endpoint(endpoint, "", str(error.reason))
        except TimeoutError:
            return Endpoint(endpoint, "", f"no answer in {TIMEOUT_S:g} s")
        except OSError as error:
            return Endpoint(endpoint, "", str(error))
        except _UNANSWERED:
            return Endpoint(endpoint, "", "what answers is no etcd")

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


def _member(plain: Any) -> Member:
    # The gateway leaves out what has its default: a voter has no isLearner, one that never started has no name.
    return Member(
        name=str(plain.get("name") or plain.get("ID", "?")),
        peer_urls=tuple(str(u) for u in plain.get("peerURLs", [])),
        voter=not plain.get("isLearner", False),
    )


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
