"""When the table of an address that the farm has no more goes out of etcd. Pure.

A table outlives its director, so that the next one takes it over as it is. One whose address has left the configuration
has no next one; but a changed configuration counts on each node from its own next start there, and until then the
address goes on by the former one, table and all. So a table goes only when nobody can be sharing by it or want it back:

- every node that says anything of the module runs by the newest configuration, and so does every one that is to run
  it. One of these that says nothing, as its agent is away, may go on by a former one: the table waits for it, or
  for an operator who stops the module there;
- nobody directs the address.

All this is guarded by the very keys that say so. It is for the first node that is UP to do; another one that takes
itself for the first does no harm. What this release cannot read stays.
"""

from collections.abc import Iterable

from agent.core.farm import transactions
from agent.core.farm.state import FarmState, Move
from agent.core.farm.transactions import may_commit
from manager.model.farm_resources import generation_in
from manager.model.states import Run


def forget(state: FarmState, now_ns: int) -> Move | None:
    """Delete the table of an address that is no more the module's; one after the other."""
    if not state.is_ready or not state.store_heard or not may_commit(state, now_ns):
        return None
    left = next(iter(left_over(state)), "")
    if not left or not _is_first(state) or not _runs_the_newest(state):
        return None
    return transactions.forget(state, left)


def left_over(state: FarmState) -> Iterable[str]:
    """The addresses that have a table, no director, and no place in this node's configuration."""
    view = state.view
    if view is None:
        return
    for address in sorted(view.slots.keys() - set(state.settings.addresses)):
        is_read = state.settings.keys.director(address) not in view.unreadable
        if is_read and state.slots(address) is not None and state.director(address) is None:
            yield address


def _is_first(state: FarmState) -> bool:
    return next((node for node in state.nodes if state.is_up(node)), "") == state.node


def _runs_the_newest(state: FarmState) -> bool:
    """This node and every other one, by the configuration that etcd has."""
    view, own = state.view, state.settings
    if view is None or view.common.config is None or view.common.config.record.generation != own.generation:
        return False
    common = view.common
    if any(key.startswith((own.keys.member(""), own.keys.desired(""))) for key in common.unreadable):
        return False
    silent = [n for n, d in common.desired.items() if d.run is Run.STARTED and n not in common.members]
    said = (generation_in(seen.record.resources) for seen in common.members.values())
    return not silent and all(generation == own.generation for generation in said)
