"""A disk that loses what it had taken: whoever's it is, that node vouches no more for what was only in memory."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from manager.model.boots import FILE, after_loss
from replicator.core.filesystem import FALLOC_FL_KEEP_SIZE
from replicator.disk import linux
from replicator.disk.base import read_bases
from tests.support.failing_disk import FailingDisk, failing_disk
from tests.support.replicators import Node, Options, Pair, pair_of

LOOK_SOON = """
import sys
from replicator import barriers, main, writeback
writeback.LOOK_EVERY_S, barriers.EVERY_S = 0.3, 1000.0
sys.exit(main.main())
"""
NEVER_LOOK = LOOK_SOON.replace("0.3", "1000.0")
LOOK_WHEN_TOLD = NEVER_LOOK.replace(
    "sys.exit",
    """
import signal
from replicator import runtime
class Writeback(runtime.Writeback):
    def start(self):
        super().start()
        self._loop.add_signal_handler(signal.SIGUSR1, self._tick)
runtime.Writeback = Writeback
sys.exit""",
)
"""By :func:`look`."""
DATA = b"D" * (4 << 20)
OLD, NEW = b"O" * (1 << 20), b"N" * (1 << 20)
SAID = ("space", "Input/output", "Read-only")


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest) -> Iterator[FailingDisk]:
    with failing_disk(request.param) as made:
        (made.path / "data").mkdir()
        yield made


@contextlib.contextmanager
def pair_on(disk: FailingDisk, whose: str, base: Path, look: str) -> Iterator[Pair]:
    """``a`` serves and ``b`` is listed; the disk is that of ``whose``."""
    options = Options(command=(sys.executable, "-c", look), compression=False)
    a, b = (Node(name, base, options, (disk.path / "data",) if name == whose else ()) for name in ("a", "b"))
    with pair_of(a, b) as two:
        yield two


class Application:
    """Writes, and syncs if told, in a thread: it may wait for ever."""

    def __init__(self, path: Path, fsync: bool, data: bytes = DATA, mode: str = "wb") -> None:
        self.answered = threading.Event()
        self.written = False
        """All of its writes have returned."""
        self.error: OSError | None = None
        self._thread = threading.Thread(target=self._run, args=(path, fsync, data, mode), daemon=True)
        self._thread.start()

    def _run(self, path: Path, fsync: bool, data: bytes, mode: str) -> None:
        try:
            with open(path, mode, buffering=0) as file:
                file.write(data[: 1 << 20])
                file.write(data[1 << 20 :])
                self.written = True
                if fsync:
                    os.fsync(file)
        except OSError as error:
            self.error = error
        self.answered.set()


def look(node: Node) -> None:
    """Has the replicator look for what its disk has lost."""
    os.kill(node.pid, signal.SIGUSR1)


def wait_until_found(node: Node) -> None:
    """What its disk has lost, whoever is told."""
    end = time.monotonic() + 15.0
    while "disk.failed" not in node.said():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_loss(event: control.Failed) -> bool:
    return event.memory_lost and any(words in event.reason for words in SAID)


def test_a_secondary_that_cannot_bring_an_fsync_to_its_disk_has_lost_its_memory(
    tmp_path: Path, disk: FailingDisk
) -> None:
    with pair_on(disk, "b", tmp_path, NEVER_LOOK) as two:
        disk.fail()
        application = Application(two.a.data / "file", fsync=True)
        two.a.wait(control.PeerLost)
        assert is_loss(two.b.wait(control.Failed))
        assert not application.answered.wait(0.3)
        two.settle(())
        assert application.answered.wait(10.0) and application.error is None
        disk.heal()


def test_a_secondary_finds_a_loss_that_nobody_asked_for(tmp_path: Path, disk: FailingDisk) -> None:
    with pair_on(disk, "b", tmp_path, LOOK_SOON) as two:
        disk.fail()
        application = Application(two.a.data / "file", fsync=False)
        assert is_loss(two.b.wait(control.Failed))
        noted = (two.b.base / FILE).read_text().strip()
        assert noted == after_loss(two.b.boot_id), "the next agent knows it, whoever was told"
        two.a.wait(control.PeerLost)
        two.settle(())
        # A plain write is only applied; where the loss is found before that, it is done without the secondary.
        assert application.answered.wait(10.0) and application.error is None
        disk.heal()


def test_a_loss_is_told_when_neither_stream_nor_role_is_left(tmp_path: Path, disk: FailingDisk) -> None:
    with pair_on(disk, "b", tmp_path, LOOK_WHEN_TOLD) as two:
        disk.fail()
        application = Application(two.a.data / "file", fsync=False)
        assert application.answered.wait(10.0) and application.error is None
        for command, answer in ((control.CloseStream(), control.StreamClosed), (control.Idle(), control.Idled)):
            two.b.tell(command)
            two.b.wait(answer)
        assert not [event for event in two.b.events if isinstance(event, control.Failed)]
        look(two.b)
        assert is_loss(two.b.wait(control.Failed))
        disk.heal()
        two.b.lease()
        two.b.tell(control.Serve(two.epoch + 1, 1000))
        assert "lost" in two.b.wait(control.Refused).reason


@pytest.mark.parametrize("fsync", [True, False])
def test_a_primary_whose_disk_loses_something_leaves_it_to_its_peer(
    tmp_path: Path, disk: FailingDisk, fsync: bool
) -> None:
    with pair_on(disk, "a", tmp_path, NEVER_LOOK if fsync else LOOK_SOON) as two:
        disk.fail()
        application = Application(two.a.data / "file", fsync)
        assert is_loss(two.a.wait(control.Failed))
        if fsync:
            assert not application.answered.is_set(), "the application is not told: its data is safe"
        other = Application(two.a.data / "other", fsync=False)
        assert not other.answered.wait(0.3), "nothing completes any more"
        two.a.tell(control.Idle())
        two.a.wait(control.Idled, seconds=30.0)
        assert other.answered.wait(10.0) and other.error is not None
        assert application.answered.wait(10.0)
        if fsync or application.written:  # else the loss was found between its two writes
            assert (two.b.data / "file").read_bytes() == DATA
        disk.heal()


def test_a_primary_alone_tells_its_application(tmp_path: Path, disk: FailingDisk) -> None:
    with pair_on(disk, "a", tmp_path, LOOK_SOON) as two:
        two.b.kill()
        two.a.wait(control.PeerLost)
        two.settle(())
        (two.a.data / "file").write_bytes(OLD[:4096])
        disk.fail()
        application = Application(two.a.data / "file", fsync=True, mode="r+b")
        assert application.answered.wait(20.0)
        assert application.error is not None
        assert application.error.errno in (errno.ENOSPC, errno.EIO, errno.EROFS)
        wait_until_found(two.a)
        assert not [event for event in two.a.collect(1.0) if isinstance(event, control.Failed)]
        disk.heal()
        two.a.tell(control.Idle())
        assert is_loss(two.a.wait(control.Failed)), "no role is left to tell whoever is listed next"
        two.a.wait(control.Idled)


def test_a_disk_comes_back_as_it_is_there_whoever_has_copies_of_all_mounts() -> None:
    """Else a copy in which something is lost passes for whole by what its file system still has in memory."""
    with failing_disk("ext4", whole=True) as disk:
        file = disk.path / "file"
        file.write_bytes(OLD)
        disk.lose(file)
        with open(file, "r+b") as opened, pytest.raises(OSError):
            opened.write(NEW)
            opened.flush()
            os.fsync(opened)
        disk.heal()
        assert file.read_bytes() == NEW, "it passes for whole"
        beside = ("unshare", "--mount", "sh", "-c", "echo; exec sleep 60")
        with subprocess.Popen(beside, stdout=subprocess.PIPE) as other:
            try:
                assert other.stdout is not None and other.stdout.readline(), "it has its own by now"
                disk.come_back()
            finally:
                other.kill()
        assert file.read_bytes() == bytes(len(NEW))


def below(node: Node) -> Path:
    """The replicated directory as it is below the mount: the replicator's own descriptor of it."""
    return node.opened(str(node.data))


