"""PostgreSQL as the demonstration has it: the module's folder, the database cluster, and what is asked of it."""

import glob
import os
from dataclasses import dataclass

from manager.lab.demo.client import ACCOUNTS, OPENING_BALANCE
from manager.lab.errors import LabError
from manager.lab.layout import VIRTUAL_ADDRESS
from manager.lab.machine import RunningMachine

MODULE = "postgresql"
"""As in the template for it, on which the web servers depend."""
FOLDER = "/root/postgresql"
DATA = "/srv/db/data"
PORT = 5432
"""The database's own, at the mirror's address."""

_TOML = """\
name = "{name}"
kind = "mirror"
nodes = ["a", "b"]
directories = ["/srv/db"]

[[address]]
ip = "{address}/24"

[env]
PG_BIN = "{pg_bin}"
"""

_START = """\
#!/bin/sh
set -eu
install -d -o postgres -g postgres -m 2775 /run/postgresql
# It names a process of the node that ran the database before. Nothing runs on this data now: the module says so.
rm -f /srv/db/data/postmaster.pid
cd /
exec runuser -u postgres -- "$PG_BIN/pg_ctl" start -s -w -t 120 -D /srv/db/data -l /var/log/postgresql/db.log
"""

_STOP = """\
#!/bin/sh
set -eu
mode=fast
[ "${FORCE:-0}" = 1 ] && mode=immediate
cd /
exec runuser -u postgres -- "$PG_BIN/pg_ctl" stop -s -w -t 50 -m "$mode" -D /srv/db/data
"""

_SETTINGS = """
# The demonstration's: reached by the virtual address, wherever it is; everything that makes commits durable is on.
listen_addresses = '*'
min_wal_size = 32MB
max_wal_size = 128MB
max_connections = 40
"""
_CLIENTS = "host all all 10.77.0.0/24 trust\n"


def programs() -> str:
    """The directory of the newest PostgreSQL's programs.

    Raises:
        LabError: there is none.
    """
    found = sorted(glob.glob("/usr/lib/postgresql/[0-9]*/bin"), key=lambda p: int(p.split("/")[4].split(".")[0]))
    if not found or not os.access(f"{found[-1]}/initdb", os.X_OK):
        raise LabError("missing: PostgreSQL. In a checkout, scripts/setup installs what the demonstration needs.")
    return found[-1]


def write_module(node: RunningMachine) -> None:
    """The module's folder, on ``node``."""
    texts = {
        "module.toml": _TOML.format(name=MODULE, address=VIRTUAL_ADDRESS, pg_bin=programs()),
        "scripts/start_prim": _START,
        "scripts/stop_prim": _STOP,
    }
    for name, text in texts.items():
        put(node, f"{FOLDER}/{name}", text)


def initialise(node: RunningMachine) -> None:
    """A new database cluster in the directory that is going to be mirrored."""
    node.run(["install", "-d", "-o", "postgres", "-g", "postgres", "-m", "700", DATA])
    initdb = f"{programs()}/initdb -D {DATA} -A trust -E UTF8 --locale=C.UTF-8 --no-sync"
    node.run(["runuser", "-u", "postgres", "--", *initdb.split()])
    put(node, f"{DATA}/postgresql.conf", _SETTINGS, append=True)
    put(node, f"{DATA}/pg_hba.conf", _CLIENTS, append=True)
    node.run(["sync", "-f", DATA])


def put(node: RunningMachine, path: str, text: str, *, append: bool = False) -> None:
    """Write a file on a machine."""
    if not append:
        node.run(["install", "-d", os.path.dirname(path)])
    node.run(["tee", *(["-a"] if append else []), path], stdin=text)


@dataclass(frozen=True, slots=True)
class Database:
    """The database, as it is reached from a machine at one address and port."""

    client: RunningMachine
    host: str
    port: int = PORT

    def ask(self, sql: str, database: str = "bank") -> list[str]:
        """The lines that it answers.

        Raises:
            LabError: it does not.
        """
        conninfo = f"host={self.host} port={self.port} user=postgres dbname={database} connect_timeout=5"
        words = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", conninfo]
        return self.client.run(words, stdin=sql).splitlines()

    def open_bank(self) -> None:
        """The accounts and the book of transfers."""
        self.ask("CREATE DATABASE bank;", "postgres")
        self.ask(
            "CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);\n"
            "CREATE TABLE transfer (number bigint PRIMARY KEY, source int, target int, amount int);\n"
            f"INSERT INTO account SELECT n, {OPENING_BALANCE} FROM generate_series(0, {ACCOUNTS - 1}) AS n;\n",
        )

    def stored_transfers(self) -> list[int]:
        """The numbers in the book; each is there once at the most, since it is the key."""
        return [int(line) for line in self.ask("SELECT number FROM transfer;")]

    def money(self) -> int:
        """All balances together."""
        return int(self.ask("SELECT sum(balance) FROM account;")[0])


MONEY = ACCOUNTS * OPENING_BALANCE
"""All there was when the bank opened, and all there may ever be."""
