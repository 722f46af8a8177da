"""A call of the agent's API goes to the one who answers it: the handler of its name, or another node's agent.

What a handler raises becomes an error in the operator's words here, for whoever asks, by whichever way. It knows no
sockets and decides nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.api_lines import Request
from manager.model.errors import DefiniteFailure, IndefiniteFailure


class Caller(Protocol):
    """Who asks."""

    @property
    def name(self) -> str:
        """For the records."""
        ...


Report = Callable[[Any], Awaitable[None]]
"""Sends one object of progress; returns when the client has taken enough of the former ones."""

Handler = Callable[[Any, Caller, Report], Awaitable[Any]]
"""Takes the arguments of its call; returns its result, or raises :class:`ApiError`."""

Forward = Callable[[str, Any, Caller, Report], Awaitable[Any]]
"""As a handler, of the call on the agent of the node that is named first."""


class Calls:
    """What one agent answers."""

    def __init__(
        self,
        node: str,
        handlers: Mapping[str, Handler],
        on_failure: Callable[[str, Exception], None],
        forward: Forward | None = None,
    ) -> None:
        """Of the agent of ``node``.

        Args:
            node: this one.
            handlers: by the names of the calls.
            on_failure: told the call and the error when a handler raises what no handler should.
            forward: how other nodes are asked; ``None``: a call has come from another node, and goes no further.
        """
        self.node = node
        self._handlers = dict(handlers)
        self._on_failure = on_failure
        self._forward = forward

    async def answer(self, request: Request, arguments: Any, caller: Caller, report: Report) -> Any:
        """The result of a call.

        Raises:
            ApiError: there is none, in the operator's words.
            BrokenPipeError, ConnectionResetError: there is nobody to be told any more.
        """
        try:
            return await self._answer(request, arguments, caller, report)
        except ApiError:
            raise
        except DefiniteFailure as error:
            raise ApiError(
                ErrorKind.STORE_UNREACHABLE, f"etcd did not take it: {error}", meaning=_UNCHANGED, remedy=_CHECK
            ) from error
        except IndefiniteFailure as error:
            raise ApiError(
                ErrorKind.OUTCOME_UNKNOWN, f"etcd did not answer: {error}", meaning=_MAYBE_CHANGED, remedy=_LOOK
            ) from error
        except (BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # the root of a call's task
            self._on_failure(request.call, error)
            raise ApiError(
                ErrorKind.INTERNAL,
                f"The agent met an error of its own: {type(error).__name__}: {error}",
                remedy=_REPORT,
            ) from error

    async def _answer(self, request: Request, arguments: Any, caller: Caller, report: Report) -> Any:
        if request.node not in ("", self.node):
            if self._forward is None:
                raise ApiError(
                    ErrorKind.REFUSED,
                    f"{request.node} was asked, and this is {self.node}: what has come from another node goes no "
                    "further.",
                    meaning=UNCHANGED,
                    remedy="See whether two nodes have one address.",
                )
            return await self._forward(request.node, arguments, caller, report)
        handler = self._handlers.get(request.call)
        if handler is None:
            raise ApiError(ErrorKind.BAD_REQUEST, f"This agent does not answer {request.call!r}.")
        return await handler(arguments, caller, report)


_UNCHANGED = (
    "Nothing was changed. While etcd does not answer, nothing takes over, and a primary that is alone, or whose"
    " secondary is there, goes on."
)
_CHECK = "Run mirrorfarm check: it says which etcd members answer. Then ask again."
_MAYBE_CHANGED = "It may have been done, or may still be; the data is safe either way."
_LOOK = "When etcd answers again, look at mirrorfarm state and ask again if need be."
_REPORT = "See /var/log/mirrorfarm/agent.log, and report it."
