"""When to look at a module again though nothing has happened: the next instant at which time alone may change it. Pure.

Whoever decides by a limit of time says when that is; here they are only asked. An instant too many costs a look, one
that is left out is a decision that waits for the next event.
"""

from collections.abc import Callable, Iterable

from agent.core import (
    fencing,
    following,
    forcing,
    leaving,
    membership,
    opening,
    patience,
    promising,
    requests,
    serving,
    standing,
)
from agent.core.state import MirrorState

_WHO_DECIDES: tuple[Callable[[MirrorState], Iterable[int]], ...] = (
    requests.instants,
    forcing.instants,
    fencing.instants,
    opening.instants,
    leaving.instants,
    serving.instants,
    membership.instants,
    following.instants,
    standing.instants,
    patience.instants,
)


def wake_ns(state: MirrorState, now_ns: int) -> int | None:
    """The next instant at which time alone may change something; ``None``: no such."""
    at = [*promising.instants(state, now_ns)]
    for instants in _WHO_DECIDES:
        at += instants(state)
    return min([instant_ns for instant_ns in at if instant_ns > now_ns], default=None)
