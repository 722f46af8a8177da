"""The door of the agents' channel: takes connections of other agents and of operators, one call on each.

Whoever connects is a stranger until it has shown who it is and said what it asks: the number of strangers, their time
and what is taken of them are bounded, and so are the calls under way, in all and of each node. New connections are
taken at a bounded rate, so that a flood costs this agent, which has a lease to renew, a tenth of its time at the most.
It decides nothing but whom to hear: a node or an operator of this cluster by the certificate that it shows, or, in
plain, whoever is there. What an operator has under way ends with his certificate, and when this node's files become
others: he may be on the list of what is revoked that has come with them.

Each reason to turn somebody away is told once per address, so that one that tries for ever does not fill the log.
"""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

from agent.adapters.calls import Calls
from agent.adapters.channel_callers import OperatorCaller, RemoteCaller, Who, harmless, refusal_of, who_is
from agent.adapters.secure_lines import LineTooLong, SecureLines
from manager.free_bind import allow_any_address
from manager.model.api import ApiError, ErrorKind
from manager.model.api_channel import (
    ALIVE_S,
    APPLICATION,
    MAX_GREETING_BYTES,
    MAX_OPERATOR_REQUEST_BYTES,
    MAX_REQUEST_BYTES,
    READING,
    Asker,
    Greeting,
    why_not,
)
from manager.model.api_lines import (
    Request,
    alive_line,
    error_line,
    greeting_line,
    progress_line,
    read_greeting,
    read_request,
    request_id_of,
    result_line,
)
from manager.model.codec import DecodeError
from manager.model.errors import DefiniteFailure
from manager.model.node_identity import OperatorIdentity
from manager.pki.credentials import Contexts, Credentials, Unusable
from manager.pki.tls_words import Unsecured
from manager.time_limit import time_limit

FAREWELL_S: Final = 1.0
MAX_REMEMBERED: Final = 1024
"""Addresses and reasons that were told."""
_BACKLOG: Final = 16
_PAUSE_S: Final = 0.5
"""After a failed accept(2), as without free descriptors."""
_LEFT: Final = "tls_closed"
"""Of a handshake that the other end has given up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What strangers and other nodes may take."""

    strangers: int = 16
    """One more, and the oldest of the address that has the most has to go."""
    calls: int = 32
    calls_of_node: int = 8
    """In plain: of one address."""
    stranger_s: float = 2.0
    """From the acceptance of a connection to the end of its request."""
    operator_s: float = 10.0
    """From an operator's greeting to the end of his request: it may be a module's folder."""
    send_s: float = 30.0
    """Who takes nothing of what it has asked for within this is left."""
    gap_s: float = 0.03
    """Between two acceptances: one, with its handshake and call, takes two or three milliseconds of a processor."""
    alive_s: float = ALIVE_S


DEFAULT_LIMITS: Final = Limits()


class _OtherVersion(Exception):
    """Who has come speaks no version of the channel that this node does."""

    def __init__(self, greeting: Greeting) -> None:
        release = harmless(greeting.software)
        super().__init__(f"it runs release {release}, and speaks version {greeting.speaks} of the channel")


@dataclass(slots=True, eq=False)
class _Visit:
    """A connection."""

    address: str
    lines: SecureLines
    contexts: Contexts | None
    owner: str = ""
    """Whose call it is, as calls are counted: a node or an operator by the certificate. In plain an address, since
    names are invented at will. Empty: a stranger's."""
    task: asyncio.Task[None] | None = None


