"""When a transaction may be sent, and what is remembered of it. Pure."""

from agent.core.copying import replace
from agent.core.state import MirrorState, Move, OpenTxn


def may_commit(state: MirrorState, now_ns: int) -> bool:
    """One at a time, and not at once after one that got no answer."""
    return state.open is None and now_ns >= state.commit_after_ns and state.lease is not None


def commit(state: MirrorState, txn: OpenTxn) -> Move:
    """Send it."""
    return Move(replace(state, open=txn), (txn.commit,))


def instants(state: MirrorState) -> tuple[int, ...]:
    """When time alone may change something of this."""
    return (state.commit_after_ns,)
