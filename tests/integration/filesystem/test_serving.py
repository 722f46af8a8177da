"""What the file system owes its kernel: bounded memory, fsync for O_SYNC, dying well, and leaving a plain directory."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from manager import mountinfo
from replicator.disk import linux
from replicator.fuse import mounting
from replicator.fuse.device import BUFFERS
from replicator.wire.frames import MAX_WRITE
from tests.support.file_actor import Actor, Operation
from tests.support.grounds import loop_mounted
from tests.support.local_issuer import Server, mounted

_WRITE_AND_STAY = "import os,sys; f=os.open(sys.argv[1], os.O_RDWR); print('open', flush=True); os.pwrite(f, b'x', 0)"


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def resident_bytes(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * 4096


def requests_that_wait(directory: Path) -> int:
    """For the server of what is mounted there, as the kernel counts them; nothing is asked of it."""
    mount = [mount for mount in mountinfo.read() if mount.point == str(directory)][-1]
    control = linux.open_detached("fusectl")
    try:
        waiting = os.open(f"{mount.device.partition(':')[2]}/waiting", os.O_RDONLY, dir_fd=control)
        with open(waiting, "rb") as file:
            return int(file.read())
    finally:
        os.close(control)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "data"
    path.mkdir()
    yield path
    mounting.clear(str(path))


@pytest.fixture
def server(directory: Path) -> Iterator[Server]:
    with mounted(str(directory)) as running:
        yield running


@pytest.mark.parametrize("flag", [os.O_SYNC, os.O_DSYNC])
def test_a_write_with_o_sync_is_followed_by_fsync_before_it_returns(server: Server, directory: Path, flag: int) -> None:
    file = os.open(directory / "file", os.O_RDWR | os.O_CREAT | flag)
    before = server.counts()
    os.pwrite(file, b"x" * 4096, 0)
    after = server.counts()
    os.close(file)
    assert (after["WRITE"] - before["WRITE"], after["FSYNC"] - before["FSYNC"]) == (1, 1)


def test_a_write_without_it_is_one_operation_and_nothing_else(server: Server, directory: Path) -> None:
    file = os.open(directory / "file", os.O_RDWR | os.O_CREAT)
    before = server.counts()
    for number in range(10):
        os.pwrite(file, b"x" * 4096, number * 4096)
    os.pwrite(file, b"y" * (1 << 20), 0)
    after = server.counts()
    os.close(file)
    assert after - before == {"WRITE": 11}


def test_what_is_appended_while_somebody_empties_the_file_is_all_that_is_in_it(server: Server, directory: Path) -> None:
    """As of a log, by a shell's ">"."""
    path = directory / "log"
    path.write_bytes(b"before")
    appending = os.open(path, os.O_WRONLY | os.O_APPEND)
    before = server.counts()["SETATTR"]
    assert server.ask("hold") == "held"
    with ThreadPoolExecutor(2) as threads:
        emptying = threads.submit(os.open, path, os.O_WRONLY | os.O_TRUNC)
        eventually(lambda: server.counts()["SETATTR"] == before + 1)
        writing = threads.submit(os.write, appending, b"after")
        time.sleep(0.2)
        assert server.ask("release") == "released"
        os.close(emptying.result(20))
        assert writing.result(20) == 5
    os.close(appending)
    assert path.read_bytes() == b"after"


@pytest.mark.parametrize("content", [b"", b"content"])
def test_who_opens_a_file_to_empty_it_sets_its_time(server: Server, directory: Path, content: bytes) -> None:
    path = directory / "stamp"
    path.write_bytes(content)
    os.utime(path, (1, 1))
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
    status = path.stat()
    assert status.st_mtime > 1 and status.st_size == 0


def test_memory_in_flight_is_bounded_and_what_waited_is_done(server: Server, directory: Path) -> None:
    writers, size = 3 * BUFFERS, 1 << 20
    files = [os.open(directory / f"file{i}", os.O_RDWR | os.O_CREAT) for i in range(writers)]
    before = resident_bytes(server.pid)
    assert server.ask("hold") == "held"
    with ThreadPoolExecutor(writers) as threads:
        results = [threads.submit(os.pwrite, file, bytes([i]) * size, 0) for i, file in enumerate(files)]
        eventually(lambda: server.counts()["WRITE"] >= BUFFERS)
        time.sleep(0.2)
        assert server.counts()["WRITE"] == BUFFERS
        assert not any(result.done() for result in results)
        assert resident_bytes(server.pid) - before < (BUFFERS + 8) * size
        assert server.ask("release") == "released"
        assert [result.result(20) for result in results] == [size] * writers
    for number, file in enumerate(files):
        assert os.pread(file, size, 0) == bytes([number]) * size
        os.close(file)