class ChannelServer:
    """Listens where it is told to."""

    def __init__(
        self,
        calls: Calls,
        greeting: Greeting,
        credentials: Credentials | None,
        on_refused: Callable[[str, str, str], None],
        on_asked: Callable[[str, str], None],
        limits: Limits = DEFAULT_LIMITS,
        of_operators: Calls | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Not listening yet.

        Args:
            calls: what is answered to other nodes; without a way to ask further ones.
            greeting: who this is.
            credentials: ``None``: connections are plain.
            on_refused: told address, reason and its detail, each once.
            on_asked: told who asks, and the call.
            limits: of what is taken.
            of_operators: what is answered to operators; ``None``: the same.
            now_s: wall time, by which certificates are good.
        """
        self._of_operators = of_operators or calls
        self._now_s = now_s
        self._calls = calls
        self._greeting = greeting
        self._credentials = credentials
        self._on_refused = on_refused
        self._on_asked = on_asked
        self._limits = limits
        self._accepting: list[tuple[socket.socket, asyncio.Task[None]]] = []
        self._turn = asyncio.Lock()
        self._visits: dict[_Visit, None] = {}
        """The oldest first."""
        self._told: set[tuple[str, str]] = set()

    @property
    def visits(self) -> int:
        """How many connections there are."""
        return len(self._visits)

    async def open(self, address: str, port: int) -> int:
        """Listen at ``address``, one more; port 0: any free one. Returns the port.

        Raises:
            DefiniteFailure: the port is taken there, or there is no such family of addresses here.
        """
        try:
            listener = _listener(address, port)
        except OSError as error:
            raise DefiniteFailure(f"the agents' channel at {address}, TCP port {port}: {error}") from None
        self._accepting.append((listener, asyncio.get_running_loop().create_task(self._accept(listener))))
        return int(listener.getsockname()[1])

    def shut(self, address: str) -> None:
        """Listen there no more; what was accepted there goes on."""
        at = [pair for pair in self._accepting if pair[0].getsockname()[0] == address]
        self._accepting = [pair for pair in self._accepting if pair not in at]
        for listener, accepting in at:
            accepting.cancel()
            accepting.add_done_callback(partial(_left, listener))

    async def close(self) -> None:
        """Listen no more, and give up what is under way."""
        accepting, self._accepting = self._accepting, []
        tasks = [task for _, task in accepting] + [v.task for v in self._visits if v.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener, _ in accepting:
            listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with self._turn:  # One after the other, at whichever address.
                await asyncio.sleep(self._limits.gap_s)
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:
                self._tell("", "accept", error.strerror or str(error))
                await asyncio.sleep(_PAUSE_S)
            else:
                self._take(connection, str(address[0]))

    def _take(self, connection: socket.socket, address: str) -> None:
        self._make_room()
        try:
            contexts = self._credentials.contexts() if self._credentials is not None else None
            lines = SecureLines(connection, contexts, APPLICATION, server=True)
        except OSError as error:
            connection.close()
            if isinstance(error, Unusable):  # Else it has gone already.
                self._tell(address, "tls_unusable", str(error))
            return
        visit = _Visit(address, lines, contexts)
        self._visits[visit] = None
        visit.task = asyncio.get_running_loop().create_task(self._receive(visit))

    def _make_room(self) -> None:
        strangers = [visit for visit in self._visits if not visit.owner]
        if len(strangers) >= self._limits.strangers:
            crowded = Counter(visit.address for visit in strangers).most_common(1)[0][0]
            oldest = next(visit for visit in strangers if visit.address == crowded)
            del self._visits[oldest]
            assert oldest.task is not None
            oldest.task.cancel()
            self._tell(oldest.address, "crowd", "too many connections that have asked for nothing")

    async def _receive(self, visit: _Visit) -> None:
        """A connection's whole life. Who leaves by himself is not told of: another address may have been the faster."""
        try:
            await self._visited(visit)
        except TimeoutError:
            self._turn_away(visit, "silent", f"it has asked for nothing within {self._limits.stranger_s:g} s")
        except LineTooLong:
            self._turn_away(visit, "garbage", "a line that is longer than it may be")
        except DecodeError as error:
            self._turn_away(visit, "garbage", str(error))
        except (EOFError, OSError):
            pass  # It has gone.
        finally:
            self._visits.pop(visit, None)
            visit.lines.close()

    async def _visited(self, visit: _Visit) -> None:
        try:
            async with time_limit(self._limits.stranger_s) as bound:
                holder = await visit.lines.shake_hands()
                refusal = refusal_of(holder, visit.contexts)
                if refusal is None:
                    other = await self._greeted(visit)
                    longest = MAX_REQUEST_BYTES
                    if isinstance(holder, OperatorIdentity):
                        longest = MAX_OPERATOR_REQUEST_BYTES
                        bound.reschedule(asyncio.get_running_loop().time() + self._limits.operator_s)
                    line = await visit.lines.read_line(longest)
        except _OtherVersion as spoken:  # It reads as much in this node's greeting.
            self._turn_away(visit, "version", f"{spoken}, this node {self._greeting.speaks}")
            await _bid_farewell(visit)
            return
        except Unsecured as unsecured:
            if unsecured.trouble.kind != _LEFT:
                self._turn_away(visit, unsecured.trouble.kind, unsecured.trouble.detail)
            await _bid_farewell(visit)
            return
        if refusal is None and holder is None and other.cluster != self._greeting.cluster:
            refusal = f"it is of cluster {other.cluster}"
        if refusal is not None:
            self._turn_away(visit, "identity", refusal)
            await _bid_farewell(visit)
            return
        await self._heard(visit, line, who_is(holder, other, visit.address))

    async def _greeted(self, visit: _Visit) -> Greeting:
        """Who says to be there. Raises _OtherVersion, and what the lines raise."""
        await visit.lines.send(greeting_line(self._greeting))
        other = read_greeting(await visit.lines.read_line(MAX_GREETING_BYTES))
        if other.speaks.agree(self._greeting.speaks) is None:
            raise _OtherVersion(other)
        return other

    async def _heard(self, visit: _Visit, line: bytes, who: Who) -> None:
        try:
            request, arguments = self._understood(line, who)
        except ApiError as error:
            self._turn_away(visit, "request", error.message)
            await self._send(visit, error_line(request_id_of(line), error))
        else:
            visit.owner = who.owner
            caller = who.caller(request.user)
            self._on_asked(caller.name, request.call)
            await self._send(visit, await self._answered(visit, request, arguments, caller))
        await _bid_farewell(visit)

    def _understood(self, line: bytes, who: Who) -> tuple[Request, Any]:
        request, arguments = read_request(line)
        refusal = why_not(arguments, self._greeting.node, who.asker)
        if refusal is not None:
            raise refusal
        counts, limits = Counter(visit.owner for visit in self._visits if visit.owner), self._limits
        if counts.total() >= limits.calls or counts[who.owner] >= limits.calls_of_node:
            each = {Asker.ANYBODY: "address", Asker.NODE: "node", Asker.OPERATOR: "operator"}[who.asker]
            raise ApiError(
                ErrorKind.BUSY,
                f"{self._greeting.node} answers {limits.calls} calls at once, {limits.calls_of_node} of one {each}.",
                remedy="End some, as mirrorfarm state --watch or logs --follow, and ask again.",
            )
        return request, arguments

    async def _answered(
        self, visit: _Visit, request: Request, arguments: Any, caller: RemoteCaller | OperatorCaller
    ) -> bytes:
        """The line that ends the call. Who gives up, by closing what it sends, ends it earlier."""
        of_operator = isinstance(caller, OperatorCaller)
        calls = self._of_operators if of_operator else self._calls

        async def report(progress: Any) -> None:
            await self._send(visit, progress_line(request.id, progress))

        async def answer() -> bytes:
            try:
                return result_line(request.id, await calls.answer(request, arguments, caller, report))
            except ApiError as error:
                return error_line(request.id, error)

        call = asyncio.create_task(answer())
        others: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._be_alive(visit, request.id)),
            asyncio.create_task(_until_given_up(visit)),
        ]
        over = asyncio.create_task(self._until_not_good(visit)) if of_operator else None
        if over is not None:
            others.append(over)
        try:
            await asyncio.wait((call, *others), return_when=asyncio.FIRST_COMPLETED)
            call.cancel()
            if over is not None and over.done() and not call.done():
                self._tell(visit.address, "identity", f"{caller.name}: {over.result()}")
                return error_line(request.id, _ended(request.call, over.result()))
            try:
                return await call
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise BrokenPipeError("given up") from None
        finally:
            for task in (call, *others):
                task.cancel()
            await asyncio.gather(call, *others, return_exceptions=True)

    async def _be_alive(self, visit: _Visit, number: int) -> None:
        while True:
            await asyncio.sleep(self._limits.alive_s)
            await self._send(visit, alive_line(number))

    async def _until_not_good(self, visit: _Visit) -> str:
        """Until an operator may not be one any more; why."""
        assert self._credentials is not None
        while True:
            await asyncio.sleep(self._limits.alive_s)
            if self._credentials.contexts() is not visit.contexts:
                return "this node's certificates, or its list of what is revoked, have become others meanwhile"
            if visit.lines.good_until_s is not None and self._now_s() >= visit.lines.good_until_s:
                return "his certificate is over"

    async def _send(self, visit: _Visit, line: bytes) -> None:
        try:
            async with time_limit(self._limits.send_s):
                await visit.lines.send(line)
        except TimeoutError:
            raise ConnectionResetError(f"it has taken nothing for {self._limits.send_s:g} s") from None

    def _turn_away(self, visit: _Visit, reason: str, detail: str) -> None:
        if not visit.owner:
            self._tell(visit.address, reason, detail)

    def _tell(self, address: str, reason: str, detail: str) -> None:
        if (address, reason) not in self._told and len(self._told) < MAX_REMEMBERED:
            self._told.add((address, reason))
            self._on_refused(address, reason, detail)


def _ended(call: str, why: str) -> ApiError:
    """What is told to an operator whose call is ended."""
    if call in READING:
        return ApiError(ErrorKind.REFUSED, f"The answer was ended: {why}.", remedy="Ask again.")
    return ApiError(
        ErrorKind.OUTCOME_UNKNOWN,
        f"What was asked for was ended: {why}.",
        meaning=f"{call} may have been done, in part or as a whole, or may still be.",
        remedy="mirrorfarm state and why show how things stand. Then ask again if need be.",
    )


async def _bid_farewell(visit: _Visit) -> None:
    """What the other end has sent and nobody has read would take away what was said last."""
    with contextlib.suppress(TimeoutError, OSError):  # It was told, or cannot be.
        async with time_limit(FAREWELL_S):
            await visit.lines.farewell()


async def _until_given_up(visit: _Visit) -> None:
    """Until the other end closes what it sends; more than one request is none."""
    with contextlib.suppress(EOFError, LineTooLong):
        await visit.lines.read_line(0)


def _left(listener: socket.socket, _: "asyncio.Task[None]") -> None:
    listener.close()


def _listener(address: str, port: int) -> socket.socket:
    family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        allow_any_address(listener)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
