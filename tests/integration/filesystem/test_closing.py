"""What has no name any more comes off the disk without anybody waiting for it, however long that takes there."""

import mmap
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from manager.model.ids import ROOT_INODE, first_inode
from replicator.disk.closing import LARGE_BYTES
from replicator.disk.inodes import Inode, InodeTable
from tests.support.local_issuer import Server, mounted

_END_SECONDS = 30.0


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _END_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


class Slow:
    """A file system on which no close of what was stored comes to its end; not for ever, lest the test hangs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self.over = False
        self._timer = threading.Timer(_END_SECONDS, self.end)

    def begin(self) -> None:
        assert self._server.ask("hold") == "held"
        self._timer.start()

    def end(self) -> None:
        with self._lock:
            if not self.over:
                self.over = True
                self._timer.cancel()
                assert self._server.ask("release") == "released"


def test_nobody_waits_for_a_disk_that_is_slow_to_be_rid_of_a_large_file(tmp_path: Path) -> None:
    with mounted(str(tmp_path)) as server:
        file = os.open(tmp_path / "large", os.O_RDWR | os.O_CREAT)
        os.posix_fallocate(file, 0, LARGE_BYTES)
        local = os.fstat(file).st_ino
        slow = Slow(server)
        with mmap.mmap(file, LARGE_BYTES) as mapping:
            mapping[0] = 1  # to be written back by the close
            root = Inode(ROOT_INODE, 1, stat.S_IFDIR, protected=False)
            table = InodeTable(root)
            inode = Inode(first_inode(1), local, stat.S_IFREG, protected=False)
            table.add(inode)
            table.adopt_data(inode, file, True)
            inode.references, inode.unlinked = 1, True
            slow.begin()
            try:
                assert table.release(inode, 1) == [inode.id]
                assert not slow.over, "who released it has waited for the disk"
            finally:
                slow.end()
        eventually(lambda: not any(thread.name == "closing" for thread in threading.enumerate()))
