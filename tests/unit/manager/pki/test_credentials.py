import time
from collections.abc import Callable
from pathlib import Path

import pytest

from manager.model.node_identity import AUTHORITY_CERTIFICATE, NODE_CERTIFICATE, NODE_KEY, REVOKED
from manager.pki.credentials import Unusable
from tests.support.certificates import Cluster, Watched, replace


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "pki", "a", "b")


def test_files_are_read_again_only_when_they_change(cluster: Cluster) -> None:
    a = Watched(cluster.directory("a"), "a")
    first = a.credentials.contexts()
    assert a.credentials.contexts() is first
    cluster.renew("a")
    second = a.credentials.contexts()
    assert second is not first
    assert a.taken == ["a", "a"] and not a.refused


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda c: (c.directory("a") / NODE_KEY).unlink(), "No such file"),
        (lambda c: (c.directory("a") / NODE_CERTIFICATE).unlink(), "No such file"),
        (lambda c: (c.directory("a") / REVOKED).unlink(), "No such file"),
        (lambda c: replace(c.directory("a") / NODE_KEY, b"garbage"), "no certificates, key and list in PEM"),
        (lambda c: replace(c.directory("a") / AUTHORITY_CERTIFICATE, b""), "no certificates, key and list in PEM"),
        (lambda c: replace(c.directory("a") / REVOKED, b"\n"), "no certificates, key and list in PEM"),
        (lambda c: (c.directory("a") / NODE_KEY).chmod(0o640), "mode 0640"),
        (
            lambda c: replace(c.directory("a") / NODE_KEY, (c.directory("b") / NODE_KEY).read_bytes()),
            "node.key is not the key of node.crt",
        ),
    ],
)
def test_files_that_are_not_good_are_refused_once_and_taken_when_they_are(
    cluster: Cluster, spoil: Callable[[Cluster], object], words: str
) -> None:
    directory = cluster.directory("a")
    good = {path.name: path.read_bytes() for path in directory.iterdir()}
    spoil(cluster)
    a = Watched(directory, "a")
    for _ in range(3):
        with pytest.raises(Unusable, match="no certificate that it could show"):
            a.credentials.contexts()
    ((why, former),) = a.refused
    assert words in why and not former
    for name, content in good.items():
        replace(directory / name, content)
    a.credentials.contexts()
    assert a.taken == ["a"]


def test_a_certificate_that_is_not_good_yet_is_taken_when_it_is_and_looked_at_once_a_second(cluster: Cluster) -> None:
    clock = [5.0]
    a = Watched(cluster.beginning("a", 3.0), "a", clock_s=lambda: clock[0])
    with pytest.raises(Unusable, match="not good yet"):
        a.credentials.contexts()
    time.sleep(3.1)
    clock[0] += 0.9
    with pytest.raises(Unusable, match="not good yet"):
        a.credentials.contexts()
    clock[0] += 0.1
    a.credentials.contexts()
    assert len(a.refused) == 1 and a.taken == ["a"]


def test_a_key_that_nobody_else_can_read_any_more_is_taken_at_once(cluster: Cluster) -> None:
    key = cluster.directory("a") / NODE_KEY
    key.chmod(0o640)
    a = Watched(cluster.directory("a"), "a", clock_s=lambda: 5.0)
    with pytest.raises(Unusable, match="mode 0640"):
        a.credentials.contexts()
    key.chmod(0o600)
    a.credentials.contexts()
    assert a.taken == ["a"]


def test_what_is_refused_while_others_are_in_use_is_said_once_and_looked_at_again(cluster: Cluster) -> None:
    clock = [5.0]
    directory = cluster.directory("a")
    a = Watched(directory, "a", clock_s=lambda: clock[0])
    former = a.credentials.contexts()
    early = cluster.beginning("a", 3.0)
    for path in early.iterdir():
        replace(directory / path.name, path.read_bytes())
    for _ in range(3):
        assert a.credentials.contexts() is former
        clock[0] += 0.3
    time.sleep(3.1)
    clock[0] += 0.7
    assert a.credentials.contexts() is not former
    assert [told for _, told in a.refused] == [True] and a.taken == ["a", "a"]


def test_the_former_ones_stay_in_use_until_the_new_ones_are_good(cluster: Cluster) -> None:
    directory = cluster.directory("a")
    a = Watched(directory, "a")
    first = a.credentials.contexts()
    whole = (directory / NODE_KEY).read_bytes()
    (directory / NODE_KEY).unlink()
    assert a.credentials.contexts() is first
    replace(directory / NODE_KEY, whole[:100])
    assert a.credentials.contexts() is first
    assert [former for _, former in a.refused] == [True, True]
    replace(directory / NODE_KEY, whole)
    assert a.credentials.contexts() is not first


@pytest.mark.parametrize(
    ("kind", "words"),
    [("expired", "is over"), ("of_another_cluster", None), ("of_an_equal_authority", None)],
)
def test_a_certificate_that_the_others_would_refuse_is_not_shown(
    cluster: Cluster, kind: str, words: str | None
) -> None:
    """Of its own authority, whichever that is, each is good, but for its time."""
    c = Watched(getattr(cluster, kind)("c"), "c")
    if words is None:
        c.credentials.contexts()
        return
    with pytest.raises(Unusable, match=words):
        c.credentials.contexts()


def test_a_revoked_one_is_not_shown_once_its_node_knows(cluster: Cluster) -> None:
    a = Watched(cluster.directory("a"), "a")
    former = a.credentials.contexts()
    cluster.office.revoke("a")
    cluster.hand_out_revoked("a")
    assert a.credentials.contexts() is former
    ((why, _),) = a.refused
    assert "revoked" in why


def test_another_nodes_certificate_is_not_shown(cluster: Cluster) -> None:
    with pytest.raises(Unusable, match="is that of node a, and this is b"):
        Watched(cluster.directory("a"), "b").credentials.contexts()
