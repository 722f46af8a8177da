"""Two nodes compared: from what each has said of itself to the findings, and what to do."""

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from manager.cli.checks.finding import Finding, Level, worst
from manager.cli.checks.pair import Clocks, Pair, disks, pair
from manager.cli.checks.pair_owners import all_owners
from manager.cli.checks.pair_probe import pairs
from manager.cli.checks.round_trip import SAMPLES, round_trip
from manager.model.api import ApiError, ErrorKind
from manager.model.api_check import (
    MOST_OWNERS,
    CheckFacts,
    CheckFactsArguments,
    DirectoryFacts,
    Owner,
    OwnerHere,
    OwnerKind,
)

ROOT, POSTGRES = Owner(OwnerKind.USER, 0, "root"), Owner(OwnerKind.USER, 113, "postgres")
STAFF = Owner(OwnerKind.GROUP, 50, "staff")
NOBODY = Owner(OwnerKind.USER, 1234, "")
GIB = 1 << 30
DATA = DirectoryFacts(
    module="db", path="/srv/db", nodes=("a", "b"), file_system="ext4", total_bytes=100 * GIB, free_bytes=60 * GIB,
    trusted_attributes=True, access_lists=True, owners=(ROOT, POSTGRES, STAFF), fsync_us=800, fsyncs=8,
)  # fmt: skip


def same(owner: Owner) -> OwnerHere:
    return OwnerHere(owner, owner.number, owner.name)


def facts(node: str, directories: Iterable[DirectoryFacts] = (DATA,), **changes: Any) -> CheckFacts:
    directories = tuple(directories)
    plain = CheckFacts(
        node=node, kernel="6.1.0-18-amd64", python="3.11.2", etcd_client="0.12.0", nft="1.0.6", clock_ms=0,
        replication_address=f"10.0.0.{node}", directories=directories,
        owners=tuple(same(owner) for owner in all_owners(directories)),
    )  # fmt: skip
    return replace(plain, **changes)


def both(here: CheckFacts | None = None, there: CheckFacts | None = None, **changes: Any) -> Pair:
    plain = Pair(here or facts("a"), there or facts("b"), 300, "", Clocks(12, 40))
    return replace(plain, **changes)


def of(directory: DirectoryFacts = DATA, **changes: Any) -> tuple[DirectoryFacts, ...]:
    return (replace(directory, **changes),)


def answered(*owners: OwnerHere) -> tuple[OwnerHere, ...]:
    return (*owners, *(same(o) for o in DATA.owners or () if o not in [one.owner for one in owners]))


def test_two_that_are_alike_are_in_order() -> None:
    found = list(pair(both()))
    assert worst(found) is Level.OK
    assert {f.subject for f in found} == {
        "owners on b", "db: /srv/db on b", "way to b", "clock of b", "kernel of b", "versions on b",
    }  # fmt: skip
    assert "postgres" in found[0].says


OTHER_NUMBER = OwnerHere(POSTGRES, 117, "redis")
REDIS = Owner(OwnerKind.USER, 113, "redis")


@dataclass(frozen=True)
class Row:
    situation: str
    pair: Callable[[], Pair]
    level: Level
    subject: str
    says: tuple[str, ...]
    remedy: tuple[str, ...]


