"""Two nodes beside each other: owners by name, file systems, disks, the way between them, clocks, kernels, versions.

Pure: ``manager/cli/checks/pair_probe.py`` asks the agents. What one does not know is "unknown", and not in order.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from manager.cli.checks import machine
from manager.cli.checks.finding import Finding, Level, error, note, ok, unknown, warning
from manager.cli.checks.pair_owners import owners
from manager.model.api_check import CheckFacts, DirectoryFacts

SLOW_ROUND_TRIP_US: Final = 3_000
SLOW_FSYNC_US: Final = 20_000
CLOCK_NOTE_MS: Final = 1_000
CLOCK_WARNING_MS: Final = 60_000
"""A certificate that was just issued may not be good yet on the other node."""
_LIKE: Final = 0.9
"""Of two sizes that count as the same."""
_ASK_AGAIN: Final = (
    "Ask again. One that does not answer has a disk that hangs, or a replicator: see dmesg and mirrorfarm why."
)


@dataclass(frozen=True, slots=True)
class Clocks:
    """How far the other node's clock is ahead of this one's, in milliseconds, and how well that is known."""

    ahead_ms: int
    within_ms: int


@dataclass(frozen=True, slots=True)
class Pair:
    """What both nodes have said."""

    here: CheckFacts
    """With what the other one's owners are here."""
    there: CheckFacts
    """With what this one's are there."""
    round_trip_us: int | None
    """``None``: see ``unmeasured``."""
    unmeasured: str
    """Why the round trip is not known; empty: it is."""
    clocks: Clocks


def not_answered(node: str, reason: str, remedy: str) -> Finding:
    """Nothing is known of ``node``."""
    says = (
        f"Not known: {reason} Whether the owners of files, file systems, disks, clock, kernel and versions of {node} "
        "suit this node was not looked at."
    )
    return unknown(f"pair with {node}", says, remedy)


def pair(both: Pair) -> Iterator[Finding]:
    """Everything about two nodes."""
    here, there = both.here, both.there
    common = list(_common(here.directories, there.directories))
    yield from owners(here, there, common)
    for mine, other in _mirrored(here, there):
        yield from _directory(mine, other, there.node)
    yield from _round_trip(both, sorted({mine.module for mine, _ in common}))
    yield _clock(there.node, both.clocks)
    yield from _kernel(here, there)
    yield from _versions(here, there)


def disks(facts: CheckFacts) -> Iterator[Finding]:
    """How fast the disks of one node are."""
    for directory in facts.directories:
        subject = f"disk of {facts.node}: {directory.path}"
        if directory.fsync_us is None:
            says = f"How long an fsync takes is not known: {directory.problem or 'it was not timed'}."
            yield unknown(subject, says, _ASK_AGAIN)
            continue
        says = f"An fsync of 4 KiB takes {_ms(directory.fsync_us)} (the median of {directory.fsyncs})"
        if directory.fsync_us < SLOW_FSYNC_US:
            yield ok(subject, f"{says[0].lower()}{says[1:]}")
            continue
        yield warning(
            subject,
            f"{says}: while both copies are there, each fsync of {directory.module} waits for the slower of both "
            f"disks, so that one that syncs each write gets at most {1_000_000 // directory.fsync_us} in a second.",
            "See what else writes to that disk, and whether the cache of its controller is on (and has a battery); or "
            "use a faster one.",
        )


def _common(
    here: Sequence[DirectoryFacts], there: Sequence[DirectoryFacts]
) -> Iterator[tuple[DirectoryFacts, DirectoryFacts]]:
    known = {(d.module, d.path): d for d in there}
    return ((d, known[d.module, d.path]) for d in here if (d.module, d.path) in known)


def _mirrored(here: CheckFacts, there: CheckFacts) -> Iterator[tuple[DirectoryFacts, DirectoryFacts | None]]:
    """This node's directories that the other one has too, or should."""
    known = {(d.module, d.path): d for d in there.directories}
    return ((d, known.get((d.module, d.path))) for d in here.directories if there.node in d.nodes)


def _directory(here: DirectoryFacts, there: DirectoryFacts | None, node: str) -> Iterator[Finding]:
    subject = f"{here.module}: {here.path} on {node}"
    if there is None:
        yield unknown(subject, f"The agent of {node} knows no such directory.", f"mirrorfarm check on {node} says why.")
        return
    if there.owners is None:
        yield unknown(
            subject,
            f"It was not looked at: {there.problem or 'not known why'}.",
            f"On {node}: mirrorfarm check; where it is missing, mkdir -p {here.path}",
        )
        return
    bad = [
        *_attributes(here, there, subject, node),
        *_types(here, there, subject),
        *_space(here, there, subject, node),
    ]
    yield from bad
    for facts, whose in ((there, f"of {node}"), (here, "of this node")):
        if facts.total_bytes is None:
            yield unknown(subject, f"Not all {whose} was looked at: {facts.problem or 'not known why'}.", _ASK_AGAIN)
            return
    if not bad:
        yield ok(subject, f"there, on {there.file_system or 'a file system of a type that is not known'}")


def _types(here: DirectoryFacts, there: DirectoryFacts, subject: str) -> Iterator[Finding]:
    kinds = (here.file_system, there.file_system)
    if all(kinds) and kinds[0] != kinds[1] and there.trusted_attributes is not False:
        yield note(
            subject,
            f"Its file system is {there.file_system}, that of this node {here.file_system}: what one of them refuses "
            "(large files or attributes, many links) is refused on both.",
            "Nothing, if the application is content with that; else the same file system on both.",
        )


