"""Asks another node's agent by the agents' channel: one call, one connection, every wait bounded.

It decides which of the node's addresses answers (one after the other is tried, and none is waited for), and whether who
answers is that node. Every way in which this may fail becomes an error in the operator's words; of a call that changes
something it is said whether it may have been done.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from agent.adapters.calls import Report
from agent.adapters.secure_lines import LineTooLong, SecureLines
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.api_calls import CALL_OF
from manager.model.api_channel import APPLICATION, MAX_GREETING_BYTES, STEERING, Greeting
from manager.model.api_lines import MAX_ANSWER_BYTES, greeting_line, read_answer, read_greeting, request_line
from manager.model.api_requests import RequestArguments
from manager.model.codec import DecodeError
from manager.model.node_identity import Holder, NodeIdentity
from manager.pki.credentials import Contexts, Credentials, Unusable
from manager.pki.tls_words import Unsecured
from manager.time_limit import time_limit

REACH_S: Final = 2.0
"""Until the other agent has said who it is."""
HEAD_START_S: Final = 0.1
"""Of one of a node's addresses before the next; one that fails has none."""
SILENCE_S: Final = 5.0
"""Between two lines of an answer: of a call under way something is heard each second."""
END_S: Final = 5.0
"""How long it is waited for what has become of a request that was given up."""
_NUMBER: Final = 1
_ONE_MODE: Final = "tls.mode in agent.toml has to be the same on all nodes"


class _NotReached(Exception):
    """Why one address does not do; the higher the rank, the less it says."""

    def __init__(self, rank: int, words: str) -> None:
        super().__init__(words)
        self.rank = rank
        self.words = words


_WRONG, _SILENT, _REFUSED, _AWAY = range(4)


@dataclass(frozen=True, slots=True)
class _Reached:
    lines: SecureLines
    greeting: Greeting


