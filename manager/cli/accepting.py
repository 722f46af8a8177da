"""What an operator is shown, and asked, before a copy is made to count by which another one is overwritten.

At the first start, and of a repair, he is asked before the agent is. Else the agent has refused with a reason; some of
them an operator may accept. It is he who knows what the nodes cannot: that the other machine is gone, or which copy is
the newest. Nothing is decided here.
"""

from manager.cli.seat import Seat
from manager.model.api import ApiError, ErrorKind, ModuleView, NodeState
from manager.model.reasons import Reason
from manager.model.states import ModuleKind

_OTHERS = "the other nodes' copies are made equal to the one of {node}."
MAY_LOSE = {
    Reason.REBOOTED_SINCE_LISTED: "Writes that were completed and not fsynced when {node} lost its memory may be "
    f"missing on it. When they come back, {_OTHERS}",
    Reason.STORE_REPLACED: "etcd is another one than before, and does not know which copy is the newest. If it is not "
    f"that of {{node}}, completed writes are lost: {_OTHERS}",
    Reason.STORE_WENT_BACK: "etcd knows less than a disk has seen, and not which copy is the newest. If it is not that "
    f"of {{node}}, completed writes are lost: {_OTHERS}",
}
"""What may be lost, by the reason that an operator may accept."""


_FIRST = (
    "nobody has been told yet which copy counts. From now on that of {node} does: the module's directories on {others} "
    "are made equal to it, and what only {others} has in them is deleted. Nothing of it is kept."
)
_REPAIR = (
    "where the copies differ, that of {node} counts: what {others} has instead is overwritten or deleted. Nothing of "
    "it is kept. If it is the copy of {node} that is wrong: mirrorfarm swap {module}, and then the same on {others}."
)

_ASKED_LATER = frozenset({*MAY_LOSE, Reason.STORE_SETTLING})
"""Without a record, too, an agent that says so refuses until the operator has accepted what may be lost."""


def why_not_first(seat: Seat, view: ModuleView, node: str, yes: str) -> str:
    """Show what naming ``node``'s copy at the very first start does, and have it named; empty: he did, or it is not.

    Args:
        seat: the operator's.
        view: of a module that may have started before, or be no mirror.
        node: whose copy is to count.
        yes: its name, as he has said it on the line; empty: he is asked.
    """
    others = _others(view, node)
    asked = view.on(node)
    if view.kind is ModuleKind.FARM or view.holders is not None or asked is None or not others:
        return ""
    if asked.reason in _ASKED_LATER:
        return ""
    seat.err.print(f"{view.name}: {_FIRST.format(node=node, others=others)}", style="bold red", soft_wrap=True)
    why_not = why_not_named(seat, COUNTS, node, yes)
    return f"{why_not} (--yes {node} does not ask)" if why_not else ""


def why_not_repaired(seat: Seat, view: ModuleView, node: str, *, yes: bool) -> str:
    """Show what a repair by ``node``'s copy does, and have the operator agree; empty: he does. ``yes``: he has."""
    words = _REPAIR.format(node=node, others=_others(view, node), module=view.name)
    seat.err.print(f"{view.name}: {words}", style="bold red", soft_wrap=True)
    agreed = yes or seat.answer("Type yes to repair: ") == "yes"
    return "" if agreed else "it was not agreed to (--yes does not ask)"


def _others(view: ModuleView, node: str) -> str:
    return " and ".join(one.node for one in view.nodes if one.node != node)


def may_be_accepted(error: ApiError) -> bool:
    """Whether ``prim`` was refused for something that an operator may decide."""
    return error.kind is ErrorKind.REFUSED and error.reason in MAY_LOSE


def why_not_accepted(seat: Seat, view: ModuleView, node: str, reason: str, yes: str) -> str:
    """Show what may be lost, and have the operator name ``node``; empty: he did. ``yes``: he has, on the line."""
    seat.err.print(f"{view.name}: {MAY_LOSE[Reason(reason)].format(node=node)}", style="bold red", soft_wrap=True)
    for line in map(copy_words, view.nodes):
        seat.err.print(f"  {line}", soft_wrap=True)
    return why_not_named(seat, COUNTS, node, yes)


OFF, COUNTS = "node that is off", "node whose copy shall count"
_MOST_SHOWN = 64


def why_not_named(seat: Seat, which: str, wanted: str, said: str) -> str:
    """How the operator does not name ``wanted``; empty: he does.

    Args:
        seat: his.
        which: node he is to name, as ``OFF``.
        wanted: its name.
        said: what he has said on the line, and then he is not asked. Whoever ends the question by Ctrl-C or Ctrl-D
            names nobody.
    """
    named = said or seat.answer(f"Type the name of the {which} [{wanted}]: ")
    if named == wanted:
        return ""
    return f"the {which} is {wanted}, not {named[:_MOST_SHOWN]}" if named else f"the {which} was not named"


def copy_words(node: NodeState) -> str:
    """What is known of one node's copy."""
    if node.state is None:
        return f"{node.node}: nothing is known of its copy: its agent is not there"
    if node.disk is None:
        return f"{node.node}: its disk does not say that it has this module's data"
    disk = node.disk
    heard = f" (and has heard of epoch {disk.epoch})" if disk.copy_epoch < disk.epoch else ""
    return f"{node.node}: its copy is of epoch {disk.copy_epoch}{heard}; it has seen revision {disk.revision} of etcd"
