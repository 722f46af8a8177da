"""What the disks of this node vouch for, all of them together (S8).

It reads and writes the identities; whether this node may stand is the agent's decision. A disk that is being brought
in sync vouches for nothing: its marker says so until everything is on it. Nor does one on which something is yet to be
set aside.
"""

from collections.abc import Sequence

from manager.model.records import DiskIdentity
from manager.model.replicator_spec import ReplicatorSpec
from replicator.disk.divergence import is_diverged
from replicator.disk.identity import (
    IdentityUnreadable,
    NotedIdentity,
    changing,
    foreign,
    lowest,
    read_identity,
    write_identity,
)
from replicator.disk.limbo import is_joining, mark_joining
from replicator.disk.volume import Volume


class Vouching:
    """The identities of one module's disks."""

    def __init__(self, volumes: Sequence[Volume], spec: ReplicatorSpec) -> None:
        """Reads nothing yet."""
        self._volumes = volumes
        self._spec = spec

    def identity(self) -> DiskIdentity | None:
        """The lowest vouching; ``None`` when one of them vouches for nothing, or for something else. Raises OSError."""
        return None if self.is_joining() or self.is_diverged() else self._common()

    def _common(self) -> DiskIdentity | None:
        """The lowest, whatever the marks say."""
        return None if self.foreign() else lowest([self._read(volume) for volume in self._volumes])

    def seen_epoch(self) -> int:
        """As :meth:`highest_epoch`; 0 in the middle of a join: then nothing is their own. Raises OSError."""
        return 0 if self.is_joining() else self.highest_epoch()

    def joining_epoch(self) -> int | None:
        """As :meth:`highest_epoch`, where they are in the middle of a join; ``None``: they are not. Raises OSError."""
        return self.highest_epoch() if self.is_joining() else None

    def is_joining(self) -> bool:
        """Whether one of them is in the middle of a join. Raises OSError."""
        return any(is_joining(volume.private_fd) for volume in self._volumes)

    def is_diverged(self) -> bool:
        """Whether one of them has something that is to be set aside first (S12). Raises OSError."""
        return any(is_diverged(volume.private_fd) for volume in self._volumes)

    def is_whole_but_diverged(self) -> bool:
        """As :meth:`is_diverged`, and nothing of their copy was changed yet, or is not there. Raises OSError."""
        return self.is_diverged() and not self.is_joining() and self._common() is not None

    def expect_join(self) -> None:
        """Disks that vouch for nothing go on doing so until a join is through, whatever epoch is noted on them.

        Else an empty directory, as of a disk that is not mounted, would vouch for the epoch that it follows in.
        Nor do those of which one has diverged and another one is new: that is no whole copy to go on with.
        That is on the disks when this returns. Blocks. Raises OSError.
        """
        if not self.is_joining() and self._common() is None:
            for volume in self._volumes:
                mark_joining(volume.private_fd)

    def foreign(self) -> str:
        """Why one is of another cluster, module or node, or cannot be read; empty: all is well. Raises OSError."""
        try:
            identities = [read_identity(volume.root_fd) for volume in self._volumes]
        except IdentityUnreadable as error:
            return str(error)
        return self._foreign(identities)

    def highest_epoch(self) -> int:
        """The highest epoch of this module that one of them has taken part in; 0: none. Raises OSError."""
        known = [self._read(volume) for volume in self._volumes]
        return max((identity.epoch for identity in known if identity is not None), default=0)

    def note_promotion(self, epoch: int, revision: int, store_id: str) -> None:
        """As :meth:`note`, with the revision as it is told, be it lower: it is that of the promotion itself.

        Else a node that an operator let stand in a store with a lower revision would have to be let again and again.
        """
        self._put(epoch, revision, store_id or self._known_store(), whole=True)

    def note(self, epoch: int, revision: int, store_id: str = "") -> None:
        """Puts this on every disk; it is there when this returns. Blocks. Raises OSError.

        Epoch and revision only rise; but revisions of two stores cannot be compared, so with another id of the store
        the revision is the new one's. An empty id is not known: the one that is there stays.
        """
        known = [identity for volume in self._volumes if (identity := self._read(volume)) is not None]
        store = store_id or self._known_store()
        same = [identity.revision for identity in known if identity.store_id in ("", store)]
        self._put(epoch, max(revision, *same) if same else revision, store)

    def note_revision(self, revision: int) -> None:
        """As :meth:`note`, of the epoch and the store that are there. Blocks. Raises OSError."""
        self.note(self.highest_epoch(), revision)

    def _put(self, epoch: int, revision: int, store_id: str, *, whole: bool = False) -> None:
        epoch = max(epoch, self.highest_epoch())
        for volume in self._volumes:
            with changing:
                known = self._read(volume)
                had = 0 if known is None else known.whole_epoch
                identity = NotedIdentity(
                    cluster_id=self._spec.cluster_id,
                    module_id=self._spec.module_id,
                    epoch=epoch,
                    revision=revision,
                    store_id=store_id,
                    whole_epoch=epoch if whole else had,
                    node=self._spec.node,
                )
                if known != identity:
                    write_identity(volume.root_fd, identity)

    def _known_store(self) -> str:
        """The id of the store that is on the disks; empty: none."""
        known = [identity for volume in self._volumes if (identity := self._read(volume)) is not None]
        return max(known, key=lambda identity: identity.epoch).store_id if known else ""

    def _foreign(self, identities: Sequence[NotedIdentity | None]) -> str:
        return foreign(identities, self._spec.cluster_id, self._spec.module_id, self._spec.node)

    def _read(self, volume: Volume) -> NotedIdentity | None:
        """Ours, or ``None``."""
        try:
            identity = read_identity(volume.root_fd)
        except IdentityUnreadable:
            return None
        if identity is None or self._foreign([identity]):
            return None
        return identity