@contextlib.contextmanager
def one_file_is_lost(
    whose: str, base: Path, look: str = LOOK_SOON, kind: str = "ext4", room: int = 0
) -> Iterator[tuple[Pair, FailingDisk]]:
    """A pair with "file" on both, of which the disk of ``whose`` takes nothing more; all else is well.

    ``room``: bytes that the file is given beyond its end, which are lost with it.
    """
    with failing_disk(kind, whole=True) as disk:
        (disk.path / "data").mkdir()
        with pair_on(disk, whose, base, look) as two:
            (two.a.data / "file").write_bytes(OLD)
            if room:
                with open(two.a.data / "file", "rb+") as file:
                    linux.fallocate(file.fileno(), FALLOC_FL_KEEP_SIZE, len(OLD), room)
            disk.lose(below(two.a if whose == "a" else two.b) / "file")
            yield two, disk


def overwrite(two: Pair) -> Application:
    return Application(two.a.data / "file", fsync=False, data=NEW, mode="r+b")


def test_a_copy_that_lost_something_is_compared_as_it_is_on_the_disk(tmp_path: Path) -> None:
    with one_file_is_lost("b", tmp_path) as (two, disk):
        assert overwrite(two).answered.wait(10.0)
        assert is_loss(two.b.wait(control.Failed))
        disk.heal()
        assert disk.content(below(two.b) / "file") != NEW
        assert (two.b.data / "file").read_bytes() == NEW, "it passes for whole"
        start_anew(two)
        assert disk.content(below(two.b) / "file") == NEW


