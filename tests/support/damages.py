"""Ways to change one copy below the mount, as a bad disk or a careless operator may, and what verify calls each."""

import os
from collections.abc import Callable
from pathlib import Path

from manager.model import control
from tests.support.replicators import Pair


def fill(root: Path) -> None:
    """A small tree with something of everything that can be damaged."""
    (root / "dir/inner").mkdir(parents=True)
    (root / "dir/file").write_bytes(os.urandom(200_000))
    (root / "dir/inner/other").write_bytes(b"text")
    with open(root / "sparse", "wb") as file:
        file.truncate(3 << 20)
    os.link(root / "dir/file", root / "dir/inner/link")
    os.symlink("dir/file", root / "symlink")
    os.setxattr(root / "dir/file", "user.colour", b"green")


def _write_byte(root: Path, name: str, offset: int) -> None:
    status = (root / name).stat()
    with open(root / name, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes((byte[0] ^ 1,)))
    os.utime(root / name, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace_by_copy(root: Path) -> None:
    path = root / "dir/inner/other"
    status, text = path.stat(), path.read_bytes()
    parent = path.parent.stat()
    path.unlink()
    path.write_bytes(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.utime(path.parent, ns=(parent.st_atime_ns, parent.st_mtime_ns))


def _break_link(root: Path) -> None:
    path = root / "dir/inner/link"
    text = path.read_bytes()
    path.unlink()
    path.write_bytes(text)


def _make_link(root: Path) -> None:
    (root / "dir/inner/other").unlink()
    os.link(root / "sparse", root / "dir/inner/other")


def _retarget(root: Path) -> None:
    (root / "symlink").unlink()
    (root / "symlink").symlink_to("elsewhere")


def _change_type(root: Path) -> None:
    (root / "symlink").unlink()
    (root / "symlink").mkdir()


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a byte": ("content", lambda root: _write_byte(root, "dir/file", 150_000)),
    "a byte in a hole": ("content", lambda root: _write_byte(root, "sparse", 2_000_000)),
    "mode": ("mode", lambda root: os.chmod(root / "dir/inner/other", 0o604)),
    "mode of a directory": ("mode", lambda root: os.chmod(root / "dir/inner", 0o701)),
    "mode of the root": ("mode", lambda root: os.chmod(root, 0o711)),
    "owner": ("owner", lambda root: os.chown(root / "dir/inner/other", 5, 6)),
    "time": ("mtime", lambda root: os.utime(root / "dir/inner/other", ns=(0, 5))),
    "size": ("size", lambda root: os.truncate(root / "dir/file", 199_999)),
    "an attribute changed": ("xattr", lambda root: os.setxattr(root / "dir/file", "user.colour", b"red")),
    "an attribute removed": ("xattr", lambda root: os.removexattr(root / "dir/file", "user.colour")),
    "a link broken": ("link", _break_link),
    "a link made": ("link", _make_link),
    "a symbolic link's target": ("link", _retarget),
    "type": ("type", _change_type),
    "replaced by an equal copy": ("identity", _replace_by_copy),
}
"""By name: what verify calls it, and what does it to the tree that :func:`fill` made."""


def repair(two: Pair) -> control.VerifyReport:
    """What was found; the secondary is given up for it, leaves the record, joins, and is listed again."""
    two.a.tell(control.Verify("repair", 100, repair=True))
    report = two.a.wait(control.VerifyReport)
    assert report.error == "" and report.repairing
    assert "differs" in two.a.wait(control.PeerLost).reason
    hello = two.b.connect()
    event: object = None
    while not isinstance(event, control.PeerComplete):
        two.settle(())
        two.a.tell(control.Peer(two.b.name, "127.0.0.1", hello.listen_port))
        event = two.a.wait(object, lambda e: isinstance(e, control.PeerComplete | control.PeerLost))
    two.settle((two.b.name,))
    return report
