"""The template ``etc/modules/nginx`` with the real nginx: its scripts as the agent runs them, in a network of its own.

What the farm makes of it, and the database behind it, is tried by the demonstration (``lab/test_demo.py``).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "etc/modules/nginx/scripts"
LIMIT_S = 30.0
QUIT_S = 8.0
"""A session may go on for five seconds; then nginx ends."""


class Nginx:
    """One node's, with its scripts."""

    def __init__(self, network: str, log: Path) -> None:
        """``log``: what scripts say goes there; nginx has it open as long as it runs."""
        self._enter = ["ip", "netns", "exec", network]
        self._log = log
        self.module = network
        self.run_directory = Path("/run", f"nginx-{network}")
        self.pid_file = self.run_directory / "nginx.pid"

    def script(self, name: str, **more: str) -> int:
        """Its exit code."""
        environment = {
            "PATH": os.environ["PATH"], "MODULE": self.module, "NODE": "a",
            "DEPENDS_POSTGRESQL_ADDRESS": "127.0.0.9 127.0.0.10",
        }  # fmt: skip
        with self._log.open("ab") as log:
            return subprocess.run(
                [*self._enter, SCRIPTS / name], env=environment | more, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, timeout=LIMIT_S, check=False,
            ).returncode  # fmt: skip

    def said(self) -> str:
        return self._log.read_text()

    def page(self) -> str:
        words = [sys.executable, "-m", "manager.lab.demo.visitor", "127.0.0.1", "page"]
        return subprocess.run(
            [*self._enter, *words], capture_output=True, text=True, timeout=LIMIT_S, check=True
        ).stdout  # fmt: skip

    def program(self, words: str) -> subprocess.Popen[bytes]:
        """A Python program in its network, which has said that it is there."""
        program = subprocess.Popen([*self._enter, sys.executable, "-c", words], stdout=subprocess.PIPE)
        assert program.stdout is not None and program.stdout.readline() == b"is\n"
        return program


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    network = f"mf-nginx-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", network], check=True)
    try:
        subprocess.run(["ip", "-n", network, "link", "set", "lo", "up"], check=True)
        one = Nginx(network, tmp_path / "scripts.log")
        yield one
        one.script("stop_both", FORCE="1")
        one.script("poststop")
    finally:
        subprocess.run(["ip", "netns", "delete", network], check=True)


def test_it_is_started_answers_and_is_stopped(nginx: Nginx) -> None:
    for name in ("prestart", "start_both"):
        assert nginx.script(name) == 0, nginx.said()
    page = nginx.page()
    assert "<h1>a</h1>" in page and f"farm {nginx.module}" in page and "127.0.0.9:5432" in page
    assert "1 open on this node" in page
    assert "@" not in page, "something is not filled in"
    assert "//" not in page, "something is elsewhere"
    pid = nginx.pid_file.read_text().strip()
    assert nginx.script("stop_both") == 0
    assert not nginx.pid_file.exists()
    # It may still wait for its parent to take notice.
    assert not Path("/proc", pid).exists() or Path("/proc", pid, "cmdline").read_text() == ""
    assert nginx.script("poststop") == 0 and not nginx.run_directory.exists()
    assert nginx.script("stop_both") == 0, "what does not run is stopped"
    assert nginx.said() == ""


def test_a_session_with_the_database_goes_through_and_does_not_keep_it_from_ending(nginx: Nginx) -> None:
    database = nginx.program(
        "import socket; s = socket.create_server(('127.0.0.9', 5432)); print('is', flush=True); "
        "c, _ = s.accept(); c.sendall(b'-'); c.recv(1); s.accept()"
    )
    try:
        assert nginx.script("start_both") == 0, nginx.said()
        session = nginx.program(
            "import socket; c = socket.create_connection(('127.0.0.1', 6432)); assert c.recv(1) == b'-'; "
            "print('is', flush=True); c.recv(1)"
        )
        assert nginx.script("stop_both") == 0
        session.wait(QUIT_S)
    finally:
        database.kill()
        database.wait()


def test_a_pid_file_that_names_another_process_ends_none(nginx: Nginx) -> None:
    nginx.run_directory.mkdir()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        nginx.pid_file.write_text(f"{stranger.pid}\n")
        assert nginx.script("stop_both") == 0
        assert stranger.poll() is None
        assert nginx.script("start_both") == 0, nginx.said()
        assert int(nginx.pid_file.read_text()) != stranger.pid
    finally:
        stranger.kill()
        stranger.wait()


def test_a_database_without_an_address_is_told(nginx: Nginx) -> None:
    assert nginx.script("start_both", DEPENDS_POSTGRESQL_ADDRESS="") == 1
    assert "the module postgresql has no virtual address" in nginx.said()
