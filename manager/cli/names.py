"""The names that a shell completes: of modules and of nodes, one a line, as this node's agent knows them.

``python -I -m manager.cli.names modules|nodes WORD…``, with the words of the line that is being typed. Somebody has
just pressed a key: so it says nothing of what goes wrong, waits for the agent for :data:`PATIENCE_S` at the most, and
loads nothing but Python's own small parts, since the rest of the command line takes ten times as long to load.
"""

import itertools
import json
import re
import socket
import sys
import time
import tomllib
from collections.abc import Sequence
from typing import Final

PATIENCE_S: Final = 0.3
KINDS: Final = {"modules": "modules", "nodes": "known"}
"""What may be asked for, to the field of the answer."""
_REQUEST: Final = b'{"id": 1, "call": "node.info"}\n'
"""As ``manager.model.api_lines`` would make it."""
_MOST_BYTES: Final = 4 << 20
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""Whatever an agent says: a shell expands what it is given."""


def names(kind: str, path: str, patience_s: float = PATIENCE_S) -> list[str]:
    """What the agent at the socket ``path`` knows of ``kind``; none where it does not say so in time."""
    try:
        answer = json.loads(_answer(path, time.monotonic() + patience_s))
        return sorted(name for name in answer["result"][KINDS[kind]] if _NAME.fullmatch(name))
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _answer(path: str, end_s: float) -> bytes:
    """A whole line. Raises OSError: there is none by ``end_s``; a ``TimeoutError`` is one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        _wait_at_most(connection, end_s)
        connection.connect(path)
        connection.sendall(_REQUEST)
        answer = bytearray()
        while not answer.endswith(b"\n"):
            _wait_at_most(connection, end_s)
            more = connection.recv(65536)
            if not more or len(answer) > _MOST_BYTES:
                raise ConnectionResetError
            answer += more
    return bytes(answer)


def _wait_at_most(connection: socket.socket, end_s: float) -> None:
    left_s = end_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    connection.settimeout(left_s)


def socket_of(words: Sequence[str]) -> str:
    """The agent's socket: of the options among ``words``, or as the configuration says, or the usual one."""
    path = _after("--socket", words)
    if path:
        return path
    try:
        with open(_after("--config", words) or "/etc/mirrorfarm/agent.toml", "rb") as file:
            return f"{tomllib.load(file)['paths']['run']}/agent.sock"
    except (OSError, ValueError, LookupError, TypeError):
        return "/run/mirrorfarm/agent.sock"


def _after(option: str, words: Sequence[str]) -> str:
    return next((value for word, value in itertools.pairwise(words) if word == option), "")


def main(words: Sequence[str]) -> None:
    """Print them."""
    if words and words[0] in KINDS:
        print("".join(f"{name}\n" for name in names(words[0], socket_of(words[1:]))), end="")


if __name__ == "__main__":
    main(sys.argv[1:])
