"""A PostgreSQL of Debian's, on a directory that the test says, and a client that remembers what was committed."""

import os
import pwd
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

BINARIES = Path("/usr/lib/postgresql/15/bin")
USER = "postgres"
START_SECONDS = 40.0
RUN_SECONDS = 100.0


def begin(*arguments: str, out: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Starts a program of PostgreSQL's as its user."""
    return subprocess.Popen(
        [str(BINARIES / arguments[0]), *arguments[1:]],
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=subprocess.STDOUT,
        user=USER,
        group=USER,
        extra_groups=[],
    )


def run(*arguments: str) -> str:
    """Runs one to its end; what it said. Fails when it does."""
    with begin(*arguments) as process:
        try:
            said, _ = process.communicate(timeout=RUN_SECONDS)
        finally:
            process.kill()
    text = said.decode(errors="replace")
    assert process.returncode == 0, f"{arguments}: exit code {process.returncode}:\n{text[-4000:]}"
    return text


def give_to_postgres(directory: Path) -> None:
    """Makes the directory, if it is not there, and its user the owner."""
    directory.mkdir(mode=0o700, exist_ok=True)
    user = pwd.getpwnam(USER)
    os.chown(directory, user.pw_uid, user.pw_gid)


class Server:
    """One server on ``data``, which initdb has made; clients reach it by ``socket`` alone."""

    def __init__(self, data: Path, socket: Path, log: Path) -> None:
        self.socket = str(socket)
        self._log = log
        with open(log, "ab") as out:
            self._process = begin("postgres", "-D", str(data), "-k", self.socket, "-c", "listen_addresses=", out=out)

    def wait(self) -> None:
        """Returns when it takes connections."""
        end = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert self._process.poll() is None and time.monotonic() < end, self.said()
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        with begin("pg_isready", "-q", "-h", self.socket) as asked:
            return asked.wait() == 0

    def stop(self) -> None:
        """As an operator does: connections are ended, all is written."""
        self._end(signal.SIGINT)
        assert self._process.returncode == 0, self.said()

    def cut_off(self) -> None:
        """At once, whatever state it is in: the files are left as after a crash."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(RUN_SECONDS)
            finally:
                self._process.kill()
                self._process.wait()

    def said(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-4000:]

    def ask(self, sql: str, database: str = USER) -> list[str]:
        """Rows of the answer, columns joined by ``|``."""
        return run("psql", "-X", "-q", "-A", "-t", "-h", self.socket, "-d", database, "-c", sql).splitlines()


@contextmanager
def serving(data: Path) -> Iterator[Server]:
    """A server that takes connections; cut off at the end unless it was stopped. Sockets and log are beside no data."""
    with tempfile.TemporaryDirectory(prefix="mirrorfarm-pg-") as directory:
        sockets = Path(directory) / "sockets"
        os.chmod(directory, 0o755)
        give_to_postgres(sockets)
        server = Server(data, sockets, Path(directory) / "log")
        try:
            server.wait()
            yield server
        finally:
            server.cut_off()


class Committer:
    """Inserts numbers, one a transaction, in a thread, and remembers those whose commit was acknowledged."""

    TABLE = "numbered"

    def __init__(self, server: Server) -> None:
        server.ask(f"create table {self.TABLE} (number bigint primary key, filler text)")
        self.acknowledged: list[int] = []
        self._stop = threading.Event()
        self._client = begin(
            *("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", server.socket, "-d", USER)
        )
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Committer":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(START_SECONDS)
        hangs = self._thread.is_alive()
        self._client.kill()
        self._client.communicate()
        assert not hangs, "a commit is neither acknowledged nor refused"

    def wait(self, commits: int) -> None:
        """Returns when so many were acknowledged."""
        end = time.monotonic() + RUN_SECONDS
        while len(self.acknowledged) < commits:
            assert self._thread.is_alive() and time.monotonic() < end, f"only {len(self.acknowledged)} commits"
            time.sleep(0.01)

    def _run(self) -> None:
        assert self._client.stdin is not None and self._client.stdout is not None
        number = 0
        while not self._stop.is_set():
            number += 1
            sql = f"insert into {self.TABLE} values ({number}, repeat('x', {number % 500})) returning number;\n"
            try:
                self._client.stdin.write(sql.encode())
                self._client.stdin.flush()
            except BrokenPipeError:
                return  # the server is gone, and with it the client
            if self._client.stdout.readline() != b"%d\n" % number:
                return
            self.acknowledged.append(number)

    def missing_in(self, server: Server) -> list[int]:
        """The acknowledged numbers that ``server`` has not."""
        found = {int(row) for row in server.ask(f"select number from {self.TABLE}")}
        return sorted(set(self.acknowledged) - found)
