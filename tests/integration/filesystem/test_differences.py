"""What differs from a local file system, line by line of docs/DIFFERENCES.md: each shown on both."""

import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replicator.core.filesystem import RENAME_WHITEOUT
from replicator.disk import linux
from tests.support.file_actor import Actor, Operation
from tests.support.grounds import loop_mounted
from tests.support.local_issuer import Server, mounted
from tests.support.majority import hold_mostly

_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS = 0x80086601, 0x40086602
_FS_IOC_FIEMAP = 0xC020660B
_FIFREEZE = 0xC0045877
_FAN_REPORT_DFID_NAME, _FAN_CREATE = 0xC00, 0x100
_FAN_MARK_ADD_FILESYSTEM = 0x101
"""linux/fs.h, linux/fanotify.h."""
_APPEND_ONLY = 0x20
_RESERVE = 1 << 20
_CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
_PAGE = 4096
_ATTEMPTS = 5
"""At what is so until the kernel writes something back, of most: who calls sync(2) may have one done at once."""


class Ground:
    """A plain directory and a mirrored one on one ext4."""

    def __init__(self, plain: str, mirrored: str, below: int, server: Server) -> None:
        self.plain, self.mirrored, self.below, self.server = plain, mirrored, below, server

    def on_both(self, attempt: Callable[[str], object]) -> tuple[object, object]:
        """What it gives on the plain directory, and on the mirrored one: a value, or the name of an errno."""

        def outcome(directory: str) -> object:
            try:
                return attempt(directory)
            except OSError as error:
                assert error.errno is not None
                return errno.errorcode[error.errno]

        return outcome(self.plain), outcome(self.mirrored)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with loop_mounted("ext4", 64) as root:
        plain, mirrored = os.path.join(root, "plain"), os.path.join(root, "mirrored")
        for path in (plain, mirrored):
            os.mkdir(path)
            os.chmod(path, 0o777)
        below = os.open(mirrored, os.O_RDONLY)
        try:
            with mounted(mirrored) as server:
                yield Ground(plain, mirrored, below, server)
        finally:
            os.close(below)


def opened(directory: str, name: str, flags: int = 0, size: int = 2 * _PAGE) -> int:
    file = os.open(os.path.join(directory, name), os.O_RDWR | os.O_CREAT | flags, 0o666)
    os.truncate(file, 0)
    os.write(file, b"x" * size)
    os.fsync(file)
    return file


def test_stores_into_a_mapping_are_mirrored_when_they_are_written_back(ground: Ground) -> None:
    file = opened(ground.mirrored, "mapped")
    with mmap.mmap(file, 2 * _PAGE) as mapping:

        def waits_for_that() -> bool:
            before = ground.server.counts()["WRITE"]
            mapping[0:4] = b"here"
            waits = ground.server.counts()["WRITE"] == before
            assert os.pread(file, 4, 0) == b"here", "on this node it is seen at once"
            mapping.flush()
            assert ground.server.counts()["WRITE"] == before + 1
            return waits

        hold_mostly(waits_for_that, bool, _ATTEMPTS)
    os.close(file)


def test_sync_of_the_whole_system_is_not_passed_on(ground: Ground) -> None:
    file = opened(ground.mirrored, "synced")
    before = ground.server.counts()
    os.pwrite(file, b"y", 0)
    linux.syncfs(file)
    assert ground.server.counts() - before == {"WRITE": 1}
    os.close(file)


def test_reading_does_not_change_the_access_time(ground: Ground) -> None:
    def read_an_old_file(directory: str) -> bool:
        path = os.path.join(directory, "read")
        os.close(opened(directory, "read"))
        os.utime(path, ns=(10**18, 10**18))
        with open(path, "rb") as file:
            file.read()
        return os.stat(path).st_atime_ns != 10**18

    assert ground.on_both(read_an_old_file) == (True, False)


@pytest.mark.parametrize(("mode", "offset"), [(0x08, 0), (0x20, 0), (0x41, 0)])
def test_fallocate_collapse_insert_and_unshare_are_not_supported(ground: Ground, mode: int, offset: int) -> None:
    def attempt(directory: str) -> str:
        file = opened(directory, "ranges")
        try:
            linux.fallocate(file, mode, offset, _PAGE)
        finally:
            os.close(file)
        return "done"

    plain, mirrored = ground.on_both(attempt)
    assert mirrored == "ENOTSUP"
    assert plain == ("ENOTSUP" if mode == 0x41 else "done"), "ext4 shares no blocks"