@pytest.mark.parametrize("whose", ["a", "b"])
def test_what_a_disk_gives_back_otherwise_is_found_although_it_is_in_memory(tmp_path: Path, whose: str) -> None:
    with one_file_is_lost(whose, tmp_path, NEVER_LOOK) as (two, disk):
        disk.heal()
        two.a.tell(control.Verify("request"))
        report = two.a.wait(control.VerifyReport)
        assert [(Path(each.path).name, each.what) for each in report.differences] == [("file", "content")]


def start_anew(two: Pair) -> None:
    """Its agent starts the secondary anew, and knows of the loss by what the process before has noted."""
    two.a.wait(control.PeerLost)
    two.settle(())
    two.a.tell(control.Forget("b"))
    two.b.kill()
    two.b.clear()
    two.b.boot_id = (two.b.base / FILE).read_text().strip()
    two.b.start()
    two.join()


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_length_that_was_lost_comes_back_although_what_is_there_reads_as_it_should(tmp_path: Path, kind: str) -> None:
    with one_file_is_lost("b", tmp_path, kind=kind, room=len(OLD)) as (two, disk):
        application = Application(two.a.data / "file", fsync=False, data=bytes(len(OLD)), mode="ab")
        assert is_loss(two.b.wait(control.Failed))
        disk.heal()
        start_anew(two)
        assert application.answered.wait(10.0) and application.error is None
        assert disk.content(below(two.b) / "file")[: len(OLD)] == OLD
        two.b.put_away()
        two.a.wait(control.PeerLost)
        disk.come_back()
        assert (two.b.data / "file").stat().st_size == 2 * len(OLD)


def lacked(two: Pair) -> list[str]:
    """What each stream to the secondary began with, as the primary logs it."""
    logged = (json.loads(line) for line in two.a.log.read_text().splitlines() if '"peer.connected"' in line)
    return [str(line["lacks"]) for line in logged]


def test_a_copy_that_was_compared_as_a_whole_gets_only_what_changed_from_then_on(tmp_path: Path) -> None:
    with one_file_is_lost("b", tmp_path) as (two, disk):
        assert overwrite(two).answered.wait(10.0)
        assert is_loss(two.b.wait(control.Failed))
        disk.heal()
        start_anew(two)
        for _ in range(2):
            two.a.tell(control.Forget("b"))
            two.settle(())
            with open(two.a.data / "file", "r+b") as file:
                file.write(OLD)
            two.join()
        assert lacked(two) == ["everything", "everything", "what is tracked", "what is tracked"]
        assert disk.content(below(two.b) / "file")[: len(OLD)] == OLD
        # Another process of the same boot knows of the loss, and not of what may have been done to the disk since.
        two.b.kill()
        start_anew(two)
        assert lacked(two)[-1] == "everything"


@pytest.mark.parametrize("unlinked", [False, True])
def test_alone_everyone_who_has_a_file_open_that_lost_something_is_told_once(tmp_path: Path, unlinked: bool) -> None:
    """As of a local file: there each open file hears it, whoever else did."""
    with one_file_is_lost("a", tmp_path, NEVER_LOOK) as (two, disk), contextlib.ExitStack() as stack:
        two.b.kill()
        two.a.wait(control.PeerLost)
        two.settle(())
        files = [stack.enter_context(open(two.a.data / "file", "r+b", buffering=0)) for _ in range(3)]
        if unlinked:
            (two.a.data / "file").unlink()
        for file in files:
            file.write(NEW[:4096])
        for file in files:
            with pytest.raises(OSError, match=r"space|Input/output"):
                os.fsync(file)
        for file in files:
            os.fsync(file)
        if not unlinked:
            os.fsync(stack.enter_context(open(two.a.data / "file", "r+b")))
        disk.heal()


def test_a_primary_that_lost_something_alone_goes_once_a_peer_is_listed(tmp_path: Path) -> None:
    with one_file_is_lost("a", tmp_path) as (two, disk):
        two.b.kill()
        two.a.wait(control.PeerLost)
        two.settle(())
        two.a.tell(control.Forget("b"))
        assert overwrite(two).answered.wait(10.0)
        wait_until_found(two.a)
        disk.heal()
        assert not [event for event in two.a.collect(0.5) if isinstance(event, control.Failed)]
        two.b.clear()
        two.b.start()
        two.join()
        assert is_loss(two.a.wait(control.Failed))
        assert (two.b.data / "file").read_bytes() == NEW