def test_fencing_frees_a_killed_process_that_is_stuck_in_a_held_write(directory: Path) -> None:
    (directory / "file").write_bytes(b"before")
    with mounted(str(directory)) as server:
        assert server.ask("hold") == "held"
        command = [sys.executable, "-c", _WRITE_AND_STAY, str(directory / "file")]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert writer.stdout is not None and writer.stdout.readline() == b"open\n"
        eventually(lambda: server.counts()["WRITE"] == 1)
        writer.kill()
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.5)
        assert server.ask("fence") == "as told"
        assert writer.wait(5) == -signal.SIGKILL
        writer.stdout.close()
        assert (directory / "file").read_bytes() == b"before", "plain again, and the held write was not applied"


def test_when_the_server_dies_what_is_open_fails_and_the_next_start_clears_the_mount(directory: Path) -> None:
    with mounted(str(directory), expect_code=-signal.SIGKILL) as server:
        (directory / "file").write_bytes(b"data")
        file = os.open(directory / "file", os.O_RDWR)
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(OSError) as caught:
            eventually(lambda: os.pwrite(file, b"d", 0) < 0)
        assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
        with pytest.raises(OSError, match="not connected"):
            os.close(file)
    with pytest.raises(OSError, match="not connected"):
        os.listdir(directory)
    mounting.clear(str(directory))
    assert (directory / "file").read_bytes() == b"data"


def test_a_large_write_in_flight_returns_short_when_the_server_dies(directory: Path) -> None:
    path, data = directory / "file", os.urandom(4 * MAX_WRITE)
    path.touch()
    below = os.open(path, os.O_RDONLY)
    try:
        with mounted(str(directory), expect_code=-signal.SIGKILL) as server, ThreadPoolExecutor(1) as threads:
            file = os.open(path, os.O_RDWR)
            assert server.ask("hold 3") == "held"
            writing = threads.submit(os.pwrite, file, data, 0)
            # The kernel sends a request once it has been answered the one before.
            eventually(lambda: server.counts()["WRITE"] == 3)
            os.kill(server.pid, signal.SIGKILL)
            written = writing.result(10)
            with pytest.raises(OSError, match="not connected"):
                os.close(file)
        assert written == 2 * MAX_WRITE
        assert os.pread(below, len(data), 0) == data[:written], "what was returned is there"
    finally:
        os.close(below)


def test_a_hung_server_is_cleared_too(directory: Path) -> None:
    with mounted(str(directory), expect_code=1) as server:
        os.kill(server.pid, signal.SIGSTOP)
        with ThreadPoolExecutor(1) as threads:
            stuck = threads.submit(os.listdir, directory)
            eventually(lambda: requests_that_wait(directory) > 0)
            mounting.clear(str(directory))
            assert isinstance(stuck.exception(5), OSError)
        os.kill(server.pid, signal.SIGCONT)


def test_unmounting_brings_mapped_stores_down_first(directory: Path) -> None:
    program = (
        "import mmap,os,sys; f=os.open(sys.argv[1], os.O_RDWR|os.O_CREAT); os.ftruncate(f, 1<<20);"
        "m=mmap.mmap(f, 1<<20); os.close(f); m[:]=b'm'*(1<<20)"
    )
    with mounted(str(directory)):
        subprocess.run([sys.executable, "-c", program, str(directory / "file")], check=True)
    assert (directory / "file").read_bytes() == b"m" * (1 << 20)


@pytest.mark.parametrize(("kind", "left"), [("map_store", 0o6755), ("pwrite", 0o755)])
def test_who_writes_takes_privileges_away_and_who_stores_into_a_mapping_does_not(
    directory: Path, kind: str, left: int
) -> None:
    with mounted(str(directory)):
        actor = Actor(str(directory), 0)
        assert actor.perform(Operation("open", (0, "file", os.O_RDWR | os.O_CREAT, 0o644)))
        assert actor.perform(Operation("pwrite", (0, 0, 100, 1))) == 100
        actor.perform(Operation("fchmod", (0, 0o6755)))
        actor.perform(Operation(kind, (0, 0, 10, 2), 1001))
        assert stat.S_IMODE(os.stat(directory / "file").st_mode) == left
        actor.close_all()


