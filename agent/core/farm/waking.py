"""When to look at a farm module again though nothing has happened. Pure."""

from agent.core.farm import directing, electing, member, promising, requests, spreading, suspecting, transactions
from agent.core.farm.state import FarmState


def wake_ns(state: FarmState, now_ns: int) -> int | None:
    """The next instant at which time alone may change something; ``None``: no such."""
    at = [
        *requests.instants(state),
        *transactions.instants(state),
        *member.instants(state),
        *electing.instants(state),
        *promising.instants(state, now_ns),
        *suspecting.instants(state, now_ns),
        *directing.instants(state, now_ns),
        *spreading.instants(state),
    ]
    return min((instant_ns for instant_ns in at if instant_ns > now_ns), default=None)