def _attributes(here: DirectoryFacts, there: DirectoryFacts, subject: str, node: str) -> Iterator[Finding]:
    if there.trusted_attributes is False:
        yield error(
            subject,
            "Its file system has no trusted extended attributes: files could not be identified, and no copy is made.",
            f"On {node}: use ext4, xfs or btrfs on a local disk.",
        )
    lacking = [n for n, facts in ((node, there), ("this node", here)) if facts.access_lists is False]
    if len(lacking) == 1:
        yield warning(
            subject,
            f"The file system of {lacking[0]} keeps no access lists (POSIX ACLs), that of the other one does: a file "
            "that has one cannot be copied, and the copy that should have it is not brought in sync.",
            "Mount both alike (mount option acl), or use the same file system on both.",
        )


def _space(here: DirectoryFacts, there: DirectoryFacts, subject: str, node: str) -> Iterator[Finding]:
    mine, other = here.total_bytes, there.total_bytes
    if mine is None or other is None or here.free_bytes is None or there.free_bytes is None:
        return
    if min(mine, other) < _LIKE * max(mine, other):
        yield note(
            subject,
            f"Its file system has {_size(other)} ({_size(there.free_bytes)} free), that of this node "
            f"{_size(mine)} ({_size(here.free_bytes)} free): the application may use what both have free.",
            f"Give {node if other < mine else 'this node'} as much, if the application is to use it.",
        )


def _round_trip(both: Pair, modules: Sequence[str]) -> Iterator[Finding]:
    subject = f"way to {both.there.node}"
    if both.round_trip_us is None:
        yield unknown(
            subject,
            f"How long a round trip takes is not known: {both.unmeasured}.",
            "See that the firewalls let TCP port network.agent_port pass at network.replication_address, too.",
        )
        return
    says = f"a round trip to {both.there.replication_address} takes {_ms(both.round_trip_us)}"
    if both.round_trip_us < SLOW_ROUND_TRIP_US or not modules:
        yield ok(subject, says)
        return
    yield warning(
        subject,
        f"{says[0].upper()}{says[1:]}. Each write of {' and '.join(modules)} waits for one, and each fsync for one and "
        f"the slower disk: whoever writes one thing after the other gets at most {1_000_000 // both.round_trip_us} "
        "writes in a second.",
        "A mirror is for nodes that are near each other, as by one switch. See to the network between them, or name a "
        "faster one in network.replication_address of both.",
    )


def _clock(node: str, clocks: Clocks) -> Finding:
    subject = f"clock of {node}"
    least_ms = abs(clocks.ahead_ms) - clocks.within_ms
    if least_ms < CLOCK_NOTE_MS:
        return ok(
            subject, f"as this node's, as far as can be told (to {(clocks.within_ms + CLOCK_NOTE_MS) / 1000:.1f} s)"
        )
    how = "ahead of" if clocks.ahead_ms > 0 else "behind"
    says = (
        f"It is {abs(clocks.ahead_ms) / 1000:.1f} s {how} this node's. No decision depends on it, but the times in "
        "logs and in the history, and the hours of [resync] and [verify], are those of the node that has the module."
    )
    remedy = "Have chrony or systemd-timesyncd on both."
    if least_ms < CLOCK_WARNING_MS:
        return note(subject, says, remedy)
    return warning(subject, f"{says} A certificate that was just made may not be good yet there.", remedy)


def _kernel(here: CheckFacts, there: CheckFacts) -> Iterator[Finding]:
    subject = f"kernel of {there.node}"
    too_old = machine.kernel(there.kernel)
    if too_old.level is not Level.OK:
        yield error(subject, too_old.says, too_old.remedy)
    elif here.kernel != there.kernel:
        yield note(
            subject,
            f"Linux {there.kernel}; this node has {here.kernel}. The copies do not depend on it, but after a take-over "
            "the application runs on another kernel.",
            "Bring both to one, one node after the other, when it suits.",
        )
    else:
        yield ok(subject, f"Linux {there.kernel}, as here")


def _versions(here: CheckFacts, there: CheckFacts) -> Iterator[Finding]:
    subject = f"versions on {there.node}"
    named = (
        ("Python", here.python, there.python),
        ("python-etcd3", here.etcd_client, there.etcd_client),
        ("nft", here.nft, there.nft),
    )
    differ = [f"{name} {other or 'none'}, here {mine or 'none'}" for name, mine, other in named if mine != other]
    if differ:
        yield note(
            subject,
            f"{'; '.join(differ)}. They are meant to work together; a difference between the nodes is the first thing "
            "to look at when one of them behaves otherwise.",
            "Install the same packages on both.",
        )
    else:
        yield ok(subject, ", ".join(f"{name} {mine or 'none'}" for name, mine, _ in named) + ", as here")


def peers(directories: Iterable[DirectoryFacts], here: str) -> set[str]:
    """The other nodes of this one's mirrors."""
    return {node for directory in directories for node in directory.nodes} - {here}


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.1f} ms" if microseconds >= 100 else f"{microseconds / 1000:.2f} ms"


def _size(number: int) -> str:
    return f"{number / (1 << 30):.1f} GiB" if number >= 1 << 30 else f"{number >> 20} MiB"