def test_a_file_cannot_be_made_without_a_name(ground: Ground) -> None:
    def attempt(directory: str) -> str:
        os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR))
        return "done"

    assert ground.on_both(attempt) == ("done", "ENOTSUP")


def test_ioctls_of_the_file_system_are_not_passed_on(ground: Ground) -> None:
    def flags(directory: str) -> str:
        file = opened(directory, "flags")
        try:
            fcntl.ioctl(file, _FS_IOC_GETFLAGS, bytes(8))
        finally:
            os.close(file)
        return "done"

    def extents(directory: str) -> str:
        file = opened(directory, "extents")
        try:
            fcntl.ioctl(file, _FS_IOC_FIEMAP, struct.pack("<QQIIII", 0, 1 << 20, 0, 0, 0, 0))
        finally:
            os.close(file)
        return "done"

    assert ground.on_both(flags) == ("done", "ENOTTY")
    assert ground.on_both(extents) == ("done", "ENOTSUP")
    directory = os.open(ground.mirrored, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="not supported"):
            fcntl.ioctl(directory, _FIFREEZE, 0)
    finally:
        os.close(directory)


def test_a_read_is_never_from_memory_alone(ground: Ground) -> None:
    def attempt(directory: str) -> int:
        file = opened(directory, "read")
        try:
            return os.preadv(file, [bytearray(10)], 0, os.RWF_NOWAIT)
        finally:
            os.close(file)

    assert ground.on_both(attempt) == (10, "ENOTSUP")


def test_a_file_is_no_swap_space(ground: Ground) -> None:
    library = ctypes.CDLL(None, use_errno=True)

    def attempt(directory: str) -> str:
        path = os.path.join(directory, "swap")
        os.close(opened(directory, "swap", size=64 * _PAGE))
        os.chmod(path, 0o600)
        subprocess.run(["mkswap", "-q", path], check=True)
        if library.swapon(path.encode(), 0):
            raise OSError(ctypes.get_errno(), "swapon")
        assert library.swapoff(path.encode()) == 0
        return "done"

    assert ground.on_both(attempt) == ("done", "EINVAL")


def test_an_overlay_has_it_below_and_not_above(ground: Ground, tmp_path: Path) -> None:
    def overlay(lower: str, above: str) -> str:
        for name in ("upper", "work"):
            os.makedirs(os.path.join(above, name), exist_ok=True)
        options = f"lowerdir={lower},upperdir={above}/upper,workdir={above}/work"
        linux.mount("overlay", str(tmp_path), "overlay", 0, options)
        try:
            (tmp_path / "made").write_bytes(b"above")
            return "done"
        finally:
            linux.unmount(str(tmp_path))

    os.makedirs(os.path.join(ground.plain, "lower"))
    assert ground.on_both(lambda above: overlay(f"{ground.plain}/lower", above)) == ("done", "EINVAL")
    assert overlay(ground.mirrored, ground.plain) == "done"


def test_a_whole_file_system_cannot_be_watched_by_its_names(ground: Ground) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    watch = library.fanotify_init(_FAN_REPORT_DFID_NAME, os.O_RDONLY)
    assert watch >= 0

    def attempt(directory: str) -> str:
        if library.fanotify_mark(watch, _FAN_MARK_ADD_FILESYSTEM, ctypes.c_uint64(_FAN_CREATE), -1, directory.encode()):
            raise OSError(ctypes.get_errno(), "fanotify_mark")
        return "done"

    try:
        assert ground.on_both(attempt) == ("done", "ENODEV")
    finally:
        os.close(watch)


def test_a_file_that_is_append_only_below_takes_no_change(ground: Ground) -> None:
    os.close(opened(ground.mirrored, "kept"))
    file = os.open("other", os.O_RDWR | os.O_CREAT, dir_fd=ground.below)
    fcntl.ioctl(file, _FS_IOC_SETFLAGS, struct.pack("<Q", _APPEND_ONLY))
    path = os.path.join(ground.mirrored, "other")
    try:
        for attempt in (
            lambda: os.open(path, os.O_WRONLY | os.O_APPEND),
            lambda: os.chmod(path, 0o600),
            lambda: os.unlink(path),
            lambda: os.setxattr(path, "user.a", b""),
        ):
            with pytest.raises(PermissionError):
                attempt()
        with open(path, "rb") as reader:
            assert reader.read() == b""
    finally:
        fcntl.ioctl(file, _FS_IOC_SETFLAGS, struct.pack("<Q", 0))
        os.close(file)


