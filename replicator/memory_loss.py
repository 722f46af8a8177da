"""Notes for whatever agent comes next that what this node had in memory only may be gone (``manager.model.boots``, S8).

The agent notes it too when it is told. But it may be dead, and the next one may end this process without hearing it.
"""

import os

from manager.model.boots import FILE, after_loss
from manager.model.control import ReplicatorSpec


def note_loss(spec: ReplicatorSpec) -> None:
    """The module has another boot id on this node from now on. Raises OSError."""
    path = os.path.join(os.path.dirname(spec.control_socket), FILE)
    with open(f"{path}.lost", "w", encoding="utf-8") as file:
        file.write(f"{after_loss(spec.boot_id)}\n")
    os.replace(f"{path}.lost", path)
