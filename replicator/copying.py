"""Begins a verification: finds the peer to compare with, and has its answers come to the verifier."""

import asyncio
from collections.abc import Callable

from manager.model.control import Event, Verify, VerifyReport
from replicator.joiner import FullJoiner
from replicator.peer import PeerState
from replicator.serving import Serving
from replicator.verification import Verification
from replicator.verifying import Verifier


def begin_verification(serving: Serving, command: Verify, event: Callable[[Event], None]) -> Verification:
    """Compares with the first complete peer; see ``replicator.verification.VerifierFactory``."""
    loop = asyncio.get_running_loop()
    primary = serving.primary
    for peer in primary.standing:
        joiner = peer.joiner
        if peer.state is PeerState.COMPLETE and isinstance(joiner, FullJoiner):
            verifier = Verifier(
                loop, primary, peer, primary.volumes, primary.background, serving, command, event, event
            )
            joiner.verify(verifier)
            loop.call_soon(verifier.start)
            return verifier
    report = VerifyReport(command.request_id, "there is no complete secondary to compare with", 0, 0, 0, ())
    loop.call_soon(event, report)
    return _Nothing()


class _Nothing:
    """A verification that could not begin."""

    def end(self, reason: str) -> None:
        """It has ended."""
