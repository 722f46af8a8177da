"""What a replicator refuses, and how it ends when something in it is broken."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager import mountinfo
from manager.model import control
from manager.model.log_words import LogLevel
from manager.model.records import DiskIdentity
from replicator.disk import linux
from replicator.runtime import EXIT_BROKEN
from replicator.serving import UNMOUNT_SECONDS
from tests.support.cgroups import own_cgroup
from tests.support.replicators import Node, Options, changed, nodes, pair
from tests.support.unmounting import unmount_copies
from tests.support.writers import Writer

BREAK_A_COMMAND = """
import sys
from replicator import main, primary
def broken(self): raise RuntimeError("an invariant of the test")
primary.Primary.thaw = broken
sys.exit(main.main())
"""
BREAK_A_CALLBACK = """
import sys
from replicator import main, streams
def broken(self, peer, place): raise RuntimeError("an invariant of the test")
streams.Streams.acknowledged = broken
sys.exit(main.main())
"""


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Node]:
    with nodes(tmp_path, ("a",)) as (node,):
        yield node


def test_a_broken_command_ends_the_process_and_leaves_nothing_that_serves(tmp_path: Path) -> None:
    with nodes(tmp_path, ("a",), Options(command=(sys.executable, "-c", BREAK_A_COMMAND))) as (node,):
        node.serve(1)
        with Writer(node.data / "file") as writer:
            writer.wait(20)
            node.tell(control.Thaw())
            assert node.process is not None
            assert node.process.wait(10) == EXIT_BROKEN
            writer.stop()
        assert writer.error is not None
        assert not os.path.ismount(node.data)
        assert "an invariant of the test" in node.said()
        (node.data / "plain").write_bytes(b"plain again")


def test_a_broken_callback_on_the_data_path_ends_the_process_too(tmp_path: Path) -> None:
    with nodes(tmp_path, options=Options(command=(sys.executable, "-c", BREAK_A_CALLBACK))) as (a, b):
        a.serve(1)
        port = b.connect().listen_port
        b.follow("a", 1)
        a.tell(control.Peer("b", "127.0.0.1", port))
        assert a.process is not None
        assert a.process.wait(10) == EXIT_BROKEN
        assert not os.path.ismount(a.data)


def test_the_application_is_killed_with_the_role(tmp_path: Path) -> None:
    cgroup = own_cgroup()
    try:
        with nodes(tmp_path, ("a",), Options(cgroup=str(cgroup))) as (node,):
            node.serve(1)
            application = subprocess.Popen(["sleep", "100"], cwd=node.data)
            (cgroup / "cgroup.procs").write_text(str(application.pid))
            node.lease(0.3)
            node.wait(control.Fenced)
            assert application.wait(5) == -signal.SIGKILL
            node.wait(control.Idled)
            assert node.status().role == "idle"
            node.serve(2)
    finally:
        cgroup.rmdir()


def test_it_logs_from_another_level_on_until_that_ends_or_its_agent_does(one: Node) -> None:
    assert one.status().log_level is LogLevel.INFO
    one.tell(control.SetLogLevel(LogLevel.DEBUG, 60_000))
    assert one.status().log_level is LogLevel.DEBUG
    assert '"type": "GetStatus"' in one.said()
    one.tell(control.SetLogLevel(LogLevel.ERROR, 60_000))
    assert one.status().log_level is LogLevel.ERROR
    assert '"to": "error"' in one.said(), "that it is set is logged at every level"
    one.tell(control.SetLogLevel(None))
    assert one.status().log_level is LogLevel.INFO
    one.tell(control.SetLogLevel(LogLevel.DEBUG, 60_000))
    one.disconnect()
    one.connect()
    assert one.status().log_level is LogLevel.INFO
    one.tell(control.SetLogLevel(LogLevel.DEBUG, 1))
    end = time.monotonic() + 10
    while one.status().log_level is not LogLevel.INFO:
        assert time.monotonic() < end, "it does not end"


def test_roles_are_refused_that_would_use_an_old_epoch(one: Node) -> None:
    one.serve(6)
    one.follow("b", 7)
    one.wait_for_role("secondary")
    assert one.connect().identity == DiskIdentity("cluster", "module", epoch=7, revision=700, whole_epoch=6)
    one.follow("b", 6)
    assert "epoch 7" in one.wait(control.Refused).reason
    one.tell(control.CloseStream())
    assert one.wait(control.StreamClosed).epoch == 7
    one.lease()
    one.tell(control.Serve(7, 700))
    assert "epoch 7" in one.wait(control.Refused).reason
    one.serve(8)
    one.tell(control.Serve(9, 900))
    assert "epoch 8" in one.wait(control.Refused).reason
    assert one.status().role == "primary"


def test_a_secondary_without_a_stream_tells_a_new_agent_so(one: Node) -> None:
    one.follow("b", 7)
    one.wait_for_role("secondary")
    assert one.connect().role == "secondary"
    assert one.wait(control.StreamLost).primary == "b"


def test_an_empty_disk_that_followed_vouches_for_nothing_and_does_not_serve(one: Node) -> None:
    one.follow("b", 7)
    one.wait_for_role("secondary")
    assert one.connect().identity is None
    one.lease()
    one.tell(control.Serve(8, 800))
    assert "join" in one.wait(control.Refused).reason
    assert one.quit() == 0
    assert one.start().identity is None


def test_what_only_a_primary_does_is_refused_to_others(one: Node) -> None:
    for command in (control.Freeze(), control.Verify("request")):
        one.tell(command)
        assert one.wait(control.Refused).command == type(command).__name__
    for harmless in (control.Settled(1, 1, 1, ("a",)), control.Peer("b", "127.0.0.1", 1), control.Forget("b")):
        one.tell(harmless)
    assert one.collect(0.1) == []


def test_without_what_must_exist_nobody_serves(tmp_path: Path) -> None:
    wanted = tmp_path / "a/data0/PG_VERSION"
    with nodes(tmp_path, ("a",), Options(must_exist=(str(wanted),))) as (node,):
        node.lease()
        node.tell(control.Serve(1, 100))
        assert "PG_VERSION is not there" in node.wait(control.Refused).reason
        wanted.write_bytes(b"15")
        node.serve(1)


def test_a_disk_of_another_cluster_says_so(one: Node) -> None:
    one.serve(3)
    assert one.quit() == 0
    path = one.data / ".mirrorfarm/identity.json"
    path.write_text(path.read_text().replace('"cluster"', '"elsewhere"'))
    hello = one.start()
    assert hello.identity is None
    assert "elsewhere" in hello.foreign
    one.follow("b", 3)
    assert "elsewhere" in one.wait(control.Refused).reason
    one.lease()
    one.tell(control.Serve(4, 400))
    assert "elsewhere" in one.wait(control.Refused).reason
    assert "elsewhere" in path.read_text()
    path.write_text("{")
    hello = one.connect()
    assert hello.identity is None
    assert "identity.json" in hello.foreign


def test_verify_compares_with_a_complete_peer_and_with_nobody_else(tmp_path: Path) -> None:
    with pair(tmp_path) as two:
        (two.a.data / "same").write_bytes(b"same")
        two.a.tell(control.Verify("first"))
        report = two.a.wait(control.VerifyReport)
        assert (report.error, report.differences_total) == ("", 0)
        assert report.bytes_compared >= 4
        two.b.tell(control.Idle())
        two.b.wait(control.Idled)
        two.a.wait(control.PeerLost)
        two.settle(())
        two.a.tell(control.Verify("second"))
        assert two.a.wait(control.VerifyReport).error != ""


def test_where_somebody_unmounts_it_the_application_is_killed_though_no_agent_hears_of_it(
    tmp_path: Path, cgroup: Path
) -> None:
    """It would go on with the plain directory until the deadline."""
    with nodes(tmp_path, ("a",), Options(cgroup=str(cgroup))) as (node,):
        node.serve(1)
        application = subprocess.Popen(["sleep", "600"], start_new_session=True)
        (cgroup / "cgroup.procs").write_text(str(application.pid))
        linux.unmount(str(node.data), linux.MNT_DETACH)
        end = time.monotonic() + 10
        while application.poll() is None:
            assert time.monotonic() < end, "it goes on"
            unmount_copies(node.data)  # The kernel ends the connection with the last of them.
            time.sleep(0.05)
        assert application.returncode == -signal.SIGKILL
        assert "is gone" in node.wait(control.Failed).reason


def test_a_process_that_was_told_to_end_by_signal_leaves_plain_directories(tmp_path: Path) -> None:
    """It waits for nobody who works there; for its disk it would, within its time."""
    options = Options(command=changed("from replicator import runtime; runtime.LAST_LOOK_S = 0.1"))
    with nodes(tmp_path, ("a",), options) as (one,):
        one.serve(1)
        (one.data / "file").write_bytes(b"data")
        assert one.process is not None
        began = time.monotonic()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(10) == 0
        assert time.monotonic() - began < UNMOUNT_SECONDS
        assert not os.path.ismount(one.data)
        assert (one.data / "file").read_bytes() == b"data"


@pytest.fixture
def mount_point(tmp_path: Path) -> Iterator[Path]:
    """A directory at which a file system of the operator's own is mounted."""
    under, point = tmp_path / "under", tmp_path / "point"
    under.mkdir()
    point.mkdir()
    linux.mount(str(under), str(point), "none", linux.MS_BIND)
    yield point
    while str(point) in [mount.point for mount in mountinfo.read()]:
        linux.unmount(str(point), linux.MNT_DETACH)


@pytest.mark.parametrize("end", ["stopped", "frozen", "fenced"])
def test_the_mount_below_stays_however_a_primary_ends(tmp_path: Path, mount_point: Path, end: str) -> None:
    node = Node("a", tmp_path, Options(), directories=(mount_point,))
    try:
        node.launch()
        node.connect()
        node.serve(1)
        (mount_point / "file").write_bytes(b"x")
        if end == "fenced":
            node.lease(0.2)
            node.wait(control.Fenced)
        else:
            if end == "frozen":
                node.tell(control.Freeze())
                node.wait(control.Frozen)
            node.tell(control.Idle())
        node.wait(control.Idled)
        assert [mount.kind for mount in mountinfo.read() if mount.point == str(mount_point)] != []
        assert (tmp_path / "under" / "file").read_bytes() == (mount_point / "file").read_bytes() == b"x"
    finally:
        node.put_away()
