"""The boot id in effect of a module on a node: the kernel's, and how often memory was lost since without a reboot (S8).

What was applied and not synced stands in a node's page cache: a reboot loses it, and so does a disk that fails to write
it back. Each such loss gives the module another boot id there: the kernel's with "+N", N counting them. It stands in a
file of the module's run directory, which is empty after a reboot; where it is not, the kernel's part says that the
count is over. The replicator writes it before it tells of a loss, the agent before anything follows from it.
"""

from functools import lru_cache

FILE = "boot_id"
"""Below the module's run directory, beside its replicator's control socket: the boot id in effect, one line."""


def after_loss(boot_id: str) -> str:
    """The boot id in effect once memory was lost under ``boot_id`` without a reboot."""
    kernel, losses = parts(boot_id)
    return f"{kernel}+{losses + 1}"


@lru_cache(maxsize=256)
def parts(boot_id: str) -> tuple[str, int]:
    """The kernel's boot id, and how often memory was lost since without a reboot."""
    kernel, _, losses = boot_id.partition("+")
    return kernel, int(losses) if losses.isdecimal() else 0
