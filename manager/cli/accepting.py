"""What an operator is shown, and asked, before a copy is made primary that would not become it by itself.

The agent has refused with a reason; some of them an operator may accept. It is he who knows what the nodes cannot: that
the other machine is gone, or which copy is the newest. Nothing is decided here.
"""

from manager.cli.seat import Seat
from manager.model.api import ApiError, ErrorKind, ModuleView, NodeState
from manager.model.reasons import Reason

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
    named = said
    if not named:
        try:
            named = seat.ask(f"Type the name of the {which} [{wanted}]: ").strip()
        except (EOFError, KeyboardInterrupt):
            named = ""
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