TABLE = (
    Row(
        "a name has another number there, which is somebody's",
        lambda: both(there=facts("b", owners=answered(OTHER_NUMBER))),
        Level.ERROR, "owners on b",
        ("/srv/db belong on a to user postgres", "113 there and 117 on b", "the files are redis's there"),
        ("On b", "give redis another number, then usermod -u 113 postgres", "-path /srv/db -prune -o -uid 117"),
    ),
    Row(
        "a group has another number there, which is nobody's",
        lambda: both(there=facts("b", owners=answered(OwnerHere(STAFF, 51, "")))),
        Level.ERROR, "owners on b", ("group staff", "nobody's there"), ("groupmod -g 50 staff", "-gid 51 -exec chgrp"),
    ),
    Row(
        "a name is not there",
        lambda: both(there=facts("b", owners=answered(OwnerHere(POSTGRES, None, "")))),
        Level.WARNING, "owners on b", ("there is no such user on b", "does not start"), ("useradd -u 113 postgres",),
    ),
    Row(
        "a name is not there, and its number is somebody's",
        lambda: both(there=facts("b", owners=answered(OwnerHere(POSTGRES, None, "redis")))),
        Level.WARNING, "owners on b", ("where 113 is redis",), ("give redis another number first, then useradd",),
    ),
    Row(
        "a number that nobody has here is somebody's there",
        lambda: both(
            facts("a", of(owners=(NOBODY,))),
            facts("b", of(owners=(ROOT,)), owners=(OwnerHere(NOBODY, None, "bob"),)),
        ),
        Level.NOTE, "owners on b", ("whom nobody is there", "bob"), ("on a: useradd -u 1234 bob",),
    ),
    Row(
        "files of the other node alone belong to somebody who has another number here",
        lambda: both(
            facts("a", of(owners=(ROOT,)), owners=(same(ROOT), OwnerHere(POSTGRES, 117, ""))),
            facts("b", of(owners=(ROOT, POSTGRES)), owners=(same(ROOT),)),
        ),
        Level.ERROR, "owners on b", ("belong on b to user postgres", "113 there and 117 on a"), ("On a,",),
    ),
    Row(
        "who knows the names does not answer",
        lambda: both(there=facts("b", owners=None)),
        Level.UNKNOWN, "owners on b", ("on b who knows them does not answer",), ("getent passwd",),
    ),
    Row(
        "the other node's files were not looked at",
        lambda: both(there=facts("b", of(owners=None, problem="no answer within 2 s", total_bytes=None))),
        Level.UNKNOWN, "db: /srv/db on b", ("It was not looked at: no answer within 2 s",), ("mirrorfarm check",),
    ),
    Row(
        "it is not there",
        lambda: both(there=facts("b", of(owners=None, problem="no such file or directory"))),
        Level.UNKNOWN, "db: /srv/db on b", ("no such file or directory",), ("mkdir -p /srv/db",),
    ),
    Row(
        "the other agent does not know the module",
        lambda: both(there=facts("b", ())),
        Level.UNKNOWN, "db: /srv/db on b", ("knows no such directory",), ("mirrorfarm check on b",),
    ),
    Row(
        "it is in use there",
        lambda: both(there=facts("b", of(total_bytes=None, free_bytes=None, problem="it is in use"))),
        Level.UNKNOWN, "db: /srv/db on b", ("Not all of b was looked at: it is in use",), ("a disk that hangs",),
    ),
    Row(
        "it is in use here",
        lambda: both(here=facts("a", of(total_bytes=None, free_bytes=None, problem="it is in use"))),
        Level.UNKNOWN, "db: /srv/db on b", ("Not all of this node was looked at: it is in use",), ("Ask again",),
    ),
    Row(
        "no trusted attributes there",
        lambda: both(there=facts("b", of(file_system="nfs4", trusted_attributes=False))),
        Level.ERROR, "db: /srv/db on b", ("could not be identified",), ("On b: use ext4, xfs or btrfs",),
    ),
    Row(
        "no access lists there",
        lambda: both(there=facts("b", of(access_lists=False))),
        Level.WARNING, "db: /srv/db on b", ("file system of b keeps no access lists",), ("mount option acl",),
    ),
    Row(
        "no access lists here",
        lambda: both(here=facts("a", of(access_lists=False))),
        Level.WARNING, "db: /srv/db on b", ("file system of this node keeps no access lists",), ("acl",),
    ),
    Row(
        "another type of file system",
        lambda: both(there=facts("b", of(file_system="xfs"))),
        Level.NOTE, "db: /srv/db on b", ("is xfs, that of this node ext4",), ("same file system",),
    ),
    Row(
        "a smaller file system there",
        lambda: both(there=facts("b", of(total_bytes=50 * GIB, free_bytes=900 << 20))),
        Level.NOTE, "db: /srv/db on b", ("50.0 GiB (900 MiB free)", "100.0 GiB (60.0 GiB free)"), ("Give b",),
    ),
    Row(
        "a smaller one here",
        lambda: both(here=facts("a", of(total_bytes=50 * GIB))),
        Level.NOTE, "db: /srv/db on b", ("what both have free",), ("Give this node",),
    ),
    Row(
        "they are far from each other",
        lambda: both(round_trip_us=6200),
        Level.WARNING, "way to b",
        ("A round trip to 10.0.0.b takes 6.2 ms", "Each write of db waits for one", "at most 161 writes in a second"),
        ("replication_address",),
    ),
    Row(
        "how far is not known",
        lambda: both(round_trip_us=None, unmeasured="10.0.0.2, TCP port 9743: timed out"),
        Level.UNKNOWN, "way to b", ("not known: 10.0.0.2, TCP port 9743: timed out",), ("agent_port",),
    ),
    Row(
        "its clock is some seconds ahead",
        lambda: both(clocks=Clocks(5000, 100)),
        Level.NOTE, "clock of b", ("5.0 s ahead of",), ("chrony",),
    ),
    Row(
        "its clock is far behind",
        lambda: both(clocks=Clocks(-3_600_000, 100)),
        Level.WARNING, "clock of b", ("3600.0 s behind", "certificate"), ("chrony",),
    ),
    Row(
        "another kernel",
        lambda: both(there=facts("b", kernel="6.9.1")),
        Level.NOTE, "kernel of b", ("Linux 6.9.1; this node has 6.1.0",), ("one node after the other",),
    ),
    Row(
        "a kernel that is too old",
        lambda: both(there=facts("b", kernel="5.10.0")),
        Level.ERROR, "kernel of b", ("older than 5.14",), ("Install",),
    ),
    Row(
        "other versions",
        lambda: both(there=facts("b", python="3.13.1", nft="")),
        Level.NOTE, "versions on b", ("Python 3.13.1, here 3.11.2; nft none, here 1.0.6",), ("same packages",),
    ),
)  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.situation)
def test_what_differs_is_found_with_its_remedy_and_nothing_else_is(row: Row) -> None:
    bad = [f for f in pair(row.pair()) if f.level is not Level.OK and f.subject == row.subject]
    others = {f.subject for f in pair(row.pair()) if f.level is not Level.OK} - {row.subject}
    assert [f.level for f in bad] == [row.level], bad
    assert all(words in bad[0].says for words in row.says), bad[0].says
    assert all(words in bad[0].remedy for words in row.remedy), bad[0].remedy
    assert bad[0].remedy
    assert others <= ({"owners on b"} if row.level is Level.UNKNOWN and "/srv" in row.subject else set())


