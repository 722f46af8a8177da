"""A process that commits numbers to an SQLite database in WAL mode, and tells of each commit once it was acknowledged.

``python -m tests.support.sqlite_client DATABASE CLIENT`` prints a number a line until a commit fails, then ``failed``.
Its standard input ends it: ``ended`` is its last word then.
"""

import select
import sqlite3
import sys
import time

BUSY_SECONDS = 30.0
PAUSE_SECONDS = 0.003
"""So that the other one has its turn: who waits for the lock looks for it every now and then only."""


def connect(path: str) -> sqlite3.Connection:
    """A connection that waits for others, and syncs each commit."""
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    assert database.execute("pragma journal_mode = wal").fetchone() == ("wal",)
    database.execute("pragma synchronous = full")
    return database


def create(path: str) -> None:
    """Makes the database, with its table."""
    database = connect(path)
    database.execute("create table numbers (client text, number integer, filler text)")
    database.execute("create unique index by_number on numbers (client, number)")
    database.close()


def main(path: str, client: str) -> None:
    """The command."""
    database = connect(path)
    number = 0
    while not select.select([sys.stdin], [], [], 0.0)[0]:
        number += 1
        try:
            database.execute("insert into numbers values (?, ?, ?)", (client, number, "x" * (number * 37 % 3000)))
            if not number % 50:
                database.execute("delete from numbers where client = ? and number % 7 = 3", (client + "-other",))
                database.execute("pragma wal_checkpoint(passive)")
        except sqlite3.Error:
            print("failed", flush=True)
            return
        print(number, flush=True)
        time.sleep(PAUSE_SECONDS)
    database.close()
    print("ended", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
