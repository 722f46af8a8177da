"""The lines of the agent's local socket and of the agents' channel: how a call, its progress and its end travel.

One JSON object a line over a stream. The client sends a :class:`Request`; the agent sends any number of
``{"id": n, "progress": {...}}`` and then one ``{"id": n, "result": {...}}`` or ``{"id": n, "error": {...}}``. The
ids are the client's own. A client that closes its connection, or its sending half, gives up what it still waits for:
an operator's request that nobody has taken up is withdrawn, a comparison ends, all else that it has asked for stands.
What has become of a request is answered while the other half is open. What may be called is told by
``manager.model.api_calls``.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from manager.model.api import ApiError, ErrorKind
from manager.model.api_calls import CALL_OF, CALLS, PROGRESS
from manager.model.api_channel import Greeting
from manager.model.codec import DecodeError, from_plain, to_plain, told_from_plain

MAX_REQUEST_BYTES = 4 << 20
"""A longer line ends the connection. A module has at most 512 KiB, and JSON's escapes make at most six of each byte."""

MAX_ANSWER_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An :class:`ApiError` on the wire."""

    kind: ErrorKind
    message: str
    meaning: str = ""
    remedy: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One line from the client."""

    id: int
    call: str
    """Where a node is named, ``at:`` stands before it: an agent of a release that hands nothing on ignores the node,
    and must not take the call for one to itself."""
    arguments: dict[str, Any] = field(default_factory=dict)
    node: str = ""
    """Whose agent is asked; empty: the one that reads this. The local socket hands the call on to that node's."""
    user: str = ""
    """On the agents' channel: who has asked the agent that hands it on. On the local socket the kernel says it."""


def request_line(number: int, arguments: Any, node: str = "", user: str = "") -> bytes:
    """The line that makes the call of which ``arguments`` are the arguments."""
    call = f"{_AT if node else ''}{CALL_OF[type(arguments)]}"
    return _line({"id": number, "call": call, "arguments": to_plain(arguments), "node": node, "user": user})


def greeting_line(greeting: Greeting) -> bytes:
    """What an agent says first on the agents' channel."""
    return _line(to_plain(greeting))


def read_greeting(line: bytes) -> Greeting:
    """What an agent has said first.

    Raises:
        DecodeError: it is no greeting.
    """
    return from_plain(Greeting, _plain(line))


def alive_line(number: int) -> bytes:
    """On the agents' channel: the call is under way."""
    return _line({"id": number, "alive": True})


def progress_line(number: int, progress: Any) -> bytes:
    """A line of progress."""
    return _line({"id": number, "progress": to_plain(progress)})


def result_line(number: int, result: Any) -> bytes:
    """The line that ends a call well."""
    return _line({"id": number, "result": to_plain(result)})


def error_line(number: int, error: ApiError) -> bytes:
    """The line that ends a call otherwise."""
    answer = ErrorAnswer(error.kind, error.message, error.meaning, error.remedy, error.reason)
    return _line({"id": number, "error": to_plain(answer)})


def read_request(line: bytes) -> tuple[Request, Any]:
    """The request in ``line``, with the name of its call alone, and its arguments.

    Raises:
        ApiError: ``bad_request``; the message says what is wrong.
    """
    try:
        request = from_plain(Request, _plain(line))
        if request.node:
            if not request.call.startswith(_AT):
                raise DecodeError(f"call {request.call!r} at node {request.node}: {_AT!r} is expected before it")
            request = replace(request, call=request.call.removeprefix(_AT))
        kinds = CALLS.get(request.call)
        if kinds is None:
            raise DecodeError(f"unknown call {request.call!r}; known: {', '.join(CALLS)}")
        return request, from_plain(kinds[0], request.arguments)
    except DecodeError as error:
        raise ApiError(
            ErrorKind.BAD_REQUEST, f"The agent does not understand the request: {error}", remedy=_SAME_VERSION
        ) from None


def request_id_of(line: bytes) -> int:
    """The id in a line that may be no request at all; 0 when there is none."""
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError):
        return 0
    number = plain.get("id", 0) if isinstance(plain, dict) else 0
    return number if type(number) is int else 0


@dataclass(frozen=True, slots=True)
class Answer:
    """One line from the agent: exactly one of the four."""

    id: int
    progress: Any = None
    result: Any = None
    error: ApiError | None = None
    alive: bool = False
    """On the agents' channel: no more than that the call is under way."""


def read_answer(call: str, line: bytes) -> Answer:
    """The answer to ``call`` in ``line``.

    Raises:
        DecodeError: it is none.
    """
    plain = _plain(line)
    if not isinstance(plain, dict) or type(plain.get("id")) is not int:
        raise DecodeError(f"answer to {call}: an object with a whole 'id' is expected")
    number = plain["id"]
    if "error" in plain:
        error = told_from_plain(ErrorAnswer, plain["error"])
        return Answer(
            number,
            error=ApiError(error.kind, error.message, meaning=error.meaning, remedy=error.remedy, reason=error.reason),
        )
    if "result" in plain:
        return Answer(number, result=told_from_plain(CALLS[call][1], plain["result"]))
    if "progress" in plain and call in PROGRESS:
        return Answer(number, progress=told_from_plain(PROGRESS[call], plain["progress"]))
    if plain.get("alive") is True:
        return Answer(number, alive=True)
    raise DecodeError(f"answer to {call}: neither progress, nor result, nor error")


_AT = "at:"
_SAME_VERSION = "Use the mirrorfarm command of the agent's own version on this node."


def _line(plain: dict[str, Any]) -> bytes:
    # ASCII: a path that is not UTF-8 holds lone surrogates, which only the escaped form carries through.
    return json.dumps(plain).encode("ascii") + b"\n"


def _plain(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"not JSON: {error}") from None
