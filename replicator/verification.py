"""A comparison of both copies, as the runtime begins and ends it; how it compares is ``replicator.verifying``'s."""

from collections.abc import Callable
from typing import Protocol

from manager.model.control import Event, Verify
from replicator.serving import Serving


class Verification(Protocol):
    """One that is under way. All calls are on the loop."""

    def end(self, reason: str) -> None:
        """The role ends: it is given up, and reports what it has with ``reason`` as its error."""
        ...

    def stop(self, reason: str) -> None:
        """It reports as with :meth:`end`, once what it has asked of the peer is answered."""
        ...


VerifierFactory = Callable[[Serving, Verify, Callable[[Event], None]], Verification]
"""Begins a comparison with the peer that is complete. Progress and, once, VerifyReport go to the last argument, never
before the factory has returned; without a complete peer the report has an error. File systems, with their contexts,
are ``Serving.file_systems``; answers of the peer come to its joiner (``Peer.joiner``)."""
