"""Real replicator processes without an agent: the test says what an agent would, over their control sockets.

A :class:`Node` is one replicator process with directories of its own. :func:`start_pair` makes two of them serve and
follow. Everything is below one temporary directory and is put away at the end, mounts included.
"""

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from manager.model import control
from manager.model.codec import encode
from manager.model.control import EVENTS, Command, Event, from_line, to_line
from manager.model.replicator_spec import ReplicatorSpec, SpecAddress, SpecWindow
from replicator.fuse import mounting

E = TypeVar("E")
START_SECONDS = 15.0
WAIT_SECONDS = 15.0
LEASE_SECONDS = 600.0
COMMAND = (sys.executable, "-m", "replicator.main")


def changed(code: str) -> tuple[str, ...]:
    """The command of a replicator that is begun with ``code``, such as another value of a constant."""
    return (sys.executable, "-c", f"import sys\nfrom replicator import main\n{code}\nsys.exit(main.main())")


def boottime() -> float:
    """By the clock of leases, in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Ended(AssertionError):
    """The replicator ended, or closed the connection, while something was expected of it."""


@dataclass
class Options:
    """What a test may want to be different from the defaults."""

    directories: int = 1
    peer_timeout_ms: int = 5000
    """Nobody who is only late, where others want the cores or the disk, too, is to be dropped for it."""
    acknowledge_disk: bool = False
    compression: bool = True
    cgroup: str = ""
    addresses: tuple[SpecAddress, ...] = ()
    listen_port: int = 0
    must_exist: tuple[str, ...] = ()
    resync_bytes_s: int = 0
    resync_windows: tuple[SpecWindow, ...] = ()
    set_aside_bytes: int = 10 << 30
    tls_root: str = ""
    """Below it are the nodes' certificates, by their names; empty: the stream is in plain."""
    command: tuple[str, ...] = COMMAND
    environment: dict[str, str] = field(default_factory=dict)


