"""Real replicators: whatever is changed below the mount, on either side, is found by verify."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from manager.model import control
from tests.support.replicators import Pair, pair


class Below(NamedTuple):
    """A pair, and its directories as they are below the mounts."""

    pair: Pair
    here: Path
    there: Path

    def verify(self, limit: int = 100) -> control.VerifyReport:
        self.pair.a.tell(control.Verify("request", limit))
        report = self.pair.a.wait(control.VerifyReport)
        assert report.request_id == "request"
        assert report.error == ""
        return report


@pytest.fixture
def below(tmp_path: Path) -> Iterator[Below]:
    with contextlib.ExitStack() as opened:
        places = []
        for name in ("a", "b"):
            directory = tmp_path / name / "data0"
            directory.mkdir(parents=True)
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            opened.callback(os.close, descriptor)
            places.append(Path(f"/proc/self/fd/{descriptor}"))
        two = opened.enter_context(pair(tmp_path))
        _fill(two.a.data)
        yield Below(two, *places)


def _fill(root: Path) -> None:
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


CHANGES: dict[str, tuple[str, Callable[[Path], object]]] = {
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


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_below_the_mount_is_found(below: Below, change: str) -> None:
    report = below.verify()
    assert report.differences == ()
    assert report.differences_total == 0
    assert report.entries == 7
    assert report.bytes_compared >= (3 << 20) + 200_000
    what, make = CHANGES[change]
    for root in (below.there, below.here):
        make(root)
        found = below.verify()
        assert what in {difference.what for difference in found.differences}, found
        if root is below.there:
            _restore(below)


def _restore(below: Below) -> None:
    """A new join repairs what was changed at the secondary."""
    two = below.pair
    two.b.quit()
    two.a.wait(control.PeerLost)
    two.settle(())
    two.b.start()
    two.join()
    assert below.verify().differences_total == 0


def test_names_missing_and_extra_are_found_and_the_report_is_bounded(below: Below) -> None:
    (below.there / "dir/inner/other").unlink()
    for number in range(30):
        (below.there / f"extra{number}").touch()
    os.mkdir(below.here / "extra directory")
    report = below.verify(limit=10)
    assert len(report.differences) == 10
    assert report.differences_total >= 32
    whole = below.verify()
    assert {difference.what for difference in whole.differences} >= {"missing", "extra"}
    missing = {difference.path for difference in whole.differences if difference.what == "missing"}
    assert missing == {f"{below.pair.a.data}/dir/inner/other", f"{below.pair.a.data}/extra directory"}


def test_names_that_are_not_utf8_are_told_readably(below: Below) -> None:
    name = os.fsencode(below.there) + b"/\xff\xfe"
    with open(name, "wb"):
        pass
    [difference] = [d for d in below.verify().differences if d.what == "extra"]
    assert difference.path.endswith("\\xff\\xfe")


def test_files_that_are_written_to_meanwhile_do_not_differ(below: Below) -> None:
    with open(below.pair.a.data / "busy", "wb", buffering=0) as file:
        for _ in range(5):
            below.pair.a.tell(control.Verify("request", 100))
            while not any(isinstance(event, control.VerifyReport) for event in below.pair.a.events):
                file.write(os.urandom(3000))
                below.pair.a.collect(0.0)
            report = below.pair.a.wait(control.VerifyReport)
            assert (report.error, report.differences) == ("", ())


def test_without_a_secondary_there_is_nothing_to_compare(below: Below) -> None:
    below.pair.b.kill()
    below.pair.a.wait(control.PeerLost)
    below.pair.settle(())
    below.pair.a.tell(control.Verify("request"))
    assert "no complete secondary" in below.pair.a.wait(control.VerifyReport).error
