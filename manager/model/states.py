"""The states that operators see. The words are SafeKit's, which this field's operators know."""

import enum


class ModuleKind(enum.StrEnum):
    """What a module does with its application."""

    MIRROR = "mirror"
    FARM = "farm"


class ModuleState(enum.StrEnum):
    """The state of one module on one node."""

    STOP = "STOP"
    WAIT = "WAIT"
    ALONE = "ALONE"
    """Primary without a secondary: there is one copy of the data."""
    PRIM = "PRIM"
    SECOND = "SECOND"
    UP = "UP"

    @property
    def exit_code(self) -> int:
        """The exit code of ``mirrorfarm state MODULE --quiet`` (SafeKit's numbers)."""
        return {"STOP": 0, "WAIT": 1, "ALONE": 2, "UP": 2, "PRIM": 3, "SECOND": 4}[self.value]

    @property
    def is_primary(self) -> bool:
        """Whether the application of a mirror runs here."""
        return self in (ModuleState.ALONE, ModuleState.PRIM)


class Readiness(enum.StrEnum):
    """Whether a state is at rest (ready), on its way (transient) or cannot go on (blocked)."""

    BLOCKED = "blocked"
    TRANSIENT = "transient"
    READY = "ready"


class Setting(enum.StrEnum):
    """Of a switch."""

    ON = "on"
    OFF = "off"
    PREV = "prev"
    """As it was: of a start at boot alone."""


class Run(enum.StrEnum):
    """What the operator wants of a module on a node."""

    STARTED = "started"
    STOPPED = "stopped"