def test_a_loss_that_another_sync_was_told_of_is_found_all_the_same(tmp_path: Path) -> None:
    with one_file_is_lost("b", tmp_path, LOOK_WHEN_TOLD) as (two, disk):
        assert overwrite(two).answered.wait(10.0)
        two.b.tell(control.Sync())
        told = two.b.wait(control.Failed)
        assert told.command == "Sync" and is_loss(told)
        look(two.b)
        found = two.b.wait(control.Failed)
        assert found.command == "" and is_loss(found)
        two.a.wait(control.PeerLost)
        two.settle(())
        disk.heal()


@pytest.mark.parametrize("whose", ["a", "b"])
def test_a_loss_that_somebody_else_was_told_of_is_known_when_the_process_ends(tmp_path: Path, whose: str) -> None:
    with one_file_is_lost(whose, tmp_path, NEVER_LOOK) as (two, disk), contextlib.ExitStack() as stack:
        assert overwrite(two).answered.wait(10.0)
        node = two.a if whose == "a" else two.b
        private = os.open(below(node) / ".mirrorfarm", os.O_RDONLY)
        stack.callback(os.close, private)
        assert read_bases([private])
        with pytest.raises(OSError, match="space"):
            linux.syncfs(private)
        disk.heal()
        assert node.quit() == 0
        assert (node.base / FILE).read_text().strip() == after_loss(node.boot_id)
        assert read_bases([private]) == (), "what it came through, it came through in memory only"


def take_over_and_join(two: Pair, disk: FailingDisk) -> Pair:
    """``b`` goes on; the node of ``a``, which lost something, is started anew and joins."""
    two.b.tell(control.CloseStream())
    two.b.wait(control.StreamClosed)
    two.a.put_away()
    disk.heal()
    disk.come_back()
    after = Pair(two.b, two.a, two.epoch + 1)
    after.a.serve(after.epoch)
    after.b.boot_id = "boot-of-another-start"
    after.b.start()
    after.join()
    return after


def test_what_a_primary_lost_alone_comes_back_to_it_after_a_start_of_its_node(tmp_path: Path) -> None:
    with one_file_is_lost("a", tmp_path) as (two, disk):
        two.b.kill()
        two.a.wait(control.PeerLost)
        two.settle(())
        two.a.tell(control.Forget("b"))
        assert overwrite(two).answered.wait(10.0)
        two.b.clear()
        two.b.start()
        two.join()
        assert is_loss(two.a.wait(control.Failed))
        after = take_over_and_join(two, disk)
        assert disk.content(below(after.b) / "file") == NEW


@pytest.mark.parametrize("look", [LOOK_SOON, NEVER_LOOK], ids=["looked for", "found by a barrier"])
def test_what_a_primary_lost_beside_its_peer_comes_back_to_it_after_a_start_of_its_node(
    tmp_path: Path, look: str
) -> None:
    soon = "from replicator import barriers\nbarriers.EVERY_S, barriers.SHARE = 0.2, 0\n"
    with one_file_is_lost("a", tmp_path, look.replace("sys.exit", f"{soon}sys.exit")) as (two, disk):
        assert overwrite(two).answered.wait(10.0)
        for number in range(8):  # barriers are made as long as something changes
            with contextlib.suppress(OSError):
                Application(two.a.data / f"{number}", fsync=False)
            time.sleep(0.5)
        assert is_loss(two.a.wait(control.Failed))
        after = take_over_and_join(two, disk)
        assert disk.content(below(after.b) / "file") == NEW


def test_what_a_primary_lost_alone_is_known_though_its_process_was_killed(tmp_path: Path) -> None:
    """Another one of the same boot would take what is in memory for what is on the disk, and its disk tells no more."""
    with one_file_is_lost("a", tmp_path) as (two, disk):
        two.b.kill()
        two.a.wait(control.PeerLost)
        two.settle(())
        assert overwrite(two).answered.wait(10.0)
        wait_until_found(two.a)
        two.a.kill()
        two.a.clear()
        disk.heal()
        if (two.a.base / FILE).exists():
            two.a.boot_id = (two.a.base / FILE).read_text().strip()
        two.a.start()
        two.b.clear()
        two.b.start()
        again = Pair(two.a, two.b, two.epoch + 1)
        again.a.serve(again.epoch)
        again.join()
        after = take_over_and_join(again, disk)
        assert disk.content(below(after.b) / "file") == NEW
