"""What the exit code of ``mirrorfarm`` says. Scripts rely on these numbers: they do not change."""

import enum

from manager.model.api import ErrorKind


class ExitCode(enum.IntEnum):
    """Of every command but ``state --quiet``, which gives the state's own number."""

    OK = 0
    FAILED = 1
    """Refused, failed, or found something wrong."""
    USAGE = 2
    """The command line is wrong; nothing was done."""
    UNREACHABLE = 3
    """The agent that was asked did not answer: this node's, or the one that --node names before the command."""
    TIMED_OUT = 4
    """What was asked for stands, and was not done in time."""
    UNKNOWN = 5
    """It is not known whether it was done: etcd, or a node, did not answer."""


STATE_UNKNOWN = 10
"""``state MODULE --quiet``: this node's state is not known, or there is no such module."""

OF_ERROR = {
    ErrorKind.UNREACHABLE: ExitCode.UNREACHABLE,
    ErrorKind.TIMED_OUT: ExitCode.TIMED_OUT,
    ErrorKind.OUTCOME_UNKNOWN: ExitCode.UNKNOWN,
    ErrorKind.UNKNOWN: ExitCode.UNKNOWN,
}
"""Every other kind of error is FAILED."""

EPILOG = """\
exit codes: 0 done; 1 refused, failed or something found; 2 wrong command line; 3 the agent that was asked does not
answer; 4 not done in time; 5 not known whether done. state MODULE --quiet: 0 STOP, 1 WAIT, 2 ALONE or UP, 3 PRIM,
4 SECOND, 10 not known."""
