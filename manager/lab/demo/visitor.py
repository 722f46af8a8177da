"""The visitor of the demonstration's page: asks again and again who answers, and says at once what became of it.

It runs on the lab's client machine, and knows nothing but the farm's address. Each request is a connection of its own.
Each line that it prints is one JSON object: see :class:`manager.lab.demo.visits.Visit`. It ends when its standard
input does, or after ``LIMIT_S``. With ``page`` behind the address it prints the page, once.
"""

import http.client
import json
import select
import sys
import time

PAUSE_S = 0.04
CONNECT_S = 1.0
"""What is lost on the way to a farm is its first segment: the kernel would send it again after a second."""
ANSWER_S = 4.0
"""Who has taken the connection may be run late, on a busy machine."""
LIMIT_S = 300.0
_OK = 200


def read(host: str, path: str) -> str:
    """The text at ``path``.

    Raises:
        OSError: the connection failed, or nothing came in time.
        http.client.HTTPException: what came is no answer, or says that there is none.
    """
    connection = http.client.HTTPConnection(host, timeout=CONNECT_S)
    try:
        connection.connect()
        connection.sock.settimeout(ANSWER_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != _OK:
            raise http.client.HTTPException(f"{answer.status} {answer.reason}")
        return text
    finally:
        connection.close()


def visit(host: str) -> str:
    """Ask once; returns the line about it."""
    begun = time.time()
    node, why = "", ""
    try:
        node = read(host, "/who").strip()
    except (OSError, http.client.HTTPException) as failure:
        why = str(failure) or type(failure).__name__
    return json.dumps({"node": node, "begun": begun, "at": time.time(), "why": why})


def main() -> None:
    """Visit until standard input ends."""
    host = sys.argv[1]
    if sys.argv[2:] == ["page"]:
        print(read(host, "/"))
        return
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        print(visit(host), flush=True)
        ended, _, _ = select.select([sys.stdin], [], [], PAUSE_S)
        if ended:
            return


if __name__ == "__main__":
    main()
