"""Asks the lab's etcd five times a second what stands in it: runs inside the lab's client.

``python -m tests.support.etcd_polling PREFIX ENDPOINT...`` prints each answer as ``tests.support.moments`` reads it:
when it was asked, when it was answered, the revision, and what stands below PREFIX otherwise than in the answer before.
Only a majority of etcd answers; where none does nothing is printed. It ends when its input is closed.

It asks by etcd's own gateway (``/v3/kv/range``): a start of etcdctl each time would cost a core that the cluster needs.
"""

import base64
import http.client
import json
import select
import sys
from typing import Any

from tests.support.common_clock import now_ns

_EVERY_S = 0.2
_ANSWER_S = 1.0

Values = dict[str, str]


class Asker:
    """Of all members, one after the other, as they answer."""

    def __init__(self, prefix: str, endpoints: list[str]) -> None:
        first = prefix.encode()
        end = first[:-1] + bytes([first[-1] + 1])
        self._prefix = prefix
        self._asked = json.dumps({"key": _coded(first), "range_end": _coded(end)})
        self._links = [http.client.HTTPConnection(endpoint, timeout=_ANSWER_S) for endpoint in endpoints]

    def ask(self) -> tuple[int, Values] | None:
        """The revision, and the values; ``None``: who was asked did not answer, and another one is asked next."""
        link = self._links[0]
        try:
            link.request("POST", "/v3/kv/range", self._asked)
            answer = link.getresponse()
            said = answer.read()
            if answer.status == http.client.OK:
                return self._parsed(json.loads(said))
        except (OSError, http.client.HTTPException):
            pass  # That there is no answer is what is told.
        link.close()
        self._links = [*self._links[1:], link]
        return None

    def _parsed(self, said: dict[str, Any]) -> tuple[int, Values]:
        values = {_decoded(kv["key"]).removeprefix(self._prefix): _decoded(kv["value"]) for kv in said.get("kvs", ())}
        return int(said["header"]["revision"]), values


def changed(before: Values, after: Values) -> dict[str, str | None]:
    """What ``after`` has otherwise; ``None``: it is gone."""
    found: dict[str, str | None] = {key: value for key, value in after.items() if before.get(key) != value}
    return found | dict.fromkeys(before.keys() - after.keys())


def _coded(text: bytes) -> str:
    return base64.b64encode(text).decode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def main() -> None:
    """Until nobody listens any more."""
    asker, values = Asker(sys.argv[1], sys.argv[2:]), Values()
    while not select.select([sys.stdin], [], [], _EVERY_S)[0]:
        asked_ns = now_ns()
        answer = asker.ask()
        if answer is not None:
            print(json.dumps([asked_ns, now_ns(), answer[0], changed(values, answer[1])]), flush=True)
            values = answer[1]


if __name__ == "__main__":
    main()
