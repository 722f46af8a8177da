"""The operator's terminal while a screen is on it: keys as they are pressed, signals, and whoever wakes the screen.

Signals only end the wait, so that nothing is interrupted in the middle of what it draws. All is as it was at the end.
"""

import contextlib
import os
import select
import signal
import termios
from types import FrameType
from typing import Any

ENDING = b"qQ\x03\x04"
"""Keys that end it; the last two are Ctrl-C and Ctrl-D."""
_INPUT_FLAGS, _LOCAL_FLAGS, _CONTROL_CHARACTERS = 0, 3, 6
"""In what termios gives."""
_MANY = 4096


class Terminal:
    """Taken by ``with``, by the main thread."""

    def __init__(self, keys: int) -> None:
        """``keys``: the descriptor of the keyboard; where that is no terminal, nothing is read from it."""
        self._keys = keys if os.isatty(keys) else None
        self._settings: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        self._former_wakeup = -1
        self._woken, self._waking = -1, -1
        self.ended_by = 0
        """The signal that asks for the end; 0: none has."""

    def __enter__(self) -> "Terminal":
        """Take the keyboard and the signals."""
        self._woken, self._waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Every signal with a handler of Python's writes to it, the change of the window's size, too.
        self._former_wakeup = signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._end)
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, _nothing)
        if self._keys is not None:
            self._settings = termios.tcgetattr(self._keys)
            termios.tcsetattr(self._keys, termios.TCSADRAIN, _key_by_key(self._settings))
        return self

    def __exit__(self, *_exception: object) -> None:
        """Give them back."""
        if self._keys is not None and self._settings is not None:
            with contextlib.suppress(termios.error):  # The terminal may have gone.
                termios.tcsetattr(self._keys, termios.TCSADRAIN, self._settings)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_wakeup)
        os.close(self._woken)
        os.close(self._waking)

    def wake(self) -> None:
        """From any thread: end the wait."""
        with contextlib.suppress(BlockingIOError):  # It is awake already.
            os.write(self._waking, b"\0")

    def wait(self, seconds: float) -> bool:
        """Wait for so long, or until something has happened; whether the operator wants it to end."""
        keys = [] if self._keys is None else [self._keys]
        ready, _, _ = select.select([self._woken, *keys], [], [], seconds)
        if self._woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, _MANY)
        return bool(self.ended_by) or (self._keys in ready and self._is_end())

    def _is_end(self) -> bool:
        assert self._keys is not None
        try:
            pressed = os.read(self._keys, _MANY)
        except OSError:
            return True  # The terminal has gone.
        return not pressed or any(key in ENDING for key in pressed)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self.ended_by = number


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """It wakes the screen, which looks how large it is."""


def _key_by_key(settings: list[Any]) -> list[Any]:
    """No echo, no waiting for the end of a line, and every key is a key.

    A signal by Ctrl-C would end those as well through whom this runs (nsenter in a lab), and this with them before the
    terminal is given back; Ctrl-Z would leave the screen on it, and Ctrl-S have it stand as if all were well.
    """
    wanted = [*settings[:_CONTROL_CHARACTERS], list(settings[_CONTROL_CHARACTERS])]
    wanted[_INPUT_FLAGS] &= ~termios.IXON
    wanted[_LOCAL_FLAGS] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
    wanted[_CONTROL_CHARACTERS][termios.VMIN] = 1
    wanted[_CONTROL_CHARACTERS][termios.VTIME] = 0
    return wanted