def test_a_write_that_does_not_fit_fails_whole_and_a_reserve_is_kept() -> None:
    with loop_mounted("ext4", 24) as root:
        mirrored, plain = os.path.join(root, "mirrored"), os.path.join(root, "plain")
        os.mkdir(mirrored)
        with mounted(mirrored):
            file = os.open(os.path.join(mirrored, "file"), os.O_RDWR | os.O_CREAT)
            size = os.statvfs(mirrored).f_bavail * _PAGE
            os.posix_fallocate(file, 0, size - (1 << 19))
            left = os.statvfs(root).f_bavail * _PAGE
            with pytest.raises(OSError) as caught:
                os.pwrite(file, b"w" * (1 << 20), size)
            assert caught.value.errno == errno.ENOSPC
            assert os.fstat(file).st_size == size - (1 << 19)
            os.close(file)
        assert _RESERVE <= left < _RESERVE + (2 << 20)
        file = os.open(plain, os.O_RDWR | os.O_CREAT)
        assert 0 < os.write(file, bytes(16 << 20)) < 16 << 20
        os.close(file)


def test_a_store_into_a_mapping_that_finds_no_room_is_told_of_by_msync() -> None:
    with loop_mounted("ext4", 24) as root:
        mirrored = os.path.join(root, "mirrored")
        os.mkdir(mirrored)
        with mounted(mirrored):
            file = os.open(os.path.join(mirrored, "file"), os.O_RDWR | os.O_CREAT)
            os.ftruncate(file, 32 << 20)
            with mmap.mmap(file, 32 << 20) as mapping:
                for offset in range(0, 32 << 20, _PAGE):
                    mapping[offset] = 1  # below, this is a SIGBUS where there is no room
                with pytest.raises(OSError) as caught:
                    mapping.flush()
                assert caught.value.errno == errno.ENOSPC
                mapping.flush()  # once
            os.close(file)


def test_free_space_is_what_one_without_privilege_sees(ground: Ground) -> None:
    plain, mirrored = os.statvfs(ground.plain), os.statvfs(ground.mirrored)
    assert plain.f_bfree > plain.f_bavail
    assert mirrored.f_bfree == mirrored.f_bavail <= plain.f_bavail - _RESERVE // mirrored.f_frsize


def test_inode_numbers_are_the_mirrors_own(ground: Ground) -> None:
    os.close(opened(ground.mirrored, "numbered"))
    path = os.path.join(ground.mirrored, "numbered")
    number = os.stat(path).st_ino
    assert number >= 1 << 40 and number != os.stat("numbered", dir_fd=ground.below).st_ino
    os.rename(path, path + "-again")
    assert os.stat(path + "-again").st_ino == number
    assert os.stat(path + "-again").st_dev != os.stat(ground.plain).st_dev


def test_seek_hole_does_not_see_stores_that_are_not_written_back(ground: Ground) -> None:
    def attempt(directory: str) -> object:
        file = opened(directory, "sparse", size=0)
        os.ftruncate(file, 4 * _PAGE)
        try:
            with mmap.mmap(file, 4 * _PAGE) as mapping:
                mapping[_PAGE] = 1
                return os.lseek(file, 0, os.SEEK_DATA)
        finally:
            os.close(file)

    hold_mostly(lambda: ground.on_both(attempt), lambda found: found == (_PAGE, "ENXIO"), _ATTEMPTS)


def test_direct_io_needs_no_alignment(ground: Ground) -> None:
    def attempt(directory: str) -> object:
        file = opened(directory, "direct", os.O_DIRECT, size=0)
        try:
            return os.pwrite(file, b"abc", 1)
        finally:
            os.close(file)

    assert ground.on_both(attempt) == ("EINVAL", 3)


def test_trusted_attributes_are_listed_for_user_0_alone(ground: Ground) -> None:
    os.close(opened(ground.mirrored, "trusted"))
    path = os.path.join(ground.mirrored, "trusted")
    os.setxattr(path, "trusted.mine", b"")
    assert os.listxattr(path) == ["trusted.mine"], "and never the one with the id"
    actor = Actor(ground.mirrored, 0)
    assert actor.perform(Operation("listxattr", ("trusted",), 1001)) == []


