"""The etcd cluster: who votes, where, with which known bugs, and how quickly it elects.

Pure: ``manager/cli/checks/probe.py`` and ``local_etcd.py`` ask.
"""

import datetime
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from manager.cli.checks.finding import Finding, error, note, ok, warning
from manager.cli.checks.local_etcd import ElectionTimeout
from manager.cli.checks.tls import SOON

KEEPALIVE_FIXED = {(3, 4): 38, (3, 5): 23, (3, 6): 5}
"""Before these releases of their series a server answers keepalives for leases that are gone."""

STALE_READ_FIXED = {(3, 4): 42, (3, 5): 28, (3, 6): 9}
"""Before these a server can serve a stale "linearizable" read after a pause."""

QUICK_ELECTION_MS = 600
"""With it a leader that dies costs a take-over at most 3.5 s beyond the lease's ttl; README has what was measured."""

LEAST_TTL_MS = 8000
"""With a shorter lease a primary does not get through an election of etcd's own timeout."""

_OLDEST_SERIES = min(KEEPALIVE_FIXED)
_NEWEST_SERIES = max(KEEPALIVE_FIXED)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of ``agent.toml``, and what answered there."""

    endpoint: str
    version: str
    """Empty: nothing answered."""
    problem: str = ""
    """Why nothing answered."""
    not_after: datetime.datetime | None = None
    """When the certificate that it shows is over; ``None``: it shows none."""
    unwell: str = ""
    """What it says is wrong with itself, though it answers; empty: nothing."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member, as etcd's own list has it."""

    name: str
    peer_urls: tuple[str, ...]
    voter: bool


def etcd(endpoints: Sequence[Endpoint], members: Sequence[Member] | None, now: datetime.datetime) -> Iterator[Finding]:
    """Everything about the store; ``members`` ``None``: the list could not be read."""
    answered = [e for e in endpoints if e.version]
    if not answered:
        problems = "; ".join(f"{e.endpoint}: {e.problem}" for e in endpoints)
        yield error(
            "etcd",
            f"No endpoint of agent.toml answers ({problems}).",
            "Start etcd, or correct etcd.endpoints and the TLS files in agent.toml. Until it answers nothing can be "
            "decided: no start, no take-over.",
        )
        return
    for endpoint in endpoints:
        yield from _endpoint(endpoint)
        yield from _certificate(endpoint, now)
    yield from _versions(answered)
    if members is None:
        yield warning("etcd members", "The list of members could not be read.", "etcdctl member list says why.")
        return
    yield from _members(members, len(endpoints))


def election(found: ElectionTimeout | None, ttl_ms: int) -> Finding:
    """How quickly etcd has another leader; ``found`` ``None``: it is not known, ``ttl_ms``: the lease's."""
    subject = "etcd elections"
    remedy = (
        f"Set ETCD_ELECTION_TIMEOUT={QUICK_ELECTION_MS} for all members of etcd, which have to be in one place or "
        "near, and restart them one after the other."
    )
    if found is None:
        says = "No election timeout of etcd is known here: no member that shows it runs on this machine."
        return note(subject, says, f"Look where its members run. {remedy}")
    if found.milliseconds <= QUICK_ELECTION_MS:
        return ok(subject, f"election timeout {found.milliseconds} ms ({found.told_by})")
    says = (
        f"The election timeout is {found.milliseconds} ms ({found.told_by}): when a node dies that led etcd, a "
        "take-over may take more than 3.5 s beyond lease.ttl."
    )
    if ttl_ms < LEAST_TTL_MS:
        says += (
            f" And lease.ttl is {ttl_ms / 1000:g} s: a primary whose peer dies while it leads etcd may have to stop, "
            "since there is too little time to renew."
        )
    return warning(subject, says, remedy)


def _endpoint(endpoint: Endpoint) -> Iterator[Finding]:
    subject = f"etcd {endpoint.endpoint}"
    if not endpoint.version:
        yield warning(subject, f"It does not answer: {endpoint.problem}.", "Start it, or correct agent.toml.")
        return
    if endpoint.unwell:
        yield error(
            subject,
            f"It answers, and says that it is not well: {endpoint.unwell}. While most members say so, nothing can be "
            "decided: no start, no take-over.",
            "etcdctl alarm list says whether its database is full (NOSPACE), which takes no writes until that is "
            'undone: docs/operations.md, "etcd: its database is full". Without an alarm it has no leader: see that '
            "most members run and reach each other.",
        )
        return
    yield ok(subject, f"answers; version {endpoint.version}")


