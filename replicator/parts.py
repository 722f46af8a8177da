"""What one module's replicator is made of, whatever role it is in, put together. It decides nothing."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from manager.model.control import Event
from manager.model.node_identity import NodeIdentity
from manager.model.replicator_spec import ReplicatorSpec
from manager.pki.credentials import Credentials
from replicator.applier import Copier
from replicator.asides import Asides
from replicator.background import Background
from replicator.disk.volume import Volume
from replicator.disk_notes import DiskNotes
from replicator.leftovers import Leftovers
from replicator.link import Link
from replicator.memory_loss import MemoryLoss
from replicator.refusals import Refusals
from replicator.secondary import Secondary
from replicator.securing import APPLICATION
from replicator.vouching import Vouching

CopierFactory = Callable[[Sequence[Volume], Link, Background], Copier]
"""What takes a join on a link."""


@dataclass(frozen=True, slots=True)
class Parts:
    """They live as long as the process."""

    loop: asyncio.AbstractEventLoop
    spec: ReplicatorSpec
    instance: str
    """Tells this process from every other one."""
    volumes: Sequence[Volume]
    log: Any
    """structlog's."""
    event: Callable[[Event], None]
    """Tells the agent."""
    background: Background
    vouching: Vouching
    notes: DiskNotes
    asides: Asides
    memory: MemoryLoss
    credentials: Credentials | None
    """``None``: the stream is in plain."""
    refusals: Refusals
    secondary: Secondary


def parts_of(
    loop: asyncio.AbstractEventLoop,
    spec: ReplicatorSpec,
    volumes: Sequence[Volume],
    log: Any,
    event: Callable[[Event], None],
    make_copier: CopierFactory,
) -> Parts:
    """Nothing is opened."""
    instance = secrets.token_hex(8)
    background = Background(loop)
    vouching = Vouching(volumes, spec)
    notes = DiskNotes(volumes, spec.peers, log.warning)
    credentials = _credentials(spec, log) if spec.tls_directory else None
    refusals = Refusals(peer_timeout_s=spec.peer_timeout_ms / 1000)
    asides = Asides(
        loop, volumes, spec, background, vouching, event, lambda reason: secondary.end_diverged(reason)
    )  # fmt: skip
    secondary = Secondary(
        loop,
        volumes,
        spec,
        instance,
        background,
        event,
        lambda link: make_copier(volumes, link, background),
        lambda address, reason: log.warning("stream.refused", address=address, reason=reason),
        notes.new_tracker(),
        notes.list,
        asides,
        vouching,
        Leftovers(volumes, background, log.warning),
        credentials,
        refusals,
    )
    return Parts(
        loop=loop,
        spec=spec,
        instance=instance,
        volumes=volumes,
        log=log,
        event=event,
        background=background,
        vouching=vouching,
        notes=notes,
        asides=asides,
        memory=MemoryLoss(spec, volumes),
        credentials=credentials,
        refusals=refusals,
        secondary=secondary,
    )


def _credentials(spec: ReplicatorSpec, log: Any) -> Credentials:
    def taken(identity: NodeIdentity) -> None:
        log.info("tls.files_taken", directory=spec.tls_directory, identity=identity.uri)

    def refused(why: str, former: bool) -> None:
        means = "the former ones stay in use" if former else "there is no stream until they are good"
        log.error("tls.files_refused", reason=why, means=means)

    return Credentials(spec.tls_directory, spec.node, APPLICATION, taken, refused)
