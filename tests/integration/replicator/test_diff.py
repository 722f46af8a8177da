"""Real replicators: what diff says before is what the join looks at then."""

import os
import time
from pathlib import Path

from manager.model import control
from manager.model.control import Scope
from tests.support.replicators import Node, Options, Pair, changed, nodes, pair

ZONE = 8 << 20
SIZE = 2 * ZONE + 5000
NO_BARRIERS = Options(command=changed("from replicator import barriers; barriers.EVERY_S = 1000.0"))
"""Nothing that changed is forgotten before the secondary leaves."""


def diff(node: Node) -> control.DiffReport:
    node.tell(control.Diff("question"))
    report = node.wait(control.DiffReport)
    assert report.request_id == "question" and report.whole and report.unfound == 0
    return report


def lose(two: Pair) -> None:
    two.b.kill()
    two.a.wait(control.PeerLost)
    two.settle(())
    two.b.clear()


def come_back(two: Pair) -> control.Progress:
    """The last that was said of the join."""
    two.a.events.clear()
    two.b.start()
    two.join()
    return [event for event in two.a.events if isinstance(event, control.Progress)][-1]


def test_what_changed_is_counted_before_and_is_what_the_join_looks_at(tmp_path: Path) -> None:
    with pair(tmp_path, NO_BARRIERS) as two:
        root = two.a.data
        (root / "dir/inner").mkdir(parents=True)
        (root / "dir/large").write_bytes(os.urandom(SIZE))
        for number in range(30):
            (root / f"dir/inner/{number}").write_bytes(b"x" * 100)
        lose(two)
        come_back(two)  # That is on both disks now.
        end = time.monotonic() + 10
        while (nothing := diff(two.a)).new_files:  # Until the list is taken off the disk.
            assert time.monotonic() < end
        assert nothing.in_sync and nothing.scope is Scope.CHANGES
        assert (nothing.directories, nothing.files) == (0, 0)

        with open(root / "dir/large", "r+b") as file:
            file.seek(2 * ZONE + 1)
            file.write(b"changed")
        os.chmod(root / "dir/inner/7", 0o600)
        (root / "new").mkdir()
        for number in range(3):
            (root / f"new/{number}").write_bytes(b"y" * 1000)
        together = diff(two.a)
        lose(two)
        alone = diff(two.a)
        for report, in_sync in ((together, True), (alone, False)):
            assert report.in_sync is in_sync and report.scope is Scope.CHANGES and not report.all_names
            assert (report.files, report.bytes) == (1, SIZE - 2 * ZONE)
            assert (report.new_files, report.new_bytes) == (3, 3000)
            assert 1 <= report.directories <= 2 and 2 + 3 <= report.entries < 15
        said = come_back(two)
        assert said.bytes_done == alone.bytes + alone.new_bytes
        assert said.entries_done <= alone.entries + alone.directories + alone.inodes + alone.files + 1


def test_where_nothing_is_known_it_is_everything(tmp_path: Path) -> None:
    with nodes(tmp_path, ("a",)) as (a,):
        a.serve(1)
        (a.data / "dir").mkdir()
        (a.data / "dir/file").write_bytes(bytes(12_345))
        report = diff(a)
        assert (report.scope, report.in_sync) == (Scope.EVERYTHING, False)
        assert (report.entries, report.files, report.bytes) == (2, 1, 12_345)


def test_a_secondary_is_not_asked(tmp_path: Path) -> None:
    with pair(tmp_path) as two:
        two.b.tell(control.Diff("question"))
        assert two.b.wait(control.Refused).command == "Diff"
