"""What every command works with: the agent, the two consoles, the clocks. Tests hand in their own."""

import getpass
import json
import select
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any

from rich.console import Console

from manager.cli.client import AgentClient
from manager.cli.harmless import Cleaning, harmless_lines
from manager.model.api import ApiError, ErrorKind
from manager.model.codec import to_plain

_WIDTH_WITHOUT_TERMINAL = 200
"""Columns of a table that goes to a file or a pipe: nothing is folded that a script may look for."""


def make_console(file: IO[str]) -> Console:
    """A console on ``file`` that takes every text literally, and prints nothing that a terminal would obey."""
    width = None if file.isatty() else _WIDTH_WITHOUT_TERMINAL
    console = Console(file=file, width=width, markup=False, highlight=False, emoji=False)
    console.push_render_hook(Cleaning())
    return console


def ask_secret(question: str) -> str:
    """What is typed on the terminal, not shown; or a line of what is there in its place. Raises EOFError: nobody is."""
    if sys.stdin.isatty():
        return getpass.getpass(question)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


@dataclass
class Seat:
    """The operator's seat."""

    client: AgentClient
    out: Console
    """Results; with ``--json`` nothing else."""
    err: Console
    """Progress, errors and questions."""
    config_file: str
    ask: Callable[[str], str] = input
    ask_secret: Callable[[str], str] = ask_secret
    """As ``ask``; what is typed is not shown."""
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    utc_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """The clock on the wall: for people."""
    keys: int = 0
    """The descriptor of the operator's keyboard; it may be none."""
    _told: dict[str, str] = field(default_factory=dict)
    _told_at: dict[str, float] = field(default_factory=dict)

    def answer(self, question: str) -> str:
        """What the operator says to it, without blanks around; empty: nothing, or he ended it by Ctrl-C or Ctrl-D, or
        it is no text, which is no answer to anything."""
        try:
            return self.ask(question).strip()
        except (EOFError, KeyboardInterrupt, UnicodeDecodeError):
            return ""

    def secret(self, question: str) -> str:
        """As :meth:`answer`, of what nobody else is to see, as it was typed.

        Raises:
            ApiError: it is no text in UTF-8.
        """
        try:
            said = self.ask_secret(question)
            said.encode()  # Where the locale is C or POSIX, what is no text is there all the same.
        except (EOFError, KeyboardInterrupt):
            return ""
        except UnicodeError:
            raise ApiError(
                ErrorKind.REFUSED,
                "What was typed is no text in UTF-8.",
                meaning="Nobody was asked, and nothing was made or changed.",
                remedy="Type it where the terminal is set to UTF-8, or have it come so by a pipe.",
            ) from None
        return said

    def print_json(self, result: Any) -> None:
        """``result`` as one JSON object on one line."""
        self.out.file.write(json.dumps(to_plain(result)) + "\n")
        self.out.file.flush()

    def print_text(self, text: str) -> None:
        """A text of others' making: into a file or a pipe as it is, on a terminal without what that would obey."""
        self.out.file.write("\t".join(map(harmless_lines, text.split("\t"))) if self.out.is_terminal else text)
        self.out.file.flush()

    def tell(self, line: str, about: str = "") -> None:
        """A line of progress; said again about the same thing only when it changed. Empty: nothing more about it."""
        if about:
            if self._told.get(about, "") == line:
                return
            self._told[about] = line
        if not line:
            return
        self.err.print(line, soft_wrap=True)

    def tell_at_times(self, line: str, about: str, every_s: float) -> None:
        """As :meth:`tell`, of what changes all the time."""
        now_s = self.monotonic()
        if line and now_s - self._told_at.get(about, -every_s) < every_s:
            return
        self._told_at[about] = now_s if line else -every_s
        self.tell(line, about)

    def reader_is_gone(self) -> bool:
        """Whether what is printed goes to a pipe whose other end (head, less) was closed."""
        try:
            descriptor = self.out.file.fileno()
        except (OSError, ValueError):
            return False  # no file of the system's
        pipe = select.poll()
        pipe.register(descriptor, 0)
        return any(events & select.POLLERR for _, events in pipe.poll(0))

    def complain(self, error: ApiError) -> None:
        """What happened, what it means, what to do."""
        self.err.print(f"mirrorfarm: {error.message}", style="bold red", soft_wrap=True)
        for words in (error.meaning, error.remedy):
            if words:
                self.err.print(f"  {words}", soft_wrap=True)
