"""What the other nodes' agents have told of themselves, in an operator's view: for when etcd does not answer. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from manager.model.api import ModuleView, NodeState, StateResult

Told = StateResult | str
"""What a node's agent has answered; or why it has not."""


def with_told(module: ModuleView, told: Mapping[str, Told]) -> ModuleView:
    """``module`` with what the nodes in ``told`` say of themselves; of one that says nothing, with why it does not."""
    nodes = (_of(module.name, n, told[n.node]) if n.node in told else n for n in module.nodes)
    return replace(module, nodes=tuple(nodes))


def who_told(module: ModuleView, told: Mapping[str, Told]) -> tuple[str, ...]:
    """The nodes of ``module`` whose own word counts in :func:`with_told`."""
    return tuple(n.node for n in module.nodes if _own_word(module.name, n.node, told.get(n.node, "")) is not None)


def _of(module: str, node: NodeState, told: Told) -> NodeState:
    if isinstance(told, str):
        return replace(node, detail=f"only etcd could tell, and its agent does not: {told}")
    own = _own_word(module, node.node, told)
    return own or replace(node, detail="only etcd could tell: its agent answers, and nothing of it runs there")


def _own_word(module: str, node: str, told: Told) -> NodeState | None:
    if isinstance(told, str):
        return None
    view = next((m for m in told.modules if m.name == module), None)
    state = view.on(node) if view is not None else None
    return state if state is not None and state.state is not None else None