class Node:
    """One node: a replicator process, started by :meth:`start`, and the control connection to it."""

    def __init__(self, name: str, base: Path, options: Options, directories: Sequence[Path] = ()) -> None:
        """``directories``: those that exist already, such as mounts; else they are made below ``base``."""
        self.name = name
        self.base = base / name
        self.base.mkdir(parents=True, exist_ok=True)
        self.options = options
        self.directories = tuple(directories) or tuple(self.base / f"data{i}" for i in range(options.directories))
        for directory in self.directories:
            directory.mkdir(exist_ok=True)
        self.boot_id = f"boot-{name}"
        self.events: list[Event] = []
        """All that came and was not waited for."""
        self.process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._pending = b""

    @property
    def data(self) -> Path:
        """The first replicated directory."""
        return self.directories[0]

    @property
    def log(self) -> Path:
        """What the process said."""
        return self.base / "replicator.log"

    @property
    def pid(self) -> int:
        """Of the replicator."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> control.Hello:
        """Starts the process and connects; what it greets with."""
        self.launch()
        return self.connect()

    def launch(self) -> None:
        """Starts the process."""
        spec_path = self.base / "spec.json"
        spec_path.write_text(encode(self._spec()))
        environment = {**os.environ, **self.options.environment}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                (*self.options.command, "--spec", str(spec_path)), stdout=log, stderr=log, env=environment
            )

    def connect(self) -> control.Hello:
        """Connects as a new agent does; what the replicator greets with."""
        self.disconnect()
        end = time.monotonic() + START_SECONDS
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self.base / "control"))
            except OSError:
                connection.close()
                assert self.process is not None
                if self.process.poll() is not None or time.monotonic() > end:
                    raise Ended(f"{self.name} does not take a connection:\n{self.said()}") from None
                time.sleep(0.02)
                continue
            break
        self._socket, self._pending = connection, b""
        return self.wait(control.Hello)

    def disconnect(self) -> None:
        """Ends the control connection, as an agent's death does."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def tell(self, command: Command) -> None:
        """Sends a command."""
        assert self._socket is not None
        self._socket.sendall(to_line(command))

    def wait(
        self,
        kind: type[E],
        when: Callable[[E], bool] = lambda _: True,
        seconds: float = WAIT_SECONDS,
        outdates: type[Event] | tuple[()] = (),
    ) -> E:
        """The next event of this kind for which ``when`` holds; it is taken out, others stay in ``events``.

        Those of kind ``outdates`` that came before it go, too; what came after it may have come in the same moment.
        """
        end = time.monotonic() + seconds
        while True:
            for place, event in enumerate(self.events):
                if isinstance(event, kind) and when(event):
                    before = [earlier for earlier in self.events[:place] if not isinstance(earlier, outdates)]
                    self.events = before + self.events[place + 1 :]
                    return event
            if not self._receive(end - time.monotonic()):
                raise Ended(f"{self.name}: no {kind.__name__} within {seconds} s: {self.events}\n{self.said()}")

    def collect(self, seconds: float) -> list[Event]:
        """Everything that is there by then; ``events`` has it too."""
        end = time.monotonic() + seconds
        while self._receive(end - time.monotonic()):
            pass
        return list(self.events)

    def _receive(self, seconds: float) -> bool:
        """Waits for more events; whether some came."""
        assert self._socket is not None
        readable, _, _ = select.select([self._socket], [], [], max(0.0, seconds))
        if not readable:
            return False
        data = self._socket.recv(1 << 20)
        if not data:
            raise Ended(f"{self.name} closed the connection:\n{self.said()}")
        *lines, self._pending = (self._pending + data).split(b"\n")
        self.events += [from_line(EVENTS, line) for line in lines]
        return True

    def status(self) -> control.Status:
        """What it says of itself."""
        self.tell(control.GetStatus())
        return self.wait(control.Status)

    def lease(self, seconds: float = LEASE_SECONDS) -> float:
        """Lets it serve for so long from now; until when, in the time of :func:`boottime`."""
        deadline_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(seconds * 1e9)
        self.tell(control.Lease(deadline_ns))
        return deadline_ns / 1e9

    def serve(self, epoch: int, holders: Sequence[str] = (), number: int = 1) -> None:
        """Makes it the primary of a record that lists itself and ``holders``; returns when it is mounted."""
        self.lease()
        self.tell(control.Serve(epoch, revision=epoch * 100))
        self.settled(epoch, holders, number)
        self.wait(control.Serving)

    def settled(self, epoch: int, holders: Sequence[str] = (), number: int = 1) -> None:
        """The record lists this node and ``holders``."""
        self.tell(control.Settled(epoch, number, epoch * 100 + number, (self.name, *holders)))

    def follow(self, primary: str, epoch: int, diverged: bool = False) -> None:
        """Makes it ready to be the secondary of ``primary``."""
        self.tell(control.Follow(epoch, epoch * 100, primary, diverged=diverged))

    def wait_for_role(self, role: str) -> None:
        """Until it is ``primary``, ``secondary`` or ``idle``."""
        end = time.monotonic() + WAIT_SECONDS
        while self.status().role != role:
            if time.monotonic() > end:
                raise Ended(f"{self.name} does not become {role}:\n{self.said()}")
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL to the replicator; its mount stays, dead."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.disconnect()

    def quit(self) -> int:
        """Lets it end by itself; its exit code."""
        assert self.process is not None
        self.tell(control.Quit())
        return self.process.wait(WAIT_SECONDS)

    def clear(self) -> None:
        """What is mounted over the directories goes away."""
        for directory in self.directories:
            mounting.clear(str(directory))

    def put_away(self) -> None:
        """Ends the process and its mounts, whatever state they are in."""
        self.disconnect()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.clear()

    def opened(self, path: str) -> Path:
        """The replicator's own descriptor of what has a path that ends so: what is mounted there is not in its way."""
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
                if os.readlink(descriptor).endswith(path):
                    return descriptor
        raise AssertionError(f"{self.name} has not opened {path}")

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-6000:] if self.log.exists() else ""

    def _spec(self) -> ReplicatorSpec:
        return ReplicatorSpec(
            cluster_id="cluster",
            module="db",
            module_id="module",
            node=self.name,
            boot_id=self.boot_id,
            directories=tuple(str(d) for d in self.directories),
            control_socket=str(self.base / "control"),
            listen_host="127.0.0.1",
            listen_port=self.options.listen_port,
            peer_timeout_ms=self.options.peer_timeout_ms,
            acknowledge_disk=self.options.acknowledge_disk,
            compression=self.options.compression,
            must_exist=self.options.must_exist,
            cgroup=self.options.cgroup,
            log_file=str(self.log),
            addresses=self.options.addresses,
            resync_bytes_s=self.options.resync_bytes_s,
            resync_windows=self.options.resync_windows,
            set_aside_bytes=self.options.set_aside_bytes,
            tls_directory=os.path.join(self.options.tls_root, self.name) if self.options.tls_root else "",
        )


