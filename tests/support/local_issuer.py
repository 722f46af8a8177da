"""The file system without a peer: an issuer that applies at once, and a process that serves mounts with it.

``python -m tests.support.local_issuer DIRECTORY ...`` mounts over each directory, prints ``ready``, and serves until
its standard input ends; then it unmounts. A process of its own, since whoever touches the mount may hold the
interpreter's lock while the kernel waits for the answer (a store into a mapping). On its standard input it takes
commands, a line each, and answers each by a line:

- ``hold``: from now on nothing is applied or completed, or ``hold N``: from the N-th operation from now on;
  ``release``: what waited is, and what comes;
- ``counts``: how many operations of each kind were issued, as JSON, but for the times of what is at rest: these come
  whenever nobody has done anything for a while;
- ``fence CGROUP``: the warden fences; answered by its report.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import uvloop

from replicator.addresses import AddressRemover
from replicator.background import Background
from replicator.core.operations import Fsync, Operation
from replicator.disk.inode_ids import InodeIds
from replicator.disk.volume import Volume
from replicator.fuse.filesystem import FileSystem
from replicator.warden import Warden, boottime_ns

_EPOCH = 1
_REST_SECONDS = 0.2
_END_SECONDS = 20
_FOR_EVER_NS = 1 << 60


class LocalIssuer:
    """Applies each operation at once: this node is alone. Holds them all while it is told to."""

    def __init__(self, volumes: Sequence[Volume], background: Background) -> None:
        self._volumes = volumes
        self._background = background
        self._held: deque[Callable[[], None]] | None = None
        self._let_pass = 0
        """How many are still applied while it holds."""
        self.counts: Counter[str] = Counter()

    fsync_carries_time = True

    def issue(self, operation: Operation, done: Callable[[int], None]) -> None:
        self.counts[operation.kind.name] += 1
        self._when_released(partial(self._apply, operation, done))

    def fsync(self, operation: Fsync, done: Callable[[int], None]) -> None:
        self.counts[operation.kind.name] += 1
        self._when_released(partial(self._sync, operation, done))

    def forgotten(self, volume: int, inode: int) -> None:
        assert self._volumes[volume].table.get(inode) is None

    def hold(self, let_pass: int = 0) -> None:
        self._held = self._held or deque()
        self._let_pass = let_pass

    def release(self) -> None:
        held, self._held = self._held, None
        for act in held or ():
            act()

    def _when_released(self, act: Callable[[], None]) -> None:
        if self._held is None:
            act()
        elif self._let_pass:
            self._let_pass -= 1
            act()
        else:
            self._held.append(act)

    def _apply(self, operation: Operation, done: Callable[[int], None]) -> None:
        try:
            result = self._volumes[operation.volume].apply(operation)
        except OSError as error:
            result = -(error.errno or 5)
        done(result)

    def _sync(self, operation: Fsync, done: Callable[[int], None]) -> None:
        try:
            file = self._volumes[operation.volume].open_for_sync(operation)
        except OSError as error:
            done(-(error.errno or 5))
            return
        data_only = operation.data_only
        self._background.sync(file, data_only, lambda _: done(0), lambda error: done(-(error.errno or 5)))


class _Server:
    def __init__(self, directories: Sequence[str]) -> None:
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(self._broken)
        self._background = Background(self._loop)
        self._failures: list[str] = []
        ids = InodeIds(_EPOCH)
        volumes = [Volume.open(directory, index) for index, directory in enumerate(directories)]
        self._issuer = LocalIssuer(volumes, self._background)
        for volume in volumes:
            volume.number_from(ids)
        self._volumes = volumes
        self._systems = [FileSystem(v, self._issuer, self._background, self._loop, self._report) for v in volumes]
        self._mounted = 0

    def run(self) -> int:
        for system in self._systems:
            system.mount()
            self._mounted += 1
        self._loop.add_reader(sys.stdin.fileno(), self._on_command)
        self._loop.call_later(_REST_SECONDS, self._rest)
        print("ready", flush=True)
        self._loop.run_forever()
        for volume in self._volumes:
            volume.close()
        for failure in self._failures:
            print(failure, file=sys.stderr)
        return 1 if self._failures else 0

    def _rest(self) -> None:
        counted = self._issuer.counts.copy()
        for system in self._systems:
            system.rest()
        self._issuer.counts = counted
        self._loop.call_later(_REST_SECONDS, self._rest)

    def _on_command(self) -> None:
        words = os.read(sys.stdin.fileno(), 4096).decode().split()
        if not words:
            self._leave()
        elif words[0] == "hold":
            self._issuer.hold(int(words[1]) - 1 if len(words) > 1 else 0)
            print("held", flush=True)
        elif words[0] == "release":
            self._issuer.release()
            print("released", flush=True)
        elif words[0] == "counts":
            print(json.dumps(self._issuer.counts), flush=True)
        else:
            self._fence(words[1] if len(words) > 1 else "")

    def _fence(self, cgroup: str) -> None:
        warden = Warden(cgroup, AddressRemover(()), lambda reason: print(reason, flush=True))
        warden.guard(boottime_ns() + _FOR_EVER_NS, self._systems)
        warden.start()
        warden.fence("as told")

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


class Server:
    """The process, as a test sees it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid

    def ask(self, command: str) -> str:
        """Gives a command and returns the answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def counts(self) -> Counter[str]:
        """How many operations of each kind were issued so far."""
        return Counter(json.loads(self.ask("counts")))


@contextlib.contextmanager
def mounted(*directories: str, expect_code: int = 0) -> Iterator[Server]:
    """Serves mounts over the directories. At the end it fails when the server met what must not happen.

    ``expect_code`` is how the process is to end: -9 for a test that kills it.
    """
    command = [sys.executable, "-m", "tests.support.local_issuer", *directories]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line == "ready\n", f"the server said {line!r}"
        yield Server(process)
    finally:
        process.stdin.close()
        try:
            code = process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
    assert code == expect_code, "the server reported failures, see its standard error"


if __name__ == "__main__":
    sys.exit(_Server([os.path.realpath(path) for path in sys.argv[1:]]).run())
