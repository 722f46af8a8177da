"""The client of an operator with a certificate of his own: asks another node's agent itself, by the agents' channel.

The TLS connection is between this command and that agent. This node's agent is asked for no more than where the other
one is, and whoever lies about that is found out by the certificate at the other end: so a node whose key was stolen
gains nothing by being between. One call, one connection; each wait is bounded.
"""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import manager
from manager.cli.client import AgentClient, GivenUp
from manager.cli.operator_papers import Papers
from manager.model.api import UNCHANGED, ApiError, ErrorKind, NodeInfo, NodeInfoArguments
from manager.model.api_channel import MAX_GREETING_BYTES, READING, Greeting
from manager.model.api_lines import greeting_line, read_greeting
from manager.model.codec import DecodeError
from manager.model.refused_streams import TOLD
from manager.model.versions import CHANNEL
from manager.pki import tls_words
from manager.pki.credentials import shown_identity

REACH_S: Final = 2.0
"""Until one of a node's addresses has said who it is."""
SILENCE_S: Final = 5.0
"""Between two lines of an answer: of a call under way something is heard each second."""
_LOOK_S: Final = 1.0
_TOLD: Final = {
    f"{TOLD}revoked": "says that the certificate of operator {operator} is revoked",
    f"{TOLD}expired": "says that the certificate of operator {operator} is over: or its clock is ahead",
    f"{TOLD}stranger": "says that the certificate of operator {operator} is of another authority than its own",
    f"{TOLD}certificate": "does not take the certificate of operator {operator}: by its clock it may not be good yet",
}
"""What the other end says of this one's certificate, by the kind of its alert."""


class OperatorClient(AgentClient):
    """Asks the agent of one node; of others only where a call says so."""

    def __init__(
        self,
        papers: Papers,
        where: Callable[[str], Sequence[str]],
        port: int,
        node: str,
        on_silence: Callable[[str], None] = lambda words: None,
    ) -> None:
        """``where``: the addresses of a node; ``port``: of all agents; ``on_silence``: as of :class:`AgentClient`."""
        super().__init__("", on_silence, node)
        self._papers = papers
        self._where = where
        self._port = port
        self._asked = node

    def call(
        self,
        arguments: Any,
        *,
        timeout_s: float | None = 30.0,
        on_progress: Callable[[Any], None] | None = None,
        given_up: Callable[[], bool] = lambda: False,
        node: str = "",
    ) -> Any:
        """See :class:`AgentClient`."""
        self._asked = node or self._node
        try:
            return super().call(
                arguments, timeout_s=timeout_s, on_progress=on_progress, given_up=given_up, node=self._asked
            )
        finally:
            self.close()

    def _connect(self, node: str) -> None:
        self.close()
        troubles = []
        for address in self._where(node):
            try:
                self._socket = self._greeted(node, address)
                return
            except _NotReached as trouble:
                troubles.append(trouble)
                if trouble.final:
                    break
        worst = min(troubles, key=lambda t: (not t.final, not t.answers), default=None)
        raise ApiError(
            ErrorKind.UNREACHABLE,
            f"node {node} {worst}." if worst else f"node {node}: none of its addresses is known.",
            meaning=UNCHANGED,
            remedy=worst.remedy if worst else "Name one: --at IP, beside --operator.",
        )

    def _greeted(self, node: str, address: str) -> ssl.SSLSocket:
        try:
            connection = socket.create_connection((address, self._port), REACH_S)
        except OSError as error:
            words = "no answer" if isinstance(error, TimeoutError) else str(error.strerror or error).lower()
            raise _NotReached(
                f"was not reached: {words} ({address}, TCP port {self._port})",
                f"See whether {node} is up and its agent runs, and whether a firewall lets the port pass.",
            ) from None
        secure: socket.socket = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = secure = self._papers.context.wrap_socket(connection)
            self._check(tls, node)
            own = self._papers.identity
            tls.sendall(greeting_line(Greeting(own.cluster, "", manager.__version__, oldest_version=CHANNEL.oldest)))
            greeting = read_greeting(_first_line(tls))
            if greeting.node != node:
                raise _NotReached(f"is not at {address}: {greeting.node} is", _SEE, answers=True)
            if greeting.speaks.agree(CHANNEL) is None:
                raise _NotReached(
                    f"runs release {greeting.software}, this command is of {manager.__version__}: they have no version "
                    f"of the channel in common ({greeting.speaks}, and {CHANNEL})",
                    "Use the command of that release.",
                    answers=True,
                )
        except OSError as error:
            secure.close()
            raise self._unsecured(error) from None
        except DecodeError as error:
            secure.close()
            raise _NotReached(f"says something else than who it is: {error}", _SEE, answers=True) from None
        except BaseException:
            secure.close()
            raise
        return tls

    def _check(self, tls: ssl.SSLSocket, node: str) -> None:
        shown, own = shown_identity(tls), self._papers.identity
        if shown is None:
            raise _NotReached("shows a certificate of no node", _SEE, answers=True)
        if shown.cluster_id != own.cluster_id:
            words = f"shows a certificate of another cluster, {shown.cluster} ({shown.cluster_id})"
            raise _NotReached(words, _SEE, answers=True)
        if shown.node != node:
            raise _NotReached(f"shows the certificate of node {shown.node}", _SEE, answers=True)

    def _unsecured(self, error: OSError) -> "_NotReached":
        """Between the connection and the greeting."""
        if isinstance(error, TimeoutError):
            return _NotReached(f"does not say who it is within {REACH_S:g} s", "Its agent may hang: look there.")
        trouble = tls_words.of_handshake(error, server=False)
        told = _TOLD.get(trouble.kind)
        if told is not None:
            words, name = told.format(operator=self._papers.identity.operator), self._papers.identity.operator
            remedy = (
                f"Where the authority is, mirrorfarm pki show says which of his certificates is good; mirrorfarm pki "
                f"renew --operator {name}, or issue where all are revoked, makes another."
            )
            return _NotReached(words, remedy, answers=True, final=True)
        if trouble.kind == "tls_closed":
            return _NotReached("ends the connection without a word", _NO_WORD, answers=True)
        return _NotReached(f"is not believed: {trouble.detail}", _SEE, answers=True)

    def _more(self, deadline: float | None, given_up: Callable[[], bool]) -> bytes:
        assert self._socket is not None
        silent_at = time.monotonic() + SILENCE_S
        while True:
            if deadline is None and given_up():
                raise GivenUp
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise TimeoutError
            if now >= silent_at:
                raise ConnectionResetError(f"it has said nothing for {SILENCE_S:g} s")
            self._socket.settimeout(min(_LOOK_S, silent_at - now))
            try:
                return self._socket.recv(1 << 16)
            except TimeoutError:
                pass

    def _lost(self, call: str, error: OSError) -> ApiError:
        words = tls_words.of_connection(error) if isinstance(error, ssl.SSLError) else error.strerror or str(error)
        if call in READING:
            return ApiError(ErrorKind.UNREACHABLE, f"node {self._asked}: {words}.", remedy="Ask again.")
        return ApiError(
            ErrorKind.OUTCOME_UNKNOWN,
            f"node {self._asked}: {words}.",
            meaning=f"What was asked of it ({call}) may have been done, in part or as a whole, or may still be.",
            remedy="mirrorfarm state and why show how things stand. Then ask again if need be.",
        )