def _ends_join_of(instance: str, event: object) -> bool:
    lost = isinstance(event, control.PeerLost)
    return lost or (isinstance(event, control.PeerComplete) and event.instance == instance)


@dataclass
class Pair:
    """A primary ``a`` and a secondary ``b``."""

    a: Node
    b: Node
    epoch: int
    number: int = 1
    """Of the record."""

    def join(self, seconds: float = WAIT_SECONDS, diverged: bool = False, quiet: bool = False) -> None:
        """Has ``b`` follow ``a``, be brought in sync and listed.

        ``quiet``: nobody changes anything meanwhile, and nothing breaks it off but that somebody is late.
        """
        hello = self.b.connect()
        self.b.follow(self.a.name, self.epoch, diverged)
        self.a.tell(control.Peer(self.b.name, "127.0.0.1", hello.listen_port))
        instance = hello.instance  # what came of a former one may not have been waited for
        end = time.monotonic() + seconds
        while True:
            self.a.wait(
                control.PeerConnected,
                lambda event: event.instance == instance,
                end - time.monotonic(),
                outdates=control.PeerLost,
            )
            told = self.a.wait(object, partial(_ends_join_of, instance), end - time.monotonic())
            if isinstance(told, control.PeerComplete):
                break
            assert not quiet or (isinstance(told, control.PeerLost) and "slow" in told.reason), told
            self.settle(())  # A join that broke off is asked for anew.
            self.a.tell(control.Peer(self.b.name, "127.0.0.1", hello.listen_port))
        self.settle((self.b.name,))

    def settle(self, holders: Sequence[str]) -> None:
        """The record lists ``a`` and ``holders``."""
        self.number += 1
        self.a.settled(self.epoch, holders, self.number)


@contextlib.contextmanager
def running(made: Sequence[Node]) -> Iterator[None]:
    """A replicator runs on each of the nodes, all idle."""
    try:
        for node in made:
            node.launch()
        for node in made:
            node.connect()
        yield
    finally:
        for node in made:
            node.put_away()


@contextlib.contextmanager
def nodes(base: Path, names: Sequence[str] = ("a", "b"), options: Options | None = None) -> Iterator[tuple[Node, ...]]:
    """Nodes with a replicator running on each, all idle."""
    made = tuple(Node(name, base, options or Options()) for name in names)
    with running(made):
        yield made


@contextlib.contextmanager
def pair_of(a: Node, b: Node, epoch: int = 1) -> Iterator[Pair]:
    """``a`` serves, ``b`` is in sync and listed."""
    with running((a, b)):
        a.serve(epoch)
        made = Pair(a, b, epoch)
        made.join(quiet=True)
        yield made


@contextlib.contextmanager
def pair(base: Path, options: Options | None = None, epoch: int = 1) -> Iterator[Pair]:
    """As :func:`pair_of`, of two nodes that are alike."""
    options = options or Options()
    with pair_of(Node("a", base, options), Node("b", base, options), epoch) as made:
        yield made
