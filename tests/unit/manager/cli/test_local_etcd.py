"""The election timeout of the etcd on this machine: where it is found, and what is said of it."""

from pathlib import Path

import pytest

from manager.cli.checks.etcd import election
from manager.cli.checks.finding import Level
from manager.cli.checks.local_etcd import ElectionTimeout, election_timeout


def process(root: Path, pid: int, *arguments: str, comm: str = "etcd", **environment: str) -> None:
    folder = root / f"proc/{pid}"
    folder.mkdir(parents=True)
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "cmdline").write_text("".join(f"{a}\0" for a in ("/usr/bin/etcd", *arguments)))
    (folder / "environ").write_text("".join(f"{k}={v}\0" for k, v in environment.items()))


def default_file(root: Path, text: str) -> None:
    (root / "etc/default").mkdir(parents=True)
    (root / "etc/default/etcd").write_text(text)


def milliseconds(root: Path) -> int | None:
    found = election_timeout(root)
    return found.milliseconds if found else None


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ((), {}, 1000),
        ((), {"ETCD_ELECTION_TIMEOUT": "600"}, 600),
        (("--election-timeout=700",), {"ETCD_ELECTION_TIMEOUT": "600"}, 700),
        (("-election-timeout", "700", "--name", "a"), {}, 700),
        (("--name", "election-timeout"), {}, 1000),
        (("--config-file=/etc/etcd.yml",), {"ETCD_ELECTION_TIMEOUT": "600"}, None),
        ((), {"ETCD_CONFIG_FILE": "/etc/etcd.yml", "ETCD_ELECTION_TIMEOUT": "600"}, None),
        ((), {"ETCD_ELECTION_TIMEOUT": "1s"}, None),
    ],
)
def test_what_a_process_was_told_counts(
    tmp_path: Path, arguments: tuple[str, ...], environment: dict[str, str], expected: int | None
) -> None:
    process(tmp_path, 7, *arguments, **environment)
    process(tmp_path, 8, comm="etcdctl")
    default_file(tmp_path, "ETCD_ELECTION_TIMEOUT=300\n")
    assert milliseconds(tmp_path) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# ETCD_ELECTION_TIMEOUT=600\n", 1000),
        ("ETCD_NAME=a\nETCD_ELECTION_TIMEOUT=600 # short\n", 600),
        ('ETCD_ELECTION_TIMEOUT="600"\n', 600),
        ("export ETCD_ELECTION_TIMEOUT=600\n", 600),
        ('DAEMON_ARGS="--election-timeout 700"\nETCD_ELECTION_TIMEOUT=600\n', 700),
        ("ETCD_CONFIG_FILE=/etc/etcd.yml\n", None),
        ('ETCD_NAME="a\n', None),
    ],
)
def test_where_none_runs_the_file_says_what_the_next_one_is_told(
    tmp_path: Path, text: str, expected: int | None
) -> None:
    default_file(tmp_path, text)
    assert milliseconds(tmp_path) == expected


def test_of_several_the_longest_and_nothing_of_what_cannot_be_seen(tmp_path: Path) -> None:
    assert election_timeout(tmp_path) is None
    process(tmp_path, 7, ETCD_ELECTION_TIMEOUT="600")
    process(tmp_path, 8, ETCD_ELECTION_TIMEOUT="900")
    assert election_timeout(tmp_path) == ElectionTimeout(900, "process 8 of etcd")
    (tmp_path / "proc/7/environ").unlink()
    assert election_timeout(tmp_path) is None


def test_what_is_said_of_it() -> None:
    assert election(ElectionTimeout(600, "x"), 4000).level is Level.OK
    unknown = election(None, 10_000)
    assert unknown.level is Level.NOTE and "ETCD_ELECTION_TIMEOUT=600" in unknown.remedy
    long = election(ElectionTimeout(1000, "/etc/default/etcd"), 8000)
    assert (
        long.level is Level.WARNING and "1000 ms (/etc/default/etcd)" in long.says and "lease.ttl is" not in long.says
    )
    assert "ETCD_ELECTION_TIMEOUT=600" in long.remedy
    assert "lease.ttl is 7 s: a primary" in election(ElectionTimeout(1000, "x"), 7000).says
