"""Joining and verifying as the runtime sees them: who makes the joiner of a peer, and the receiver of a stream."""

from collections.abc import Callable, Sequence
from typing import Final

from manager.model.control import Event, Verify, VerifyReport
from replicator.copy_ports import Background, Host, Loop
from replicator.disk.volume import Volume
from replicator.join_receiver import JoinReceiver
from replicator.joiner import FullJoiner
from replicator.link import Link
from replicator.peer import Peer, PeerState
from replicator.primary import Primary
from replicator.verifying import Verifier


class Copying:
    """The primary's side, for one epoch. ``events`` gets Progress and VerifyReport."""

    def __init__(
        self,
        loop: Loop,
        volumes: Sequence[Volume],
        background: Background,
        host: Host,
        events: Callable[[Event], None],
    ) -> None:
        self._loop: Final = loop
        self._volumes = tuple(volumes)
        self._background = background
        self._host = host
        self._events = events
        self._verifying = False

    def make_joiner(self, primary: Primary, peer: Peer) -> FullJoiner:
        """A ``replicator.joining.JoinerFactory``."""
        return FullJoiner(
            self._loop,
            primary,
            peer,
            self._volumes,
            self._background,
            self._host,
            lambda: primary.join_point(peer),
            self._events,
        )

    def verify(self, primary: Primary, command: Verify) -> None:
        """Compares with the first complete peer; VerifyReport follows in any case."""
        complete = [p for p in primary.standing if p.state is PeerState.COMPLETE]
        joiner = complete[0].joiner if complete else None
        if self._verifying or not isinstance(joiner, FullJoiner):
            error = "another verification is under way" if self._verifying else "there is no complete secondary"
            self._events(VerifyReport(command.request_id, error, 0, 0, 0, ()))
            return
        self._verifying = True

        def done(report: VerifyReport) -> None:
            self._verifying = False
            self._events(report)

        verifier = Verifier(
            self._loop,
            primary,
            complete[0],
            self._volumes,
            self._background,
            self._host,
            command,
            done,
            self._events,
        )
        joiner.verify(verifier)
        verifier.start()


def copier_factory(volumes: Sequence[Volume], background: Background) -> Callable[[Link], JoinReceiver]:
    """The secondary's side: what makes the copier of a stream that has just been welcomed."""
    return lambda link: JoinReceiver(volumes, link, background)
