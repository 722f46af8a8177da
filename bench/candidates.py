"""What ``bench/write.py`` compares: each gives a directory to write in, and ends what it started.

The mirror and the floor are two processes and a TCP loopback on one machine, GlusterFS two bricks on one machine: so
all three pay for two copies with the same two cores and the same disk. Plain is one copy.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.support.certificates import Cluster
from tests.support.replicators import Options, pair

_START_SECONDS = 30.0
_GLUSTER = "mirrorfarm-bench"
_ADDRESS = "10.77.9.1"


def plain(work: Path) -> AbstractContextManager[Path]:
    """A directory of the file system below: one copy, no server."""
    return contextlib.nullcontext(_made(work / "plain"))


def floor(work: Path) -> AbstractContextManager[Path]:
    """``bench/floor.py``: the barest peer-first loop."""
    return _floor(work / "floor")


def floor_tls(work: Path) -> AbstractContextManager[Path]:
    """The same inside TLS."""
    return _floor(work / "floor-tls", str(Cluster(work / "floor-pki", "a").directory("a")))


@contextlib.contextmanager
def _floor(base: Path, *certificates: str) -> Iterator[Path]:
    mount, lower, peer = (_made(base / n) for n in ("mount", "lower", "peer"))
    command = [sys.executable, "-m", "bench.floor", str(mount), str(lower), str(peer), *certificates]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        _wait_for(lambda: os.path.ismount(mount), "the floor's mount")
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def mirror(work: Path) -> Iterator[Path]:
    """Two replicators as they ship, in sync, without agents."""
    with pair(_made(work / "mirror")) as made:
        yield made.a.data


@contextlib.contextmanager
def mirror_tls(work: Path) -> Iterator[Path]:
    """The same with the stream inside TLS."""
    root = Cluster(work / "mirror-pki", "a", "b").root
    with pair(_made(work / "mirror-tls"), Options(tls_root=str(root))) as made:
        yield made.a.data


@contextlib.contextmanager
def _gluster(work: Path, write_behind: str) -> Iterator[Path]:
    """A replica 2 volume of Debian's GlusterFS with both bricks here.

    It refuses loopback addresses, so its network is a namespace whose loopback has another one.
    """
    if shutil.which("glusterd") is None:
        raise SystemExit("GlusterFS is not installed: apt-get install --no-install-recommends glusterfs-server")
    mount = _made(work / "gluster" / "mount")
    bricks = [f"{_ADDRESS}:{_made(work / 'gluster' / n)}" for n in ("brick1", "brick2")]
    inside = ("nsenter", f"--net=/run/netns/{_GLUSTER}")
    gluster = (*inside, "gluster", "--mode=script")
    with contextlib.ExitStack() as stack:
        _must("ip", "netns", "add", _GLUSTER)
        stack.callback(_run, "ip", "netns", "del", _GLUSTER)
        _must(*inside, "ip", "link", "set", "lo", "up")
        _must(*inside, "ip", "address", "add", f"{_ADDRESS}/32", "dev", "lo")
        log = str(work / "glusterd.log")
        daemon = subprocess.Popen([*inside, "glusterd", "-N", "--log-file", log], start_new_session=True)
        stack.callback(daemon.wait)
        stack.callback(daemon.terminate)
        _wait_for(lambda: _run(*gluster, "pool", "list") == 0, "glusterd")
        stack.callback(_run, *gluster, "volume", "delete", _GLUSTER)
        stack.callback(_run, *gluster, "volume", "stop", _GLUSTER, "force")
        _must(*gluster, "volume", "create", _GLUSTER, "replica", "2", *bricks, "force")
        _must(*gluster, "volume", "set", _GLUSTER, "performance.write-behind", write_behind)
        _must(*gluster, "volume", "start", _GLUSTER)
        stack.callback(_run, "umount", "-l", str(mount))
        _must(*inside, "mount", "-t", "glusterfs", f"{_ADDRESS}:/{_GLUSTER}", str(mount))
        yield mount


def gluster_safe(work: Path) -> AbstractContextManager[Path]:
    """GlusterFS with write-behind off: acknowledges what both bricks have, as the mirror does."""
    return _gluster(work, "off")


def gluster_default(work: Path) -> AbstractContextManager[Path]:
    """GlusterFS as it comes: acknowledges before the bricks have it."""
    return _gluster(work, "on")


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _wait_for(happened: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while not happened():
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not come up within {_START_SECONDS:g} s")
        time.sleep(0.05)


def _run(*command: str) -> int:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode


def _must(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)}: {ran.stdout}{ran.stderr}")
