"""The client of the agent's local socket: one blocking call at a time, of this node's agent or by it of another's."""

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.api_calls import CALL_OF
from manager.model.api_lines import MAX_ANSWER_BYTES, Answer, read_answer, request_line
from manager.model.api_requests import RequestArguments
from manager.model.codec import DecodeError

CONNECT_TIMEOUT_S = 5.0
_CHUNK = 65536
_LOOK_S = 1.0
_SILENCE_S = 3.0
_QUICK_S = 30.0
"""A call with no longer a timeout is one that is answered at once."""
_END_S = 15.0
"""How long the end of a call that was given up is waited for."""
_ANSWERED_WHEN_GIVEN_UP = (RequestArguments,)
"""Calls of which the agent says what has become of what was asked, when nobody waits for it any more."""


class Interrupted(KeyboardInterrupt):
    """The operator has given up while a call was under way, of which it is not known what became."""

    def __init__(self, call: str) -> None:
        super().__init__(call)
        self.call = call


class AgentClient:
    """A connection to the agent of this node, made at the first call and again after it was lost."""

    def __init__(self, path: str, on_silence: Callable[[str], None] = lambda words: None, node: str = "") -> None:
        """``on_silence``: given a sentence when an answer that should be there at once is waited for.

        ``node``: whose agent is asked; empty: this one's. This one's hands the calls on.
        """
        self._path = path
        self._node = node
        self._on_silence = on_silence
        self._socket: socket.socket | None = None
        self._pending = bytearray()
        self._number = 0
        self._silence_s = 0.0
        """After so long the operator is told what is waited for; 0: not, or not again."""

    def call(
        self,
        arguments: Any,
        *,
        timeout_s: float | None = 30.0,
        on_progress: Callable[[Any], None] | None = None,
        given_up: Callable[[], bool] = lambda: False,
        node: str = "",
    ) -> Any:
        """Make the call of which ``arguments`` are the arguments, and return its result.

        Args:
            arguments: one of the argument classes of :mod:`manager.model.api_calls`.
            timeout_s: from now to the result; ``None``: for ever.
            on_progress: given each object of progress.
            given_up: asked each second of a call without a timeout: whether nobody waits for it any more.
            node: whose agent is asked this once; empty: the one of all calls.

        Raises:
            BrokenPipeError: it was given up.
            Interrupted: the operator has given up. Of an operator's request what has become of it is answered then, as
                if it had been waited for no longer.
            ApiError: the agent refused, failed or did not answer (``unreachable``, ``timed_out``).
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._silence_s = _SILENCE_S if timeout_s is not None and timeout_s <= _QUICK_S else 0.0
        call = CALL_OF[type(arguments)]
        self._number += 1
        try:
            self._connect(node or self._node)
            self._send(request_line(self._number, arguments, node or self._node))
            return self._result(call, deadline, given_up, on_progress)
        except KeyboardInterrupt:
            if isinstance(arguments, _ANSWERED_WHEN_GIVEN_UP):
                return self._end(call)
            self.close()
            raise Interrupted(call) from None
        except GivenUp:
            self.close()
            raise BrokenPipeError from None
        except TimeoutError:
            self.close()
            raise ApiError(
                ErrorKind.TIMED_OUT,
                f"The agent did not answer {call} within {timeout_s:g} s.",
                meaning="What was asked for may still be done.",
                remedy="mirrorfarm state shows how things stand; /var/log/mirrorfarm/agent.log what the agent does.",
            ) from None
        except DecodeError as error:
            self.close()
            raise ApiError(
                ErrorKind.INTERNAL,
                f"The agent's answer is not understood: {error}",
                remedy="Use the mirrorfarm command of the agent's own version on this node.",
            ) from None
        except OSError as error:
            self.close()
            raise self._lost(call, error) from None

    def _result(
        self,
        call: str,
        deadline: float | None,
        given_up: Callable[[], bool],
        on_progress: Callable[[Any], None] | None,
    ) -> Any:
        while True:
            answer = read_answer(call, self._line(deadline, given_up))
            if answer.error is not None and answer.id in (self._number, 0):
                raise _of_older_release(call, answer.error)
            if answer.id != self._number or answer.alive:
                continue
            if answer.progress is None:
                return answer.result
            _report(answer, on_progress)

    def _end(self, call: str) -> Any:
        """Have the agent end the call, and say what has become of it.

        Raises:
            Interrupted: it does not.
            ApiError: as :meth:`call`.
        """
        self._silence_s = 0.0
        try:
            if self._socket is None:
                raise ConnectionResetError
            self._on_silence("mirrorfarm: given up; the agent is asked what has become of it.")
            socket.socket.shutdown(self._socket, socket.SHUT_WR)  # Of TLS, it would end that as well.
            return self._result(call, time.monotonic() + _END_S, lambda: False, None)
        except (OSError, DecodeError, KeyboardInterrupt):
            raise Interrupted(call) from None
        finally:
            self.close()

    def interrupt(self) -> None:
        """From another thread: have a call that waits for its answer end, as if the agent had gone."""
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection. What the agent does then with what was asked for is not waited for."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._pending.clear()

    def _lost(self, call: str, error: OSError) -> ApiError:
        """What to tell when the connection is lost in the midst of ``call``, or there is none."""
        return unreachable(self._path, error)

    def _connect(self, node: str) -> None:
        """Have a connection on which ``node`` can be asked. Raises OSError, ApiError."""
        if self._socket is not None:
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(self._path)
        except BaseException:
            connection.close()
            raise
        self._socket = connection

    def _send(self, line: bytes) -> None:
        assert self._socket is not None
        self._socket.settimeout(CONNECT_TIMEOUT_S)
        # An agent that refuses this user says so and closes: its reason is there to be read all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(line)

    def _line(self, deadline: float | None, given_up: Callable[[], bool]) -> bytes:
        assert self._socket is not None
        while (end := self._pending.find(b"\n")) < 0:
            if len(self._pending) > MAX_ANSWER_BYTES:
                raise DecodeError(f"longer than {MAX_ANSWER_BYTES >> 20} MiB")
            chunk = self._more(deadline, given_up)
            if not chunk:
                raise ConnectionResetError("it closed the connection")
            self._pending += chunk
        line = bytes(self._pending[:end])
        del self._pending[: end + 1]
        return line

    def _more(self, deadline: float | None, given_up: Callable[[], bool]) -> bytes:
        """What comes next; empty: the end. Raises GivenUp, TimeoutError, OSError."""
        assert self._socket is not None
        while True:
            left = _LOOK_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(min(left, self._silence_s or left))
            try:
                return self._socket.recv(_CHUNK)
            except TimeoutError:
                if deadline is None and given_up():
                    raise GivenUp from None
            if self._silence_s:
                self._silence_s = 0.0
                who = f"node {self._node}" if self._node else "the agent of this node"
                self._on_silence(f"mirrorfarm: {who} has not answered yet; it is waited for, {left:.0f} s at the most.")


class GivenUp(Exception):
    """Nobody waits for the call any more."""


def _of_older_release(call: str, error: ApiError) -> ApiError:
    """``error``; or, where the agent does not know the call at all, that in words."""
    node, told, _ = error.message.partition(f"The agent does not understand the request: unknown call {call!r}")
    if error.kind is not ErrorKind.BAD_REQUEST or not told:
        return error
    return ApiError(
        error.kind,
        f"{node}The agent does not know the call {call}: its release is older than that of this command.",
        meaning=UNCHANGED,
        remedy=f"{error.remedy} Once the new release is installed there, "
        "/etc/init.d/mirrorfarm-agent upgrade exchanges the agent under its running modules.",
    )


def unreachable(path: str, error: OSError) -> ApiError:
    """What to tell when the socket at ``path`` gives ``error``."""
    if isinstance(error, PermissionError):
        return ApiError(
            ErrorKind.FORBIDDEN,
            f"This user may not use {path}.",
            remedy="Be root, or a member of the group that agent.toml names as socket.group.",
        )
    return ApiError(
        ErrorKind.UNREACHABLE,
        f"The agent of this node does not answer on {path}: {error.strerror or error}.",
        meaning="The modules' applications do not depend on this command; a replicator outlives its agent for the "
        "time of its lease.",
        remedy="Start it: /etc/init.d/mirrorfarm-agent start (or systemctl start mirrorfarm-agent). If it ends again, "
        "/var/log/mirrorfarm/agent.log and mirrorfarm check say why.",
    )


def _report(answer: Answer, on_progress: Callable[[Any], None] | None) -> None:
    if on_progress is not None:
        on_progress(answer.progress)
