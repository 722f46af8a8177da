"""Whether who owns files on one node is the same by number on the other: files carry numbers, people know names."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from manager.cli.checks.finding import Finding, Level, error, note, ok, unknown, warning
from manager.model.api_check import CheckFacts, DirectoryFacts, Owner, OwnerHere, OwnerKind

_TOOL = {OwnerKind.USER: ("usermod -u", "-uid", "chown -h"), OwnerKind.GROUP: ("groupmod -g", "-gid", "chgrp -h")}
_ADD = {OwnerKind.USER: "useradd -u", OwnerKind.GROUP: "groupadd -g"}


@dataclass(frozen=True, slots=True)
class _Seen:
    """An owner of files on one node, and what he is on the other."""

    on: str
    other: str
    there: OwnerHere
    paths: tuple[str, ...]


def owners(
    here: CheckFacts, there: CheckFacts, common: Sequence[tuple[DirectoryFacts, DirectoryFacts]]
) -> Iterator[Finding]:
    """What there is to say of the owners of files in the directories that both have, on either node."""
    subject = f"owners on {there.node}"
    if not common:
        return
    if here.owners is None or there.owners is None:
        who = here.node if here.owners is None else there.node
        says = f"Whether the same names have the same numbers is not known: on {who} who knows them does not answer."
        yield unknown(subject, says, f"On {who}: getent passwd and getent group say what is wrong with nsswitch.conf.")
        return
    unseen = [side.path for pair in common for side in pair if side.owners is None]
    seen = [*_seen(here, there, there.owners, [mine for mine, _ in common])]
    seen += _seen(there, here, here.owners, [other for _, other in common])
    found = [(one.there.owner, finding) for one in seen if (finding := _finding(subject, one)) is not None]
    told: set[tuple[OwnerKind, int | str]] = set()
    for owner, finding in sorted(found, key=lambda pair: -list(Level).index(pair[1].level)):
        # The same names and numbers, seen from the other side, are one matter; what is worst of it is said.
        alike: set[tuple[OwnerKind, int | str]] = {(owner.kind, owner.number), (owner.kind, owner.name)}
        if not told & alike:
            told |= alike
            yield finding
    if unseen:
        says = f"To whom the files of {', '.join(dict.fromkeys(unseen))} belong was not looked at."
        yield unknown(subject, says, "Ask again; what there is to say of the directory says why.")
    elif not told:
        names = list(dict.fromkeys(one.there.owner.name for one in seen if one.there.owner.name))
        yield ok(subject, f"{', '.join(names) or 'nobody'}: the same numbers as here")


def _seen(
    node: CheckFacts, other: CheckFacts, answered: Iterable[OwnerHere], directories: Sequence[DirectoryFacts]
) -> Iterator[_Seen]:
    """Those of ``node``, as ``other`` has ``answered``."""
    for one in answered:
        paths = tuple(d.path for d in directories if one.owner in (d.owners or ()))
        if paths:
            yield _Seen(node.node, other.node, one, paths)


def _finding(subject: str, seen: _Seen) -> Finding | None:
    """What is wrong with one owner; ``None``: nothing."""
    owner, other = seen.there.owner, seen.other
    files = f"Files in {', '.join(seen.paths)} belong on {seen.on} to {owner.kind} {owner.name or owner.number}"
    if not owner.name:
        if not seen.there.name:
            return None  # A number that is nobody's, on both.
        return note(
            subject,
            f"{files}, whom nobody is there; on {other} that is {seen.there.name}.",
            f"If {seen.there.name} is meant, on {seen.on}: {_ADD[owner.kind]} {owner.number} {seen.there.name}",
        )
    if seen.there.number == owner.number:
        return None
    if seen.there.number is None:
        return _missing(subject, files, seen)
    return _other_number(subject, files, seen, seen.there.number)


def _missing(subject: str, files: str, seen: _Seen) -> Finding:
    owner, other, holder = seen.there.owner, seen.other, seen.there.name
    says = f"{files} ({owner.number}), and there is no such {owner.kind} on {other}"
    if holder:
        says += f", where {owner.number} is {holder}: after a take-over the files are theirs"
    what = f"give {holder} another number first, then " if holder else ""
    return warning(
        subject,
        f"{says}. An application that runs as {owner.name} does not start on {other}.",
        f"On {other}: {what}{_ADD[owner.kind]} {owner.number} {owner.name}, or install the application's package and "
        "see that it has that number.",
    )


def _other_number(subject: str, files: str, seen: _Seen, number: int) -> Finding:
    owner, other, holder = seen.there.owner, seen.other, seen.there.name
    modify, by_number, change = _TOOL[owner.kind]
    kept = " ".join(f"-path {path} -prune -o" for path in seen.paths)
    whose = f"{holder}'s there" if holder else "nobody's there"
    return error(
        subject,
        f"{files}, who is {owner.number} there and {number} on {other}. A copy has the numbers: after a take-over the "
        f"files are {whose}, and {owner.name} may not use them.",
        f"On {other}, while {owner.name} runs nothing there: {f'give {holder} another number, then ' if holder else ''}"
        f"{modify} {owner.number} {owner.name}; and for what it has outside the replicated directories: find / -xdev "
        f"{kept} {by_number} {number} -exec {change} {owner.number} {{}} +",
    )


def all_owners(directories: Iterable[DirectoryFacts]) -> tuple[Owner, ...]:
    """Those of all ``directories``, each once."""
    return tuple(dict.fromkeys(owner for directory in directories for owner in directory.owners or ()))
