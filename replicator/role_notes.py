"""What the disks note before this node takes a role, or goes on without the other one (S8, S12, R).

The order is the contract, step by step: a power loss between two of them leaves disks that claim too little, never too
much. Why a role is refused by what the disks say is told here too; which role is taken is the agent's decision.
"""

from collections.abc import Sequence

from manager.model.control import Follow, Serve
from replicator.asides import Asides
from replicator.core.tracking import Tracker
from replicator.disk.divergence import unmark_diverged
from replicator.disk.volume import Volume
from replicator.disk_notes import DiskNotes
from replicator.vouching import Vouching


class RoleNotes:
    """Of one module's disks. All of it blocks, and raises OSError; what takes a role is for any thread."""

    def __init__(self, volumes: Sequence[Volume], vouching: Vouching, notes: DiskNotes, asides: Asides) -> None:
        """Reads nothing yet."""
        self._volumes = volumes
        self._vouching = vouching
        self._notes = notes
        self._asides = asides

    # A primary

    def why_not_serve(self, command: Serve, *, idle: bool) -> str:
        """What is against it; empty: nothing. ``idle``: this process is in no role now."""
        seen = self._vouching.highest_epoch()
        if command.epoch <= seen:
            return f"the disk has taken part in epoch {seen}, {command.epoch} is not new"
        foreign = self._vouching.foreign()
        if foreign:  # A role would put this cluster's identity over that of another.
            return foreign
        if self._vouching.is_joining():
            return "a join of the disk did not come to its end: it vouches for nothing"
        if self._vouching.is_diverged() and not idle:
            return "what it did alone was not set aside yet, and this process may be at that"
        return ""

    def serve(self, command: Serve) -> Tracker:
        """This node goes on without the other one, in that epoch; what the other one may lack."""
        self._vouching.note_promotion(command.epoch, command.revision, command.store_id)
        for volume in self._volumes:  # An operator had it go on before anything of it was set aside, or changed (S12).
            unmark_diverged(volume.private_fd)
        return self._notes.go_alone(with_list=not command.decided)

    def go_on(self, revision: int, *, alone: bool, takes_out: bool) -> None:
        """Nothing is released before: ``alone``, nobody else has what comes; ``takes_out``, the record names one less.

        Else a store that was restored from before that would be believed when it lists the node again (S8).
        """
        if alone:
            self._notes.clear_base()
        if takes_out:
            self._vouching.note_revision(revision)

    # A secondary

    def why_not_follow(self, command: Follow) -> str:
        """What is against it; empty: nothing."""
        seen = self._vouching.highest_epoch()
        if command.epoch < seen:
            return f"the disk has taken part in epoch {seen}, {command.epoch} is older"
        return self._vouching.foreign()

    def follow(self, command: Follow) -> tuple[str, ...]:
        """What this copy may be used for, then the epoch. The bases that it is of."""
        self._asides.prepare(command.diverged)
        if self._asides.diverged:
            self._notes.clear_base()  # it is of no join any more, if it ever was
        self._vouching.expect_join()
        self._vouching.note(command.epoch, command.revision, command.store_id)
        return self._notes.read_bases()