def test_a_store_into_a_mapping_takes_file_capabilities_away(ground: Ground) -> None:
    def attempt(directory: str) -> bool:
        file = opened(directory, "capable")
        os.setxattr(file, "security.capability", _CAPABILITY)
        with mmap.mmap(file, _PAGE) as mapping:
            mapping[0] = 1
            mapping.flush()
        kept = "security.capability" in os.listxattr(file)
        os.pwrite(file, b"y", 0)
        assert "security.capability" not in os.listxattr(file), "as a write does everywhere"
        os.close(file)
        return kept

    assert ground.on_both(attempt) == (True, False)


def test_rename_makes_no_whiteout(ground: Ground) -> None:
    def attempt(directory: str) -> str:
        os.close(opened(directory, "old"))
        linux.rename(-100, f"{directory}/old".encode(), -100, f"{directory}/new".encode(), RENAME_WHITEOUT)
        return "done"

    assert ground.on_both(attempt) == ("done", "EINVAL")


def test_a_change_of_owner_that_names_none_is_no_change(ground: Ground) -> None:
    def attempt(directory: str) -> object:
        os.close(opened(directory, "privileged"))
        path = os.path.join(directory, "privileged")
        os.chmod(path, 0o4755)
        outcome = Actor(directory, 0).perform(Operation("chown", ("privileged", -1, -1), 1001))
        return outcome, stat.S_IMODE(os.stat(path).st_mode)

    assert ground.on_both(attempt) == (("!EPERM", 0o4755), (None, 0o4755))


def test_a_truncation_by_name_to_the_same_length_is_no_change(ground: Ground) -> None:
    def attempt(directory: str) -> list[bool]:
        path = os.path.join(directory, "truncated")
        set_anew: list[bool] = []
        for size, by_name in ((2 * _PAGE, True), (2 * _PAGE, False), (0, True), (0, False)):
            file = opened(directory, "truncated", size=size)
            os.utime(path, ns=(0, 1_000_000_000))
            os.truncate(path if by_name else file, size)
            set_anew.append(os.stat(path).st_mtime_ns != 1_000_000_000)
            os.close(file)
        return set_anew

    assert ground.on_both(attempt) == ([True, True, True, True], [False, True, True, True])


def test_locks_are_this_nodes_alone(ground: Ground) -> None:
    file, other = opened(ground.mirrored, "locked"), opened(ground.mirrored, "locked")
    before = ground.server.counts()
    fcntl.flock(file, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    fcntl.lockf(file, fcntl.LOCK_EX)
    assert ground.server.counts() == before
    os.close(file)
    os.close(other)


def test_extended_attributes_have_the_ids_room_less(ground: Ground) -> None:
    def attempt(directory: str) -> int:
        file = opened(directory, "attributes")
        try:
            for number in range(200):
                os.setxattr(file, f"user.{number:03}", b"v" * 20)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            return number
        finally:
            os.close(file)
        raise AssertionError("they all fit")

    plain, mirrored = attempt(ground.plain), attempt(ground.mirrored)
    assert plain - 8 <= mirrored < plain


def test_an_inode_has_a_thousand_names_less(ground: Ground) -> None:
    os.close(opened(ground.mirrored, "linked"))
    hidden = f"/proc/self/fd/{ground.below}/.mirrorfarm/names"
    os.mkdir(hidden)
    for number in range(os.pathconf(ground.plain, "PC_LINK_MAX") - 1000 - 2):
        os.link("linked", f"{hidden}/{number}", src_dir_fd=ground.below)
    file = os.path.join(ground.mirrored, "linked")
    os.link(file, f"{file} too")
    with pytest.raises(OSError) as refused:
        os.link(file, f"{file} three times")
    assert refused.value.errno == errno.EMLINK


def test_a_device_has_a_number_that_every_file_system_keeps(ground: Ground) -> None:
    def attempt(directory: str) -> None:
        os.mknod(os.path.join(directory, "device"), stat.S_IFCHR | 0o600, os.makedev(512, 0))

    assert ground.on_both(attempt) == (None, "EINVAL")


def test_the_c_library_sees_the_type_of_file_system(ground: Ground) -> None:
    class Statfs(ctypes.Structure):
        _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_char * 256))

    def kind(directory: str) -> int:
        found = Statfs()
        assert ctypes.CDLL(None).statfs(directory.encode(), ctypes.byref(found)) == 0
        return int(found.f_type)

    assert ground.on_both(kind) == (0xEF53, 0x65735546)
    assert ground.on_both(lambda directory: os.pathconf(directory, "PC_LINK_MAX")) == (65000, 127)
