"""Handlers of open files, without a mount: the issuer is a gate that can be shut."""

import contextlib
import stat
from pathlib import Path
from typing import Any, cast

from manager.model.ids import ROOT_INODE
from replicator.disk.inode_ids import InodeIds
from replicator.disk.volume import Volume
from replicator.fuse.abi import Opcode
from replicator.fuse.context import Context
from replicator.fuse.reading import FileHandlers
from replicator.fuse.requests import Fallocate, Header
from tests.unit.replicator.fuse.test_context import Gate


class Kernel:
    """What it is told, in order; and which mode it gets when it asks again for the attributes then."""

    def __init__(self, file: Path) -> None:
        self.told: list[str] = []
        self._file = file

    def ok(self, unique: int, *parts: bytes | memoryview) -> None:
        self.told.append("answer")

    def error(self, unique: int, code: int) -> None:
        raise AssertionError(code)

    def written(self, unique: int, count: int) -> None:
        raise AssertionError("nothing is written here")

    def attributes_changed(self, inode: int) -> None:
        self.told.append(oct(stat.S_IMODE(self._file.stat().st_mode)))


def test_the_kernel_asks_again_for_a_mode_when_it_is_another_one(tmp_path: Path) -> None:
    """It keeps what it gets for a day."""
    file = tmp_path / "file"
    file.write_bytes(b"x")
    file.chmod(0o4755)
    with contextlib.closing(Volume.open(str(tmp_path))) as volume:
        volume.number_from(InodeIds(1))
        gate, kernel = Gate(volume), Kernel(file)
        context = Context(volume, gate, kernel, cast(Any, None), lambda error: None)
        inode, _ = volume.lookup(volume.table[ROOT_INODE], b"file")
        header = Header(0, Opcode.FALLOCATE, 2, inode.id, uid=1000, gid=1000, pid=1)
        FileHandlers(context).fallocate(header, Fallocate(0, 4096, 0))
        assert kernel.told == [], "the peer has not taken the bit away yet"
        gate.open()
        assert kernel.told == ["0o755", "answer"]
