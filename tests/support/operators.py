"""An operator in a lab: ``mirrorfarm`` on a node, and what came of it.

Most of what a command takes is its start: a core for a quarter of a second, which the cluster under test needs. What
only brings a cluster where a test looks at something, and what only waits, is done without one (:func:`operate`). What
a command says, and how it ends, is looked at where it was started (:func:`ask`, :func:`done`).
"""

import contextlib
import io
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from manager.cli.client import AgentClient
from manager.cli.main import build_parser, run
from manager.cli.seat import Seat, make_console
from manager.lab.agents import socket_of
from manager.lab.errors import LabError
from manager.lab.machine import RunningMachine

_OF_THE_AGENT = frozenset(
    {"start", "stop", "restart", "swap", "prim", "maintenance", "state", "why", "wait", "history", "verify", "farm"}
)
"""Commands that only make calls on the agent: no others can be run elsewhere than on the node."""
_OF_THE_WAY = frozenset({"start", "stop", "swap", "prim", "wait"})
"""Of those, what only leads to where a test looks at something. The tutorial's test starts each, and that of an
installation, and whatever is to be refused is started too."""
_COMMAND_S = 150.0


@dataclass(frozen=True)
class Told:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def ask(node: RunningMachine, *words: str) -> Told:
    """``mirrorfarm`` with these words, whatever comes of it; nobody is there to be asked, and never a traceback."""
    ran = subprocess.run(
        node.command(["mirrorfarm", *words]), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return Told(ran.returncode, ran.stdout, ran.stderr)


def done(node: RunningMachine, *words: str) -> str:
    """As :func:`ask`, which has to go well; what it printed. What only leads somewhere is not started for it."""
    told = _by_agent(node, words) if words[0] in _OF_THE_WAY else ask(node, *words)
    assert told.code == 0, told
    return told.out


def operate(node: RunningMachine, *words: str, seconds: float = _COMMAND_S) -> str:
    """What ``mirrorfarm`` with these words prints on ``node``.

    Where it only makes calls on the agent, it is run in this process, on that agent's socket. Else it is started there,
    and has ``seconds``.

    Raises:
        LabError: the machine is down, or the command failed; with its last words.
    """
    if words[0] not in _OF_THE_AGENT:
        return node.run(["mirrorfarm", *words], seconds=seconds)
    told = _by_agent(node, words)
    if told.code:
        last = " | ".join((told.err.strip() or told.out.strip()).splitlines()[-3:])
        raise LabError(f"on {node.name}: mirrorfarm {' '.join(words)} failed ({told.code}): {last}")
    return told.out


def _by_agent(node: RunningMachine, words: Sequence[str]) -> Told:
    out, err = io.StringIO(), io.StringIO()
    seat = Seat(AgentClient(socket_of(node)), make_console(out), make_console(err), config_file="")
    code = run(build_parser(False, words[0]).parse_args(words), seat)
    return Told(code, out.getvalue(), err.getvalue())


class Watching:
    """A screen that an operator looks at, and his keys."""

    def __init__(self, terminal: int, process: "subprocess.Popen[bytes]") -> None:
        self._terminal = terminal
        self._process = process
        self._shown = ""

    def sees(self, *words: str, seconds: float = 30.0) -> None:
        """Wait for a screen with all of ``words``; how its lines are folded does not matter."""
        end = time.monotonic() + seconds
        while not all(word in self._text() for word in words):
            assert time.monotonic() < end, (words, self._text())
            self._read()

    def ends(self, keys: bytes, seconds: float = 30.0) -> int:
        """Press ``keys``; the exit code. The terminal has to be given back."""
        os.write(self._terminal, keys)
        end = time.monotonic() + seconds
        while self._process.poll() is None:
            assert time.monotonic() < end, self._text()
            self._read()
        while self._read():
            pass
        assert self._shown.endswith("\x1b[?1049l"), self._shown[-200:]
        return self._process.returncode

    def _text(self) -> str:
        return re.sub(r"\s+", " ", re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", self._shown))

    def _read(self) -> bool:
        """Take what is drawn, of which the last screen is kept; whether anything was."""
        if not select.select([self._terminal], [], [], 0.1)[0]:
            return False
        self._shown = (self._shown + os.read(self._terminal, 65536).decode()).rpartition("\x1b[H")[2]
        return True


@contextlib.contextmanager
def watching(node: RunningMachine, *words: str, size: tuple[int, int] = (24, 80)) -> Iterator[Watching]:
    """``mirrorfarm state --watch`` on a terminal of so many lines and columns, until the end of the block."""
    terminal, theirs = pty.openpty()
    termios.tcsetwinsize(terminal, size)
    command = node.command(["env", "TERM=xterm", "mirrorfarm", "state", "--watch", *words])
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    try:
        yield Watching(terminal, process)
    finally:
        process.kill()
        process.wait()
        os.close(theirs)
        os.close(terminal)
