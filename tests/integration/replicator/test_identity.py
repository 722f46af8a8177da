"""What the disks say of the store: written before it counts, on a full disk too, and only when there is a reason."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from manager.model import control
from manager.model.records import DiskIdentity
from tests.integration.replicator.test_full_disk import fill
from tests.support.grounds import loop_mounted
from tests.support.replicators import Node, Options, Pair, nodes, pair, pair_of
from tests.support.writers import Writer


def identity(node: Node) -> dict[str, Any]:
    """What is in the file, below the mount and before it is anybody's word."""
    found: dict[str, Any] = json.loads((node.opened("/.mirrorfarm") / "identity.json").read_text())
    return found


def lose_the_peer(two: Pair) -> None:
    two.b.kill()
    two.a.wait(control.PeerLost)


def test_a_lone_primary_has_noted_the_drop_before_anything_completes(tmp_path: Path) -> None:
    with pair(tmp_path) as two, Writer(two.a.data / "file") as writer:
        writer.wait(5)
        assert identity(two.a)["revision"] == 100, "of its promotion; the peer's coming was no reason to write"
        lose_the_peer(two)
        assert writer.stands_still()
        two.settle(())
        writer.wait(5)
        assert identity(two.a)["revision"] == 100 + two.number
        writer.stop()


def test_where_the_drop_cannot_be_noted_nothing_completes(tmp_path: Path) -> None:
    with pair(tmp_path) as two, Writer(two.a.data / "file") as writer:
        writer.wait(5)
        spare = two.a.opened("/.mirrorfarm") / "identity.json.new"
        spare.unlink()
        spare.mkdir()
        lose_the_peer(two)
        two.settle(())
        assert "noted" in two.a.wait(control.Failed).reason
        assert writer.stands_still()
        two.a.tell(control.Idle())
        two.a.wait(control.Idled)
        writer.stop()
        assert writer.error is not None


def test_a_full_disk_still_takes_the_drop(tmp_path: Path) -> None:
    with ExitStack() as stack:
        disk = Path(stack.enter_context(loop_mounted("ext4", 330)))
        a, b = (Node(name, tmp_path, Options(), (disk / "data",) if name == "a" else ()) for name in ("a", "b"))
        two = stack.enter_context(pair_of(a, b))
        fill(a)
        lose_the_peer(two)
        two.settle(())
        deadline = time.monotonic() + 10.0
        while a.status().held:
            assert time.monotonic() < deadline
        assert identity(a)["revision"] == 100 + two.number


def test_the_stores_id_is_written_as_the_agent_tells(tmp_path: Path) -> None:
    with nodes(tmp_path, ("a",)) as (one,):
        one.lease()
        one.tell(control.Serve(1, 100, "store"))
        one.wait(control.Serving)
        assert one.connect().identity == DiskIdentity("cluster", "module", 1, 100, "store", 1)
        one.tell(control.Follow(2, 200, "b"))
        one.wait_for_role("secondary")
        assert one.connect().identity == DiskIdentity("cluster", "module", 2, 200, "store", 1)
        one.tell(control.Follow(2, 5, "b", "rebuilt"))
        one.tell(control.Idle())
        one.wait(control.Idled)
        assert one.connect().identity == DiskIdentity("cluster", "module", 2, 5, "rebuilt", 1)


def test_a_disk_that_came_from_the_other_node_is_refused_until_it_is_where_it_belongs(tmp_path: Path) -> None:
    """It has taken part in the epoch for which the record lists this node, and lacks what was written alone since."""
    with pair(tmp_path) as two:
        end(two.b)
        two.a.wait(control.PeerLost)
        two.settle(())
        (two.a.data / "file").write_text("written alone")
        end(two.a)
        exchange(two.a.data, two.b.data)
        hello = two.a.start()
        assert (hello.identity, hello.seen_epoch) == (None, 0)
        assert "node b" in hello.foreign
        two.a.lease()
        for command in (control.Serve(2, 300), control.Follow(2, 300, "b")):
            two.a.tell(command)
            assert "node b" in two.a.wait(control.Refused).reason
        assert two.a.quit() == 0
        exchange(two.a.data, two.b.data)
        hello = two.a.start()
        assert (hello.identity is not None, hello.foreign) == (True, "")
        assert (two.a.data / "file").read_text() == "written alone"


def end(node: Node) -> None:
    """Nothing of it is mounted any more."""
    node.tell(control.Idle())
    node.wait(control.Idled)
    assert node.quit() == 0


def exchange(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