def _versions(answered: Sequence[Endpoint]) -> Iterator[Finding]:
    """What is known against each release that runs, once, whatever the number of its members."""
    by_version: dict[str, list[str]] = defaultdict(list)
    for endpoint in answered:
        by_version[endpoint.version].append(endpoint.endpoint)
    for version, endpoints in by_version.items():
        if bugs := known_bugs(version):
            yield warning(
                "etcd version",
                f"{version} of {', '.join(endpoints)} {', and '.join(bugs)}. Mirrorfarm does not rest on either: it "
                "renews by guarded writes, and decides by transactions. Other users of this etcd may.",
                f"Nothing, if Mirrorfarm alone uses it. Else {_fixed_release(version)} or newer: Debian 12 has none, "
                "github.com/etcd-io/etcd/releases has. On one member after the other: systemctl stop etcd, dpkg-divert "
                "--rename --add /usr/bin/etcd, the new one in its place, systemctl start etcd, and wait until this "
                "check says that it answers.",
            )


def _certificate(endpoint: Endpoint, now: datetime.datetime) -> Iterator[Finding]:
    """One that is over is not seen here: then there is no answer."""
    if endpoint.not_after is not None and endpoint.not_after - now < SOON:
        yield warning(
            f"etcd {endpoint.endpoint}",
            f"Its certificate is good until {endpoint.not_after:%Y-%m-%d} only. After that neither the agents nor the "
            "other members talk to it.",
            "Where the cluster's authority is: mirrorfarm etcd renew MEMBER, and carry the files there.",
        )


def known_bugs(version: str) -> list[str]:
    """What is known against a server of ``version``, in words."""
    parsed = _parse(version)
    bugs = []
    if _before(parsed, KEEPALIVE_FIXED):
        bugs.append("answers keepalives for leases that are gone")
    if _before(parsed, STALE_READ_FIXED):
        bugs.append('can serve a stale "linearizable" read after a pause')
    return bugs


def _parse(version: str) -> tuple[int, int, int]:
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)


def _before(version: tuple[int, int, int], fixed: dict[tuple[int, int], int]) -> bool:
    series = version[:2]
    if series < _OLDEST_SERIES:
        return True
    return series <= _NEWEST_SERIES and version[2] < fixed[series]


def _fixed_release(version: str) -> str:
    series = max(_parse(version)[:2], _OLDEST_SERIES)
    return f"{series[0]}.{series[1]}.{STALE_READ_FIXED[series]}"


def _members(members: Sequence[Member], endpoints: int) -> Iterator[Finding]:
    voters = [m for m in members if m.voter]
    if len(voters) < 3:
        yield warning(
            "etcd members",
            f"There {'is 1 voter' if len(voters) == 1 else f'are {len(voters)} voters'}: when one is lost there is no "
            "majority, and nothing can be decided: no take-over.",
            "Add small members on further machines until there are three: two servers and a witness.",
        )
    elif len(voters) % 2 == 0:
        yield note(
            "etcd members",
            f"There are {len(voters)} voters, which may lose no more of them than {len(voters) - 1} would.",
            "Use an odd number.",
        )
    else:
        yield ok("etcd members", f"{len(voters)} voters")
    for host, names in _hosts(voters).items():
        if len(names) > 1:
            yield warning(
                "etcd members",
                f"{', '.join(names)} are on one host, {host}: when it is lost, so are their votes.",
                "Give each voter a machine of its own.",
            )
    if endpoints < len(members):
        yield note(
            "etcd endpoints",
            f"agent.toml names {endpoints} of {len(members)} members: with those lost this node is blind.",
            "Name all of them in etcd.endpoints.",
        )


def _hosts(voters: Sequence[Member]) -> dict[str, list[str]]:
    """Host to the voters that listen for their peers on it."""
    found: dict[str, list[str]] = defaultdict(list)
    for member in voters:
        for host in sorted({urlsplit(url).hostname or "" for url in member.peer_urls} - {""}):
            found["this machine" if host in ("localhost", "127.0.0.1", "::1") else host].append(member.name)
    return found
