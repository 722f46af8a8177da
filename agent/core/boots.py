"""Whether a node has lost its memory since the in-sync record listed it (S8). Pure.

The record lists each node with its boot id in effect (``manager.model.boots``), which tells reboots and other losses.
It does not know what follows from a loss.
"""

from agent.core.view import ModuleView
from manager.model.boots import parts
from manager.model.records import Holder


def has_lost_memory(view: ModuleView | None, holder: Holder) -> bool | None:
    """Whether the node of ``holder`` has lost its memory since it was listed; ``None``: it is not registered.

    Its registration tells the kernel's boot id only; its member record, where it has one, tells the module's as well.
    One with fewer losses than were listed is an old one.
    """
    registered = None if view is None else view.nodes.get(holder.node)
    if view is None or registered is None:
        return None
    kernel, losses = parts(holder.boot_id)
    if parts(registered.record.boot_id)[0] != kernel:
        return True
    member = view.member(holder.node)
    if member is None:
        return False
    own_kernel, own_losses = parts(member.boot_id)
    return own_kernel == kernel and own_losses > losses