def test_one_matter_is_told_once_though_both_nodes_see_it() -> None:
    """The copy on b carries a's numbers, where they are another's."""
    here = facts("a", owners=(*(same(o) for o in (ROOT, STAFF)), OwnerHere(REDIS, 114, "postgres")))
    there = facts("b", of(owners=(ROOT, REDIS, STAFF)), owners=answered(OTHER_NUMBER))
    assert [f.level for f in pair(both(here, there)) if f.subject == "owners on b"] == [Level.ERROR]


def test_of_one_matter_the_worst_is_said() -> None:
    """On b nobody has the number that the files have there; on a it is somebody whom b has by another one."""
    unnamed = Owner(OwnerKind.USER, 113, "")
    here = facts("b", of(owners=(unnamed,)), owners=(OwnerHere(POSTGRES, 117, ""),))
    there = facts("a", of(owners=(POSTGRES,)), owners=(OwnerHere(unnamed, None, "postgres"),))
    (found,) = [f for f in pair(both(here, there)) if f.subject == "owners on a"]
    assert found.level is Level.ERROR and "113 there and 117 on b" in found.says


def test_what_is_not_mirrored_between_the_two_is_not_compared() -> None:
    elsewhere = of(nodes=("a", "c"), path="/srv/else")
    found = list(pair(both(facts("a", elsewhere), facts("b", ()), round_trip_us=9000)))
    assert worst(found) is Level.OK
    assert {f.subject for f in found} == {"way to b", "clock of b", "kernel of b", "versions on b"}


@pytest.mark.parametrize(
    ("change", "level", "says"),
    [
        ({}, Level.OK, "an fsync of 4 KiB takes 0.8 ms (the median of 8)"),
        ({"fsync_us": 19_999}, Level.OK, "20.0 ms"),
        ({"fsync_us": 45_000, "fsyncs": 3}, Level.WARNING, "at most 22 in a second"),
        ({"fsync_us": 90}, Level.OK, "0.09 ms"),
        ({"fsync_us": None, "problem": "no answer within 2 s"}, Level.UNKNOWN, "not known: no answer within 2 s"),
        ({"fsync_us": None}, Level.UNKNOWN, "it was not timed"),
    ],
)
def test_a_slow_disk_is_said_in_writes_per_second(change: dict[str, Any], level: Level, says: str) -> None:
    (found,) = disks(facts("a", of(**change)))
    assert found.level is level and says in found.says and found.subject == "disk of a: /srv/db"
    assert bool(found.remedy) is (level is not Level.OK)


