"""One line of log to the local syslog, never waited for (journald takes the same at the same place).

What is sent is what syslog(3) sends but for the time, which the daemon puts before it: ``<PRI>program[pid]: text`` in
one datagram (RFC 3164, section 4.1). ``logging.handlers.SysLogHandler`` and syslog(3) itself are of no use here: both
wait for a daemon that is frozen, as long as it is.
"""

import errno
import os
import socket
from typing import Final

from structlog.processors import LogfmtRenderer
from structlog.typing import EventDict

LONGEST_BYTES: Final = 8_000
"""Of a datagram: rsyslog takes 8 KiB unless it is told otherwise, journald more. The rest of a line is in no syslog."""
_CUT: Final = b" [...]"
_DAEMON: Final = 3
"""The facility (RFC 3164, 4.1.1)."""
_SEVERITIES: Final = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
"""structlog's words (RFC 3164, 4.1.1)."""
_FIRST: Final = ("node", "module")
_LEFT_OUT: Final = frozenset({"event", "level", "at", "pid"})
"""Said before the values, or by the daemon."""


class Syslog:
    """Where the local daemon listens, whichever process that is by then.

    The socket is connected to nobody: each line goes to whoever has the path, so that a daemon that was started anew
    has the next one.
    """

    def __init__(self, path: str, program: str) -> None:
        """``program``: as it is to be named in each line."""
        self._path = path
        self._head = f"{program}[{os.getpid()}]"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def send(self, level: str, text: str) -> None:
        """Hand over one line.

        Raises:
            OSError: nobody has taken it, which is known at once.
        """
        line = f"<{_DAEMON * 8 + _SEVERITIES.get(level, 5)}>{self._head}: {text}".encode("utf-8", "backslashreplace")
        if len(line) > LONGEST_BYTES:
            line = line[: LONGEST_BYTES - len(_CUT)].decode("utf-8", "ignore").encode() + _CUT
        self._socket.sendto(line, socket.MSG_DONTWAIT, self._path)

    def close(self) -> None:
        """Nothing can be sent any more."""
        self._socket.close()

    def why(self, error: OSError) -> str:
        """What ``error`` of :meth:`send` means."""
        known = {
            errno.EAGAIN: "whoever listens there reads nothing, and its queue is full",
            errno.ENOBUFS: "whoever listens there reads nothing, and its queue is full",
            errno.ENOENT: "nothing is there",
            errno.ECONNREFUSED: "nobody listens there",
            errno.EPROTOTYPE: "what listens there takes no datagrams",
        }
        return f"{self._path}: {known.get(error.errno or 0) or error.strerror or error}"


def text_of(event: EventDict) -> str:
    """An event as one line of text: its name, the node and the module that it is of, then its values (logfmt).

    What a terminal or the daemon would take for more than text is escaped.
    """
    first = {key: event[key] for key in _FIRST if event.get(key)}
    rest = {key: value for key, value in event.items() if key not in (*_FIRST, *_LEFT_OUT)}
    values = _LOGFMT(None, "", {**first, **rest})
    return "".join(c if c.isprintable() else _escaped(c) for c in f"{event.get('event', '')} {values}".rstrip())


_LOGFMT: Final = LogfmtRenderer(bool_as_flag=False)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
