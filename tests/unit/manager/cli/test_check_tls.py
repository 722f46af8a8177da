import datetime
from pathlib import Path

import pytest

from manager.cli.checks.finding import Level
from manager.cli.checks.tls import tls
from manager.model.config import AgentConfig, TlsConfig, TlsMode
from manager.model.node_identity import NODE_CERTIFICATE, NODE_KEY, OPERATOR_CERTIFICATE, OPERATOR_KEY
from tests.support.certificates import DAY, Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "pki", "a", "b")


def said(directory: Path, now: datetime.datetime, node: str = "a", mode: TlsMode = TlsMode.ON) -> tuple[Level, str]:
    (finding,) = tls(AgentConfig("main", node, tls=TlsConfig(mode, str(directory))), now)
    return finding.level, f"{finding.says} {finding.remedy}"


def test_a_good_certificate_is_good_until_it_is_soon_over(cluster: Cluster) -> None:
    directory = cluster.directory("a")
    assert said(directory, cluster.now)[0] is Level.OK
    assert said(directory, cluster.now + 669 * DAY)[0] is Level.OK
    level, words = said(directory, cluster.now + 671 * DAY)
    assert level is Level.WARNING and "pki renew a" in words
    level, words = said(directory, cluster.now + 731 * DAY)
    assert level is Level.ERROR and "over since" in words


def test_plain_is_said(tmp_path: Path, cluster: Cluster) -> None:
    assert said(tmp_path, cluster.now, mode=TlsMode.OFF)[0] is Level.NOTE


def test_what_is_missing_exposed_or_another_nodes_is_an_error(cluster: Cluster) -> None:
    directory = cluster.directory("a")
    level, words = said(directory, cluster.now, node="b")
    assert level is Level.ERROR and "that of node a; this is b" in words
    (directory / NODE_KEY).chmod(0o604)
    level, words = said(directory, cluster.now)
    assert level is Level.ERROR and "0604" in words
    (directory / NODE_KEY).chmod(0o600)
    (directory / NODE_CERTIFICATE).write_bytes(b"garbage")
    assert said(directory, cluster.now)[0] is Level.ERROR
    (directory / NODE_CERTIFICATE).unlink()
    level, words = said(directory, cluster.now)
    assert level is Level.ERROR and "lacks node.crt" in words and "pki issue a" in words


def operators(directory: Path, now: datetime.datetime) -> list[tuple[str, Level, str]]:
    """What is said of them; this node's own is good."""
    *found, own = tls(AgentConfig("main", "a", tls=TlsConfig(TlsMode.ON, str(directory))), now)
    assert own.subject == "tls"
    return [(one.subject, one.level, f"{one.says} {one.remedy}") for one in found]


def test_operators_whose_files_lie_here_are_looked_at_too(cluster: Cluster) -> None:
    directory = cluster.directory("a")
    assert operators(directory, cluster.now) == []
    for name in ("alice", "bob"):
        (directory / "operators").mkdir(exist_ok=True)
        cluster.operator(name).rename(directory / "operators" / name)
    told = operators(directory, cluster.now)
    assert [(subject, level) for subject, level, _ in told] == [
        ("operator alice", Level.OK),
        ("operator bob", Level.OK),
    ]
    for days, says in ((310, "good until"), (366, "over since")):
        for subject, level, words in operators(directory, cluster.now + days * DAY):
            assert level is Level.WARNING and says in words
            assert f"pki renew --operator {subject.removeprefix('operator ')}" in words
    (directory / "operators/alice" / OPERATOR_KEY).chmod(0o640)
    (directory / "operators/bob" / OPERATOR_CERTIFICATE).write_bytes((directory / NODE_CERTIFICATE).read_bytes())
    (_, level, words), (_, other, says) = operators(directory, cluster.now)
    assert level is Level.ERROR and "0640" in words and "Revoke it" in words
    assert other is Level.WARNING and "names no operator" in says
