"""What follows here when what this node had in memory only may be gone (``manager.model.boots``, S8).

From then on the page caches are not trusted, and it is noted for whatever agent comes next. The agent notes it too when
it is told. But it may be dead, and the next one may end this process without hearing it.
"""

import os
from collections.abc import Sequence

from manager.model.boots import FILE, after_loss, parts
from manager.model.replicator_spec import ReplicatorSpec
from replicator.disk.volume import Volume


class MemoryLoss:
    """Of one module on this node."""

    def __init__(self, spec: ReplicatorSpec, volumes: Sequence[Volume]) -> None:
        """Trusts the caches, unless a former process of this boot has noted a loss."""
        self._spec = spec
        self._volumes = volumes
        self._noted = False
        if parts(spec.boot_id)[1]:
            self.distrust()

    @property
    def is_noted(self) -> bool:
        """Whether this very process has lost it: its agent ends it, and asks another one."""
        return self._noted

    def distrust(self) -> None:
        """A join has to compare what is on the disks."""
        for volume in self._volumes:
            volume.memory_lost = True

    def note(self) -> None:
        """The module has another boot id on this node from now on. Raises OSError.

        Once in this process: the agent, when it hears of it, counts what comes after.
        """
        if self._noted:
            return
        self._noted = True
        path = os.path.join(os.path.dirname(self._spec.control_socket), FILE)
        with open(f"{path}.lost", "w", encoding="utf-8") as file:
            file.write(f"{after_loss(self._spec.boot_id)}\n")
        os.replace(f"{path}.lost", path)