@pytest.mark.parametrize(("mode", "left"), [(0o6755, 0o755), (0o2700, 0o2700), (0o4700, 0o700)])
def test_a_change_of_owner_by_root_takes_privileges_that_mean_something(directory: Path, mode: int, left: int) -> None:
    for path in (directory.parent / "plain", directory / "file"):
        with mounted(str(directory)):
            path.touch()
            path.chmod(mode)
            os.chown(path, 1001, 1002)
            assert stat.S_IMODE(path.stat().st_mode) == left


def test_reads_that_are_not_in_the_page_cache_below(directory: Path) -> None:
    data = os.urandom(3 << 20)
    with open(directory / "file", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with mounted(str(directory)):
        assert (directory / "file").read_bytes() == data


def test_the_private_directory_is_hidden_and_its_name_reserved(directory: Path, server: Server) -> None:
    private = directory / ".mirrorfarm"
    assert os.listdir(directory) == [] and not private.exists()
    assert os.stat(directory).st_nlink == 2
    for attempt in (private.mkdir, lambda: private.write_bytes(b""), lambda: os.symlink("x", private)):
        with pytest.raises(PermissionError):
            attempt()
    (directory / "d").mkdir()
    (directory / "d" / ".mirrorfarm").mkdir()
    with pytest.raises(PermissionError):
        os.rename(directory / "d", private)


def test_a_cover_is_read_only_for_services_that_have_a_mount_namespace_of_their_own(directory: Path) -> None:
    """One that runs already, with PrivateTmp= or the like: what is mounted later comes to it."""
    (directory / "file").write_bytes(b"ours")
    root = directory.parent
    linux.mount(str(root), str(root), "none", linux.MS_BIND)
    subprocess.run(["mount", "--make-shared", root], check=True)
    waits = 'read -r word; echo theirs >"$0" || true; cat "$0"'
    service = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "slave", "sh", "-c", f"echo there; {waits}", directory / "file"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert service.stdout is not None and service.stdout.readline() == b"there\n"
        mounting.cover(str(directory))
        said, refused = service.communicate(b"now\n", timeout=10)
        mounting.uncover(str(directory))
    finally:
        service.kill()
        linux.unmount(str(root), linux.MNT_DETACH)
    assert said == b"ours" and b"Read-only file system" in refused


def test_a_cover_is_read_only_and_shows_what_is_written_below(directory: Path) -> None:
    below = os.open(directory, os.O_RDONLY)
    mounting.cover(str(directory))
    try:
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        assert os.listdir(directory) == ["new"]
        with pytest.raises(OSError, match="Read-only"):
            (directory / "other").touch()
    finally:
        mounting.uncover(str(directory))
        os.close(below)
    (directory / "other").touch()
    mounting.uncover(str(directory))  # there is none: nothing happens
    mounting.cover(str(directory))
    mounting.cover(str(directory))
    mounting.clear(str(directory))
    assert str(directory) not in [mount.point for mount in mountinfo.read()]


def test_a_full_disk_refuses_what_is_new_and_takes_what_overwrites() -> None:
    with loop_mounted("ext4", 24) as root:
        directory = os.path.join(root, "data")
        os.mkdir(directory)
        with mounted(directory):
            file = os.open(os.path.join(directory, "file"), os.O_RDWR | os.O_CREAT)
            offset = 0
            with pytest.raises(OSError) as caught:
                while offset < 64 << 20:
                    offset += os.pwrite(file, b"f" * 65536, offset)
            assert caught.value.errno == errno.ENOSPC and offset > 8 << 20
            assert os.fstat(file).st_size == offset
            assert os.pwrite(file, b"g" * 65536, 0) == 65536
            with pytest.raises(OSError) as caught:
                os.posix_fallocate(file, offset, 16 << 20)
            assert caught.value.errno == errno.ENOSPC
            assert os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize < 2 << 20
            os.ftruncate(file, 65536)
            assert os.pwrite(file, b"h" * 65536, 65536) == 65536
            assert os.pread(file, 131072, 0) == b"g" * 65536 + b"h" * 65536
            os.close(file)
