"""The file system without a peer: an issuer that applies at once, and a process that serves mounts with it.

``python -m tests.support.local_issuer DIRECTORY ...`` mounts over each directory, prints ``ready``, and serves until
its standard input ends; then it unmounts. A process of its own, since whoever touches the mount may hold the
interpreter's lock while the kernel waits for the answer (a store into a mapping).
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvloop

from replicator.background import Background
from replicator.core.operations import Fsync, Operation
from replicator.disk.inode_ids import InodeIds
from replicator.disk.volume import Volume
from replicator.fuse.filesystem import FileSystem

_EPOCH = 1
_REST_SECONDS = 0.2
_START_SECONDS = 20


class LocalIssuer:
    """Applies each operation at once: this node is alone."""

    def __init__(self, volumes: Sequence[Volume], background: Background) -> None:
        self._volumes = volumes
        self._background = background

    def issue(self, operation: Operation, done: Callable[[int], None]) -> None:
        try:
            result = self._volumes[operation.volume].apply(operation)
        except OSError as error:
            result = -(error.errno or 5)
        done(result)

    def fsync(self, operation: Fsync, done: Callable[[int], None]) -> None:
        try:
            work = self._volumes[operation.volume].prepare_fsync(operation)
        except OSError as error:
            done(-(error.errno or 5))
            return
        self._background.run(work, lambda _: done(0), lambda error: done(-(error.errno or 5)))

    def forgotten(self, volume: int, inode: int) -> None:
        assert self._volumes[volume].table.get(inode) is None


class _Server:
    def __init__(self, directories: Sequence[str]) -> None:
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(self._broken)
        self._background = Background(self._loop)
        self._failures: list[str] = []
        ids = InodeIds(_EPOCH)
        volumes = [Volume.open(directory, index) for index, directory in enumerate(directories)]
        issuer = LocalIssuer(volumes, self._background)
        for volume in volumes:
            volume.number_from(ids)
        self._volumes = volumes
        self._systems = [FileSystem(v, issuer, self._background, self._loop, self._report) for v in volumes]
        self._mounted = 0

    def run(self) -> int:
        for system in self._systems:
            system.mount()
            self._mounted += 1
        self._loop.add_reader(sys.stdin.fileno(), self._leave)
        self._loop.call_later(_REST_SECONDS, self._rest)
        print("ready", flush=True)
        self._loop.run_forever()
        for volume in self._volumes:
            volume.close()
        for failure in self._failures:
            print(failure, file=sys.stderr)
        return 1 if self._failures else 0

    def _rest(self) -> None:
        for system in self._systems:
            system.rest()
        self._loop.call_later(_REST_SECONDS, self._rest)

    def _leave(self) -> None:
        self._loop.remove_reader(sys.stdin.fileno())
        for system in self._systems:
            system.unmount(self._unmounted)

    def _unmounted(self, error: OSError | None) -> None:
        if error is not None:
            self._report(error)
        self._mounted -= 1
        if not self._mounted:
            self._loop.stop()

    def _report(self, error: Exception) -> None:
        self._failures.append(repr(error))

    def _broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        loop.default_exception_handler(context)
        self._failures.append(str(context.get("exception") or context["message"]))


@contextlib.contextmanager
def mounted(*directories: str) -> Iterator[int]:
    """Serves mounts over the directories; the process id. Fails when the server met what must not happen."""
    command = [sys.executable, "-m", "tests.support.local_issuer", *directories]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None and server.stdout is not None
    try:
        line = server.stdout.readline()
        assert line == "ready\n", f"the server said {line!r}"
        yield server.pid
    finally:
        server.stdin.close()
        try:
            code = server.wait(_START_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise
        finally:
            server.stdout.close()
    assert code == 0, "the server reported failures, see its standard error"


if __name__ == "__main__":
    sys.exit(_Server([os.path.realpath(path) for path in sys.argv[1:]]).run())
