"""The client of the demonstration's bank: commits numbered transfers, and says at once which it was told are done.

It runs on the lab's client machine, reaches the database by one address and port alone, and knows nothing of nodes.
Each line that it prints is one JSON object: see :class:`manager.lab.demo.ledger.Said`. It ends when its standard
input does, or after ``LIMIT_S``.

Each worker has one ``psql``, which echoes a word after each COMMIT that the server has answered. A worker that hears
nothing for a while takes the connection for dead, and its transfer's outcome for unknown: it never says that one is
done which it was not told of.
"""

import itertools
import json
import os
import select
import subprocess
import sys
import threading
import time

ACCOUNTS = 100
OPENING_BALANCE = 1_000
WORKERS = 4
PAUSE_S = 0.005
CONNECT_S = 1.0
ANSWER_S = 1.0
LIMIT_S = 300.0
_CONNECTED = "connected"
_DONE = "done"


class Bank:
    """What the workers share: the numbers, the output, and whether it is time to end."""

    def __init__(self, host: str, port: int) -> None:
        """Where the database is reached."""
        self.host = host
        self.port = port
        self.ending = threading.Event()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def next_number(self) -> int:
        """A number that no transfer had."""
        with self._lock:
            return next(self._numbers)

    def say(self, kind: str, number: int = 0, begun: float = 0.0, why: str = "") -> None:
        """One line; it is out when this returns."""
        line = json.dumps({"kind": kind, "number": number, "begun": begun, "at": time.time(), "why": why})
        with self._lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


class Connection:
    """One ``psql``. It is dead as soon as anything did not go as it should."""

    def __init__(self, host: str, port: int) -> None:
        """Starts it; :meth:`hear` says when it is connected."""
        conninfo = f"host={host} port={port} user=postgres dbname=bank connect_timeout=2 application_name=demo"
        self._psql = subprocess.Popen(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", conninfo],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._heard = b""
        self.send(f"\\warn {_CONNECTED}\n")

    def send(self, script: str) -> None:
        """Give it commands."""
        assert self._psql.stdin is not None
        try:
            self._psql.stdin.write(script.encode())
            self._psql.stdin.flush()
        except BrokenPipeError:
            return  # It has ended: hear() says why.

    def hear(self, word: str, seconds: float) -> str:
        """Wait for ``word``; returns why it did not come, or nothing."""
        assert self._psql.stderr is not None
        end = time.monotonic() + seconds
        while True:
            line, newline, rest = self._heard.partition(b"\n")
            if newline:
                self._heard = rest
                if line.decode(errors="replace").strip() == word:
                    return ""
                return line.decode(errors="replace").strip()
            ready, _, _ = select.select([self._psql.stderr], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return f"no answer in {seconds:g} s"
            heard = os.read(self._psql.stderr.fileno(), 65536)
            if not heard:
                return "psql has ended"
            self._heard += heard

    def close(self) -> None:
        """End it."""
        self._psql.kill()
        self._psql.communicate()


def transfer(number: int) -> str:
    """The transfer ``number``: two balances, in the order of the accounts (no deadlock), and a line in the book."""
    source, target = number % ACCOUNTS, (number * 7 + 1) % ACCOUNTS
    amount = number % 9 + 1
    changes = {source: -amount}
    changes[target] = changes.get(target, 0) + amount
    updates = "".join(
        f"UPDATE account SET balance = balance + {change} WHERE id = {account};\n"
        for account, change in sorted(changes.items())
    )
    book = f"INSERT INTO transfer (number, source, target, amount) VALUES ({number}, {source}, {target}, {amount});\n"
    return f"BEGIN;\n{updates}{book}COMMIT;\n\\warn {_DONE} {number}\n"


def work(bank: Bank) -> None:
    """One worker: connect, transfer after transfer, connect again when that fails."""
    while not bank.ending.is_set():
        connection = Connection(bank.host, bank.port)
        try:
            why = connection.hear(_CONNECTED, CONNECT_S)
            if why:
                bank.say("unreachable", why=why)
            while not why and not bank.ending.is_set():
                number, begun = bank.next_number(), time.time()
                connection.send(transfer(number))
                why = connection.hear(f"{_DONE} {number}", ANSWER_S)
                bank.say("unknown" if why else "done", number, begun, why)
                time.sleep(PAUSE_S)
        finally:
            connection.close()
        time.sleep(PAUSE_S)


def main() -> None:
    """Work until standard input ends."""
    bank = Bank(sys.argv[1], int(sys.argv[2]))
    workers = [threading.Thread(target=work, args=(bank,)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    select.select([sys.stdin], [], [], LIMIT_S)
    bank.ending.set()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