class ChannelClient:
    """What this node asks others with."""

    def __init__(
        self,
        greeting: Greeting,
        credentials: Credentials | None,
        port: int,
        silence_s: float = SILENCE_S,
        end_s: float = END_S,
    ) -> None:
        """``greeting``: of this node. ``credentials``: ``None``: connections are plain. ``port``: of all nodes."""
        self._silence_s = silence_s
        self._end_s = end_s
        self._greeting = greeting
        self._credentials = credentials
        self._port = port

    async def ask(
        self, node: str, addresses: Sequence[str], arguments: Any, user: str, report: Report, reach_s: float = REACH_S
    ) -> Any:
        """What the agent of ``node`` answers to the call of which ``arguments`` are the arguments.

        Args:
            node: whose certificate it has to show.
            addresses: where it may be found.
            arguments: one of the argument classes of :mod:`manager.model.api_calls`.
            user: who asks here.
            report: given each object of progress.
            reach_s: until it has said that it is there.

        Raises:
            ApiError: the other agent's own, or that it was not reached, or has not answered.
        """
        reached = await self._reach(node, addresses, reach_s)
        try:
            return await self._asked(node, reached, arguments, user, report)
        finally:
            reached.lines.close()

    # Until it is known who answers

    async def _reach(self, node: str, addresses: Sequence[str], reach_s: float) -> _Reached:
        contexts = self._contexts(node)
        troubles: list[_NotReached] = []
        left, greetings = list(addresses), list[asyncio.Task[_Reached]]()
        chosen: asyncio.Task[_Reached] | None = None
        try:
            async with time_limit(reach_s):
                waiting: set[asyncio.Task[_Reached]] = set()
                while chosen is None and (left or waiting):
                    if left:
                        greetings.append(asyncio.create_task(self._greet(node, left.pop(0), contexts)))
                        waiting.add(greetings[-1])
                    over, waiting = await asyncio.wait(
                        waiting, timeout=HEAD_START_S if left else None, return_when=asyncio.FIRST_COMPLETED
                    )
                    chosen = _greeted(over, troubles)
        except TimeoutError:
            troubles.append(_NotReached(_SILENT, f"no answer within {reach_s:g} s"))
        finally:
            _end_others(greetings, chosen)
        if chosen is None:
            raise self._unreached(node, min(troubles, key=lambda t: t.rank, default=_NOWHERE))
        return chosen.result()

    def _contexts(self, node: str) -> Contexts | None:
        try:
            return self._credentials.contexts() if self._credentials is not None else None
        except Unusable as unusable:
            raise ApiError(
                ErrorKind.UNREACHABLE,
                f"node {node} was not asked: {unusable}",
                meaning=UNCHANGED,
                remedy="mirrorfarm check says what is wrong with this node's certificate.",
            ) from None

    async def _greet(self, node: str, address: str, contexts: Contexts | None) -> _Reached:
        try:
            connection = await _connected(address, self._port)
        except OSError as error:
            refused = error.errno == errno.ECONNREFUSED
            raise _NotReached(_REFUSED if refused else _AWAY, f"{_words(error)} ({address})") from None
        lines = None
        try:
            lines = SecureLines(connection, contexts, APPLICATION, server=False)
            identity = await lines.shake_hands()
            if contexts is not None and identity is not None:
                _check_identity(identity, contexts.own, node)
            await lines.send(greeting_line(self._greeting))
            greeting = read_greeting(await lines.read_line(MAX_GREETING_BYTES))
            self._check_greeting(greeting, node, address)
        except BaseException as error:
            (lines or connection).close()
            trouble = _why_not_reached(error, contexts is not None)
            if trouble is None:
                raise
            raise trouble from None
        return _Reached(lines, greeting)

    def _check_greeting(self, greeting: Greeting, node: str, address: str) -> None:
        own = self._greeting
        if greeting.cluster != own.cluster:
            raise _NotReached(_WRONG, f"at {address} is cluster {greeting.cluster}, and this is {own.cluster}")
        if greeting.node != node:
            raise _NotReached(_WRONG, f"at {address} is node {greeting.node}")
        if greeting.speaks.agree(own.speaks) is None:
            releases = f"it runs release {greeting.software}, this node {own.software}"
            versions = f"version {greeting.speaks} of the channel, and {own.speaks}"
            raise _NotReached(_WRONG, f"its agent does not understand this one: {releases} ({versions})")

    def _unreached(self, node: str, trouble: _NotReached) -> ApiError:
        meanings = {
            _WRONG: "It was not asked. Nothing was changed.",
            _SILENT: "Its machine is off or frozen, its agent hangs, or the network between drops TCP port "
            f"{self._port}. Nothing was changed.",
            _REFUSED: f"Its machine is there, and no agent listens at TCP port {self._port}. Nothing was changed.",
            _AWAY: "The network does not lead there. Nothing was changed.",
        }
        remedies = {
            _WRONG: "docs/SECURITY.md says what is checked; mirrorfarm check, on both nodes, what is wrong.",
            _SILENT: f"See whether {node} is up, and run the command there.",
            _REFUSED: f"On {node}: /etc/init.d/mirrorfarm-agent start (or systemctl start mirrorfarm-agent). If it "
            "runs, network.agent_port has to be the same on all nodes, and the firewall to let it pass.",
            _AWAY: f"See whether {node} is up, and its network.",
        }
        return ApiError(
            ErrorKind.UNREACHABLE,
            f"node {node}: {trouble.words}.",
            meaning=meanings[trouble.rank],
            remedy=remedies[trouble.rank],
        )

    # From then on

    async def _asked(self, node: str, reached: _Reached, arguments: Any, user: str, report: Report) -> Any:
        call = CALL_OF[type(arguments)]
        try:
            async with time_limit(self._silence_s):
                await reached.lines.send(request_line(_NUMBER, arguments, node, user))
            try:
                return await self._result(call, reached, report)
            except asyncio.CancelledError:
                if not isinstance(arguments, RequestArguments):
                    raise
                return await self._given_up(node, call, reached)
        except TimeoutError:
            raise _broken(node, call, f"it has said nothing for {self._silence_s:g} s") from None
        except EOFError:
            raise _broken(node, call, "it has ended the connection in the midst of its answer") from None
        except (DecodeError, LineTooLong) as error:
            words = str(error) or f"longer than {MAX_ANSWER_BYTES >> 20} MiB"
            raise _broken(node, call, f"its answer is not understood: {words}", self._releases(reached)) from None
        except OSError as error:
            raise _broken(node, call, _words(error)) from None

    async def _given_up(self, node: str, call: str, reached: _Reached) -> Any:
        """Of a request what has become of it is answered, when nobody waits for it any more."""
        reached.lines.end_sending()
        try:
            async with time_limit(self._end_s) as bound:
                return await self._result(call, reached, _unreported)
        except TimeoutError:
            if not bound.expired():
                raise  # It has fallen silent.
            words = f"it was given up, and within {self._end_s:g} s it was not said what has become of it"
            raise _broken(node, call, words) from None

    async def _result(self, call: str, reached: _Reached, report: Report) -> Any:
        while True:
            async with time_limit(self._silence_s):
                line = await reached.lines.read_line(MAX_ANSWER_BYTES)
            answer = read_answer(call, line)
            if answer.alive:
                continue
            if answer.error is not None:
                raise self._of_other(answer.error, reached)
            if answer.progress is None:
                return answer.result
            await report(answer.progress)

    def _of_other(self, error: ApiError, reached: _Reached) -> ApiError:
        """The other agent's error; of what it does not understand, the releases tell more than its own words."""
        other = reached.greeting
        if error.kind is not ErrorKind.BAD_REQUEST:
            return error
        return ApiError(
            error.kind,
            f"node {other.node}: {error.message}",
            meaning=error.meaning or UNCHANGED,
            remedy=f"{self._releases(reached)} Run the command on {other.node}, or install one release on both.",
        )

    def _releases(self, reached: _Reached) -> str:
        other = reached.greeting
        return f"Node {other.node} runs release {other.software}, {self._greeting.node} {self._greeting.software}."


