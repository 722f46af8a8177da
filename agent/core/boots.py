"""Whether a node has lost its memory since the in-sync record listed it (S8). Pure.

What was applied and not synced stands in a node's page cache: a reboot loses it, and so does a disk that fails to write
it back. Each such loss without a reboot gives the module another boot id on that node: the kernel's with "+N", N
counting them. So the record, which lists each node with its boot id, tells both.

It does not know how the count is kept (``agent.runtime.memory``), nor what follows from a loss.
"""

from agent.core.view import ModuleView
from manager.model.records import Holder


def after_loss(boot_id: str) -> str:
    """The boot id in effect once memory was lost under ``boot_id`` without a reboot."""
    kernel, losses = parts(boot_id)
    return f"{kernel}+{losses + 1}"


def parts(boot_id: str) -> tuple[str, int]:
    """The kernel's boot id, and how often memory was lost since without a reboot."""
    kernel, _, losses = boot_id.partition("+")
    return kernel, int(losses) if losses.isdecimal() else 0


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