class _NotReached(Exception):
    """Why an address of a node does not do; what follows the node's name."""

    def __init__(self, words: str, remedy: str, *, answers: bool = False, final: bool = False) -> None:
        """``answers``: somebody is there, so it says more than that another address is silent. ``final``: it is the
        node itself, which would say the same at its other addresses."""
        super().__init__(words)
        self.remedy = remedy
        self.answers = answers
        self.final = final


_SEE: Final = "docs/SECURITY.md says what is checked; mirrorfarm pki show, what there is."
_NO_WORD: Final = (
    "tls.mode may be off there, or its release be older than operators' certificates are; else its agent.log says why, "
    "as channel.refused. The command can be run on that node."
)


def by_agent(client: AgentClient) -> Callable[[str], tuple[str, ...]]:
    """Where nodes are, as this node's agent knows it."""

    def where(node: str) -> tuple[str, ...]:
        try:
            info: NodeInfo = client.call(NodeInfoArguments())
        except ApiError as error:
            raise ApiError(
                error.kind,
                f"Where {node} is, is not known: {error.message}",
                meaning=UNCHANGED,
                remedy="Name an address of it: --at IP, beside --operator.",
            ) from None
        finally:
            client.close()
        at = {one.node: one.addresses for one in info.nodes}
        # An address that this node has as well, as a bridge for containers does on each machine, leads to itself.
        here = () if node == info.node else at.get(info.node, ())
        found = tuple(address for address in at.get(node, ()) if address not in here)
        if not found and node not in info.known:
            raise ApiError(
                ErrorKind.NOT_FOUND,
                f"No node {node} has been heard of in this cluster.",
                meaning=UNCHANGED,
                remedy=f"Its nodes are {', '.join(sorted(info.known))}.",
            )
        return found

    return where


def _first_line(tls: ssl.SSLSocket) -> bytes:
    """Raises OSError, DecodeError: there is none within the time, or none that is no longer than a greeting."""
    end, line = time.monotonic() + REACH_S, bytearray()
    while not line.endswith(b"\n"):
        if len(line) > MAX_GREETING_BYTES:
            raise DecodeError("it is longer than a greeting")
        tls.settimeout(max(0.001, end - time.monotonic()))
        more = tls.recv(MAX_GREETING_BYTES)
        if not more:
            raise ConnectionResetError
        line += more
    return bytes(line)
