"""What a node waits for while a module that its module depends on serves nowhere, in words."""

from manager.cli.sentences import Sentence
from manager.model.api import NodeState
from manager.model.reasons import Reason
from manager.model.resources import waited_in


def waited_sentence(node: NodeState) -> Sentence | None:
    """Which modules ``node`` waits for, and what to do; ``None``: it does not, or does not say for which."""
    modules = waited_in(node.resources) if node.reason == Reason.WAITING_FOR_MODULE else ()
    if not modules:
        return None
    serve, it = ("serves", "it") if len(modules) == 1 else ("serve", "they")
    asked = " and ".join(f"mirrorfarm why {module}" for module in modules)
    return Sentence(
        f"Its application is started once {' and '.join(modules)} {serve}.",
        f"Nothing, if {it} will in a moment: then this node goes on by itself. Else {asked} says what is missing.",
    )
