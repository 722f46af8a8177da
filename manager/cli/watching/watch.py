"""The loop of ``state --watch`` on a terminal: what comes in is taken, and the screen is drawn, at least each second.

It draws without having been answered, too: how long an answer has been missing is what there is to show then.
"""

import os
import signal
from collections.abc import Mapping

from rich.console import Console
from rich.live import Live

from manager.cli.exit_codes import ExitCode
from manager.cli.seat import Seat
from manager.cli.watching.asking import Asking
from manager.cli.watching.screen import Screen
from manager.cli.watching.seen import Watched
from manager.cli.watching.terminal import Terminal
from manager.model.api import ApiError, StateArguments, StateResult

DRAW_S = 1.0
MOST_TAKEOVERS = 50
"""More than a screen has room for, or one looks back for here."""
_NO_SCREENS = ("", "dumb", "unknown")
"""Terminals, by TERM, that do not place anything."""


def has_screen(console: Console, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether ``console`` is a terminal on which something can be drawn in its place."""
    return console.is_terminal and console.file.isatty() and environ.get("TERM", "").lower() not in _NO_SCREENS


def watch(module: str, every_s: float, seat: Seat) -> ExitCode:
    """Show the state until the operator has seen enough.

    Raises:
        ApiError: what there is to see cannot be seen to begin with, or not any more: as a module that was removed.
    """
    arguments = StateArguments(module, MOST_TAKEOVERS)
    first: StateResult = seat.client.call(arguments)
    watched = Watched(first, _utc(seat), seat.monotonic(), every_s)
    with Terminal(seat.keys) as terminal, Asking(seat.client, arguments, every_s, terminal.wake) as asking:
        _draw(watched, seat, terminal, asking)
    if terminal.ended_by == signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)
    return ExitCode.OK


def _draw(watched: Watched, seat: Seat, terminal: Terminal, asking: Asking) -> None:
    with Live(console=seat.out, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        while True:
            live.update(Screen(watched.look(_utc(seat), seat.monotonic())), refresh=True)
            if terminal.wait(DRAW_S):
                return
            while (outcome := asking.next()) is not None:
                if isinstance(outcome, ApiError):
                    watched.failed(outcome.message)
                else:
                    watched.heard(outcome, _utc(seat), seat.monotonic())


def _utc(seat: Seat) -> str:
    return seat.utc_now().strftime("%Y-%m-%dT%H:%M:%SZ")
