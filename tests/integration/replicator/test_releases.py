"""Replicators of two neighbouring releases: they speak as the older one understands, or say why they do not."""

import sys
import time
from pathlib import Path

import pytest

from manager.model import control
from manager.model.refused_streams import HERE, THERE
from replicator.refusals import TOLD_AFTER_S
from tests.support.next_release import ALONE, NEXT
from tests.support.replicators import Node, Options, pair_of, running
from tests.support.trees import snapshot

COMMAND = (sys.executable, "-m", "tests.support.next_release")
NEWER, STRANGE = Options(command=COMMAND), Options(command=COMMAND, environment={ALONE: "1"})


@pytest.mark.parametrize("newer", ["a", "b"])
def test_a_pair_of_two_releases_replicates_as_any(newer: str, tmp_path: Path) -> None:
    a, b = (Node(name, tmp_path, NEWER if name == newer else Options()) for name in ("a", "b"))
    (a.data / "before").write_bytes(b"x" * 100_000)
    with pair_of(a, b):
        (a.data / "after").write_bytes(b"y" * 10)
        (a.data / "before").rename(a.data / "later")
        assert snapshot(str(a.data)) == snapshot(str(b.data))
        assert sorted(path.name for path in b.data.iterdir()) == [".mirrorfarm", "after", "later"]


def test_where_they_have_no_version_in_common_both_say_it(tmp_path: Path) -> None:
    a, b = Node("a", tmp_path, STRANGE), Node("b", tmp_path, Options())
    with running((a, b)):
        a.serve(1)
        port = b.connect().listen_port
        b.follow("a", 1)
        b.wait_for_role("secondary")
        a.tell(control.Peer("b", "127.0.0.1", port))
        told = f"a speaks {NEXT}, b {NEXT - 1}"
        assert kept(a) == ("version", f"refused: version: {told}", THERE)
        assert kept(b) == ("version", told, HERE)
        assert a.status().peers.get("b") != "complete"


def kept(node: Node) -> tuple[str, str, str]:
    """What a node tells of the stream that does not come about: kind, words, and who refuses."""
    end = time.monotonic() + 5 * TOLD_AFTER_S
    while not (refused := node.status().refused):
        assert time.monotonic() < end, node.said()
        time.sleep(0.1)
    return refused[0].kind, refused[0].reason, refused[0].by