class Agents:
    """This node's agent, and by it the others', each with what it says; or why it says nothing."""

    def __init__(self, **said: CheckFacts | ApiError) -> None:
        self.said = said
        self.asked: list[tuple[str, tuple[Owner, ...]]] = []

    def call(self, arguments: CheckFactsArguments, *, timeout_s: float, node: str = "") -> CheckFacts:
        self.asked.append((node, arguments.owners))
        said = self.said[node or "a"]
        if isinstance(said, ApiError):
            raise said
        known = {one.owner: one for one in said.owners or ()}
        owners = tuple(known.get(owner, OwnerHere(owner, None, "")) for owner in arguments.owners)
        return replace(said, owners=owners, clock_ms=time.time_ns() // 1_000_000 + said.clock_ms)


GONE = ApiError(ErrorKind.UNREACHABLE, "node b: no answer within 2 s.", remedy="See whether b is up.")


@contextmanager
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def asked(agents: Agents, registered: dict[str, ApiError | None], port: int) -> list[Finding]:
    return list(pairs(agents, "a", registered, port))  # type: ignore[arg-type]


def test_each_is_asked_what_the_other_ones_owners_are_there() -> None:
    there = facts("b", of(owners=(ROOT,)), replication_address="127.0.0.1", owners=answered())
    agents = Agents(a=facts("a"), b=there)
    with listening() as port:
        found = asked(agents, {"b": None}, port)
    assert agents.asked == [("", ()), ("b", (ROOT, POSTGRES, STAFF)), ("", (ROOT,))]
    assert worst(found) is Level.OK
    assert [f.subject for f in found if f.subject.startswith("disk")] == ["disk of a: /srv/db", "disk of b: /srv/db"]


def test_a_clock_is_compared_with_the_time_of_the_answer() -> None:
    agents = Agents(a=facts("a"), b=facts("b", replication_address="127.0.0.1", clock_ms=-90_000))
    with listening() as port:
        found = asked(agents, {"b": None}, port)
    assert [(f.level, f.subject) for f in found if f.level is not Level.OK] == [(Level.WARNING, "clock of b")]


@pytest.mark.parametrize("registered", [{}, {"b": None}, {"b": GONE}])
def test_one_that_does_not_answer_is_unknown_and_the_reason_is_said(registered: dict[str, ApiError | None]) -> None:
    """Also one that is not registered: its machine is off, and it is a node of a mirror of this one."""
    agents = Agents(a=facts("a"), b=GONE)
    found = [f for f in asked(agents, registered, 1) if not f.subject.startswith("disk")]
    assert [(f.level, f.subject) for f in found] == [(Level.UNKNOWN, "pair with b")]
    assert "no answer within 2 s" in found[0].says and found[0].remedy == "See whether b is up."
    assert len(agents.asked) == (1 if registered.get("b") else 2)


def test_an_agent_of_this_node_that_does_not_answer_leaves_all_unknown() -> None:
    (found,) = asked(Agents(a=GONE), {"b": None}, 1)
    assert found.level is Level.UNKNOWN and "compared with no other one" in found.says


def test_more_owners_than_may_be_asked_for_are_not_asked_for() -> None:
    many = tuple(Owner(OwnerKind.USER, number, f"u{number}") for number in range(MOST_OWNERS + 5))
    agents = Agents(a=facts("a", of(owners=many)), b=facts("b", ()))
    asked(agents, {"b": None}, 1)
    assert len(agents.asked[1][1]) == MOST_OWNERS


def test_a_way_is_measured_without_a_word_and_one_that_leads_nowhere_is_an_error() -> None:
    with listening() as port:
        assert 0 < round_trip("127.0.0.1", port).median_us < 1_000_000
        assert SAMPLES > 2
    with pytest.raises(OSError, match="refused"):
        round_trip("127.0.0.1", port)
