"""What a replicator says of itself, and of a long piece of work: how far it is, and what has come of it.

These are a part of :mod:`manager.model.control`, and stand by themselves because the operator's calls have them, too:
whoever only asks an agent need not load what an agent and its replicators say to each other.
"""

import enum
from dataclasses import dataclass, field

from manager.model.log_words import LogLevel
from manager.model.refused_streams import RefusedStream


class Scope(enum.StrEnum):
    """How much of both copies a piece of work looks at."""

    UNKNOWN = "unknown"
    EVERYTHING = "everything"
    CHANGES = "changes"
    """What is tracked as what the peer may lack."""


class Stage(enum.StrEnum):
    """Where a piece of work is."""

    UNKNOWN = "unknown"
    COPYING = "copying"
    SYNCING = "syncing"
    """All is at the peer, and is brought to both nodes' disks. It is said once."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long piece of work is (join, verify, set_aside): counted from its beginning."""

    work: str
    peer: str
    entries_done: int
    """Names and attributes examined."""
    bytes_done: int
    """Content examined."""
    bytes_sent: int
    """Content that was lacking."""
    bytes_total: int
    """Content to examine; 0: not known yet."""
    elapsed_ms: int
    scope: Scope = Scope.UNKNOWN
    stage: Stage = Stage.COPYING
    bytes_found: int = 0
    """Content to examine, as far as it was found yet; 0: it is not said."""
    files_done: int = 0
    """Files of which the content was examined."""
    bytes_expected: int = 0
    """An estimate of ``bytes_total``, for as long as that is not known; 0: there is none."""
    entries_expected: int = 0
    """An estimate of the names and attributes to examine; 0: there is none."""
    place: str = ""
    """Of a comparison: where another one could go on; empty: at the beginning."""
    differences: int = 0
    """Of a comparison: how many were found so far."""

    @property
    def bytes_about(self) -> int:
        """Content to examine, as well as it is known; 0: not at all."""
        if self.bytes_total or not self.bytes_expected:
            return self.bytes_total
        return max(self.bytes_expected, self.bytes_found)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which the copies differ."""

    path: str
    what: str
    """``content``, ``mode``, ``owner``, ``mtime``, ``xattr``, ``link``, ``type``, ``missing``, ``extra`` …"""
    here: str
    there: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The outcome of Verify."""

    request_id: str
    error: str
    """Empty when the comparison was carried through."""
    entries: int
    bytes_compared: int
    differences_total: int
    differences: tuple[Difference, ...]
    repairing: bool = False
    """The other node is given up after this, to come back with what is the primary's."""
    repaired_total: int = 0
    """What a comparison before this one found, and was repaired since; the agent adds it."""
    repaired: tuple[Difference, ...] = ()
    place: str = ""
    """Where another comparison can go on with what this one did not come to; empty: at the beginning, or it is all."""


@dataclass(frozen=True, slots=True)
class DiffReport:
    """The answer to Diff: what a resync would look at, at the most; less will be sent."""

    request_id: str
    scope: Scope
    in_sync: bool
    """The other node lacks nothing now: it is what it would be if that were lost at this moment."""
    whole: bool
    """All was looked at; else counts of entries, files and bytes are of what was, until the time for it was over."""
    all_names: bool
    """The entries of every directory, and the attributes of every inode."""
    directories: int
    """Whose entries are to be compared, but for those that are new; 0 where it is all of them."""
    entries: int
    """In them, the new ones included."""
    inodes: int
    """Whose attributes are to be compared, beside those of ``entries`` and ``files``."""
    files: int
    """Whose content in some zones is to be compared; in EVERYTHING all that have any."""
    bytes: int
    """Of it."""
    new_files: int
    """That the other node has nothing of."""
    new_bytes: int
    unfound: int
    """Files and directories that were not found by where they were last known."""
    decided: int = 0
    """The last epoch that an operator began with a copy for which etcd could not vouch (S12): a copy that has only seen
    earlier ones sets aside what it alone has first; 0: there was none. The agent adds it."""


@dataclass(frozen=True, slots=True)
class Status:
    """Counters and gauges, by name; see docs/PROTOCOL.md for each."""

    role: str
    epoch: int
    frozen: bool
    held: bool
    """Completions wait for a record change."""
    peers: dict[str, str] = field(default_factory=dict)
    """Node to ``connecting``, ``joining``, ``complete`` or ``lost``."""
    counters: dict[str, int] = field(default_factory=dict)
    refused: tuple[RefusedStream, ...] | None = None
    """With whom connections come to nothing just now; ``None``: a former release, which does not say."""
    log_level: LogLevel | None = None
    """From which level on it logs; ``None``: likewise, or a word of a later one."""