_NOWHERE: Final = _NotReached(_AWAY, "none of its addresses is known")


async def _connected(address: str, port: int) -> socket.socket:
    family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection


def _greeted(over: set[asyncio.Task[_Reached]], troubles: list[_NotReached]) -> asyncio.Task[_Reached] | None:
    """One of those that are over which has reached its node, if any; why others have not is added to ``troubles``."""
    chosen = None
    for one in over:
        error = one.exception()
        if error is None:
            chosen = one
        elif isinstance(error, _NotReached):
            troubles.append(error)
        else:
            raise error
    return chosen


def _end_others(greetings: Sequence[asyncio.Task[_Reached]], chosen: asyncio.Task[_Reached] | None) -> None:
    """Those that are under way close what they have when they are cancelled."""
    for one in greetings:
        if not one.done():
            one.cancel()
        elif not one.cancelled() and one.exception() is None and one is not chosen:
            one.result().lines.close()


def _check_identity(identity: Holder, own: NodeIdentity, node: str) -> None:
    if not isinstance(identity, NodeIdentity):
        raise _NotReached(_WRONG, f"its certificate is an operator's, {identity.operator}, and no node's")
    if not own.is_of_cluster(identity):
        raise _NotReached(_WRONG, f"its certificate is of another cluster, {identity.cluster} ({identity.cluster_id})")
    if identity.node != node:
        raise _NotReached(_WRONG, f"its certificate is that of node {identity.node}")


def _why_not_reached(error: BaseException, secure: bool) -> _NotReached | None:
    """What went wrong between the connection and the greeting; ``None``: nothing of the connection's."""
    if isinstance(error, _NotReached):
        return error
    if isinstance(error, Unsecured):
        hint = f" ({_ONE_MODE})" if error.trouble.kind == "tls_garbage" else ""
        return _NotReached(_WRONG, f"{error.trouble.detail}{hint}")
    if isinstance(error, EOFError | DecodeError | LineTooLong):
        hint = "" if secure else f": it may take TLS only ({_ONE_MODE})"
        return _NotReached(_WRONG, f"it ends the connection, or says something else than who it is{hint}")
    if isinstance(error, OSError):
        return _NotReached(_WRONG if error.errno == errno.EPROTO else _AWAY, _words(error))
    return None


def _broken(node: str, call: str, words: str, remedy: str = "Ask again.") -> ApiError:
    """The request was sent, or may have been."""
    if call not in STEERING:
        return ApiError(ErrorKind.UNREACHABLE, f"node {node}: {words}.", remedy=remedy)
    return ApiError(
        ErrorKind.OUTCOME_UNKNOWN,
        f"node {node}: {words}.",
        meaning=f"What was asked of it ({call}) may have been done, or may still be.",
        remedy="mirrorfarm state and why show how things stand. Then ask again if need be.",
    )


def _words(error: OSError) -> str:
    """The kernel's words of an error, but for those of TLS, which are our own."""
    if error.errno is None or error.errno == errno.EPROTO:
        return error.strerror or str(error) or "the connection broke"
    return os.strerror(error.errno).lower()


async def _unreported(progress: Any) -> None:
    """Nobody listens any more."""
