"""What the other nodes' agents have told of themselves, in an operator's view. Pure.

All of it where etcd does not answer; else what stands in etcd counts, and a node's agent adds the words of what failed.
"""

from collections.abc import Mapping
from dataclasses import replace

from manager.model.api import ModuleView, NodeState, StateResult
from manager.model.reasons import WITH_WORDS

Told = StateResult | str
"""What a node's agent has answered; or why it has not."""


def with_told(module: ModuleView, told: Mapping[str, Told]) -> ModuleView:
    """``module`` with what the nodes in ``told`` say of themselves; of one that says nothing, with why it does not."""
    nodes = (_of(module.name, n, told[n.node]) if n.node in told else n for n in module.nodes)
    return replace(module, nodes=tuple(nodes))


def who_told(module: ModuleView, told: Mapping[str, Told]) -> tuple[str, ...]:
    """The nodes of ``module`` whose own word counts in :func:`with_told`."""
    return tuple(n.node for n in module.nodes if _own_word(module.name, n.node, told.get(n.node, "")) is not None)


def wordless(module: ModuleView, here: str) -> tuple[str, ...]:
    """The other nodes of ``module`` whose agents can add words to why they are what they are; ``here``: this one."""
    return tuple(n.node for n in module.nodes if n.node != here and n.registered and n.reason in WITH_WORDS)


def with_words(module: ModuleView, told: Mapping[str, Told]) -> ModuleView:
    """``module`` with what the nodes in ``told`` say of their causes; of another cause than is known here, nothing."""

    def of(node: NodeState) -> NodeState:
        own = _own_word(module.name, node.node, told.get(node.node, ""))
        return replace(node, detail=own.detail) if own is not None and own.reason == node.reason else node

    return replace(module, nodes=tuple(map(of, module.nodes)))


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
