"""Begins a verification: finds the peer to compare with, and has its answers come to the verifier.

Where what differs is to be repaired, the peer is given up after it, with that on the list of what it lacks.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from manager.model.control import Event, Verify, VerifyReport
from replicator.core.dirty import Dirty
from replicator.pacing import Bandwidth
from replicator.peer import Peer, PeerState
from replicator.serving import Serving
from replicator.throttle import minute_of_day
from replicator.verification import Verification
from replicator.verifying import Verifier


def begin_verification(serving: Serving, command: Verify, event: Callable[[Event], None]) -> Verification:
    """Compares with the first complete peer; see ``replicator.verification.VerifierFactory``."""
    loop = asyncio.get_running_loop()
    primary = serving.primary
    for peer in primary.standing:
        if peer.state is PeerState.COMPLETE:
            verifier = Verifier(
                loop, primary, peer, primary.volumes, primary.background, serving, command,
                Bandwidth(command.bytes_s, ()), minute_of_day, event, event, partial(_give_up, serving, peer),
            )  # fmt: skip
            peer.ask_by(verifier)
            loop.call_soon(verifier.start)
            return verifier
    report = VerifyReport(command.request_id, "there is no complete secondary to compare with", 0, 0, 0, ())
    loop.call_soon(event, report)
    return _Nothing()


def _give_up(serving: Serving, peer: Peer, dirty: Dirty) -> None:
    """A copy that is known to differ does not hold everything: it leaves the record, and joins again."""
    serving.primary.keeper.differs(dirty, partial(peer.drop, "its copy differs from the primary's"))


class _Nothing:
    """A verification that could not begin."""

    def end(self, reason: str) -> None:
        """It has ended."""

    def stop(self, reason: str) -> None:
        """It has ended."""
