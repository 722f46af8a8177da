"""A client of ``tests.support.recorded_server`` that writes its history down: runs inside the lab's client.

``python -m tests.support.recorded_client ADDRESS NAME FIRST PORT``: writes numbers from FIRST on, some of them synced,
reads what was written last, and prints each call with its outcome once it has ended, as
``tests.support.client_history`` reads it. One call at a time, each number once: whether one without an answer was taken
is not known. It ends after the call under way when its input is closed.
"""

import json
import select
import socket
import sys
import time
from dataclasses import astuple

from tests.support.client_history import Call, Outcome
from tests.support.common_clock import now_ns

_CONNECT_S = 0.3
_ANSWER_S = 3.0
_PAUSE_S = 0.01
_DOS = ("write", "sync", "read", "write", "write", "read", "sync", "sync")


class Client:
    """One, with at most one connection."""

    def __init__(self, address: str, name: str, port: int) -> None:
        self._address = address, port
        self._name = name
        self._link: socket.socket | None = None

    def call(self, do: str, number: int) -> Call:
        """Makes it, and says what became of it."""
        begun_ns = now_ns()
        outcome, value, node, run = Outcome.FAILED, 0, "", 0
        try:
            link = self._link or self._connect()
            outcome = Outcome.UNKNOWN
            link.sendall(f"{do} {self._name} {number}\n".encode() if do != "read" else f"{do} {self._name}\n".encode())
            words = self._answer(link)
            if words[0] == "ok":
                outcome, value, node, run = Outcome.OK, int(words[1]), words[2], int(words[3])
            else:
                outcome = Outcome.FAILED
        except OSError:
            self._hang_up()
        return Call(number, do, begun_ns, now_ns(), outcome, value, node, run)

    def _connect(self) -> socket.socket:
        self._link = socket.create_connection(self._address, timeout=_CONNECT_S)
        self._link.settimeout(_ANSWER_S)
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._link

    def _answer(self, link: socket.socket) -> list[str]:
        answer = b""
        while not answer.endswith(b"\n"):
            part = link.recv(4096)
            if not part:
                raise ConnectionError("it hung up")
            answer += part
        return answer.decode().split()

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def main() -> None:
    """Until nobody listens any more."""
    client, number = Client(sys.argv[1], sys.argv[2], int(sys.argv[4])), int(sys.argv[3])
    while not select.select([sys.stdin], [], [], 0)[0]:
        number += 1
        call = client.call(_DOS[number % len(_DOS)], number)
        print(json.dumps(astuple(call)), flush=True)
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    main()
