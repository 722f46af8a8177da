"""The errors of Mirrorfarm, split by who is at fault and by what is known of the outcome."""


class MirrorfarmError(Exception):
    """Root of all errors that Mirrorfarm raises on purpose."""


class ConfigError(MirrorfarmError):
    """A configuration is wrong. The message names file, key, what was found and what is allowed."""


class PeerProtocolError(MirrorfarmError):
    """The other end of a stream or socket sent what the protocol does not allow."""


class DefiniteFailure(MirrorfarmError):
    """The request was not executed, and never will be."""


class IndefiniteFailure(MirrorfarmError):
    """The request may have been executed, or may still be executed later (S6)."""


class InvariantViolated(MirrorfarmError):
    """Something that must never happen has happened: the process ends."""
