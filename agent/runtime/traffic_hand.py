"""Opens and closes this node's traffic of a farm, as the application's scripts ask for it by the local socket.

What it was switched to last is noted for the agent that finds the application running; each start of the application
begins with closed traffic. What comes of it is the core's to say.
"""

import contextlib
import os
from collections.abc import Callable

import structlog

from agent.core.farm.events import TrafficSwitched
from agent.core.farm.state import FarmState
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.errors import DefiniteFailure


class TrafficHand:
    """Of one farm module."""

    def __init__(self, note: str, give: Callable[[TrafficSwitched], None]) -> None:
        """``note``: a file that is there while traffic is open."""
        self._note = note
        self._give = give
        self._log = structlog.get_logger()

    @property
    def was_open(self) -> bool:
        """As it was noted last, by a former agent too."""
        return os.path.exists(self._note)

    def switch(self, state: FarmState, by: str, *, is_open: bool) -> bool:
        """Noted first, so that an agent that follows this one goes by it; whether it is another state than before.

        ``by``: who asks, for people.

        Raises:
            ApiError: the scripts have no say in that, the application does not run here, or it cannot be noted.
        """
        module = state.settings.module
        if not state.settings.script_traffic:
            raise ApiError(
                ErrorKind.REFUSED,
                f"{module} runs here by a configuration that opens its traffic once the application has been started.",
                meaning=UNCHANGED,
                remedy='traffic = "script" in its module.toml has its scripts open it, from the next start on. To keep '
                f"what begins off a node: mirrorfarm farm drain {module} NODE",
            )
        if is_open and not state.may_open:
            raise ApiError(
                ErrorKind.REFUSED,
                f"The application of {module} does not run on {state.node}: its traffic is closed.",
                meaning=f"{UNCHANGED} Each start of the application begins with closed traffic.",
                remedy=f"Open it once the application runs: mirrorfarm why {module} says what keeps it.",
            )
        try:
            self._write(is_open=is_open)
        except DefiniteFailure as failure:
            raise ApiError(
                ErrorKind.FAILED,
                str(failure),
                meaning=UNCHANGED,
                remedy=f"See that {os.path.dirname(self._note)} can be written, and ask again.",
            ) from None
        changed = state.traffic_open != is_open
        if changed:
            self._log.info("traffic.switched", module=module, is_open=is_open, by=by)
        self._give(TrafficSwitched(is_open, by))
        return changed

    def forget(self) -> None:
        """The application is started: what was noted counts no more.

        Raises:
            DefiniteFailure: the next agent would go by it.
        """
        self._write(is_open=False)

    def _write(self, *, is_open: bool) -> None:
        try:
            if is_open:
                os.makedirs(os.path.dirname(self._note), mode=0o700, exist_ok=True)
                os.close(os.open(self._note, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._note)
        except OSError as error:
            raise DefiniteFailure(f"noting in {self._note} whether traffic is open: {error}") from None
