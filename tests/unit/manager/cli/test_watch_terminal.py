"""``state --watch`` on a terminal of the kernel's, against an agent's socket: by all the shipped code between the two.

Time is ten times as fast for the watch, so that nobody waits long for an answer to be overdue.
"""

import asyncio
import contextlib
import io
import os
import pty
import re
import select
import signal
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console

from agent.adapters.calls import Caller, Report
from agent.runtime.colleagues import Nobody
from agent.runtime.handlers_state import StateHandlers
from manager.cli.client import AgentClient
from manager.cli.seat import Seat, make_console
from manager.cli.watching.terminal import Terminal
from manager.cli.watching.watch import has_screen, watch
from manager.model.api import ApiError, ErrorKind, StateArguments, StateResult
from manager.model.reasons import Reason
from manager.model.records import HistoryRecord, Holder, InsyncRecord, KnownNode, MemberRecord, ModuleConfigRecord
from manager.model.states import ModuleState, Readiness
from tests.unit.agent.runtime.bench import KEYS, Bench, toml
from tests.unit.agent.test_local_api import Agent

EVERY_S = 0.05
FASTER = 10
PATIENCE_S = 60.0
_LEAVES = "\x1b[?1049l"


def member(node: str, state: ModuleState, reason: Reason) -> MemberRecord:
    return MemberRecord(node, state, Readiness.READY, reason, f"boot-{node}", f"i-{node}", None, None)


class Cluster:
    """Node a's agent, as far as it answers ``state``: of a pair in etcd, and of what happened to it."""

    def __init__(self, path: str) -> None:
        self.bench = Bench("a", "b")
        own = KEYS.module("db")
        for node in ("a", "b", "c"):
            self.bench.put(KEYS.known(node), KnownNode(node, (), "", ""))
        self.bench.put(own.config, ModuleConfigRecord("id", 1, toml(), {}, "", ""))
        holders = tuple(Holder(node, f"boot-{node}", f"i-{node}") for node in ("a", "b"))
        self.bench.put(own.insync, InsyncRecord(2, 1, "a", holders))
        self.bench.put(own.history(2), HistoryRecord(2, "a", "b", Reason.SWAP, "2026-11-26T01:02:03.456Z"))
        self.bench.put(own.member("a"), member("a", ModuleState.PRIM, Reason.SERVING))
        self.bench.put(own.member("b"), member("b", ModuleState.SECOND, Reason.IN_SYNC))
        self.asked_s: list[float] = []
        self.hangs = False
        self.error: ApiError | None = None
        self._path = path
        self._handlers = StateHandlers(self.bench.seat, Nobody())
        self._agent: Agent | None = None
        self._following: asyncio.Task[None] | None = None
        self.start()

    def start(self) -> None:
        self._agent = Agent(self._path, {"state": self._state})
        self._agent.run(self._follow())

    def stop(self) -> None:
        if self._agent is not None:
            self._agent.run(self._unfollow())
            self._agent.close()
            self._agent = None

    def forget_etcd(self) -> None:
        """Its watch of etcd is gone."""
        assert self._agent is not None
        self._agent.run(self._unfollow())

    def put(self, key: str, record: object) -> None:
        async def on_its_loop() -> None:
            self.bench.put(key, record)

        assert self._agent is not None
        self._agent.run(on_its_loop())

    async def _state(self, arguments: StateArguments, caller: Caller, report: Report) -> StateResult:
        self.asked_s.append(time.monotonic())
        while self.hangs:
            await asyncio.sleep(0.01)
        if self.error is not None:
            raise self.error
        return await self._handlers.state(arguments, caller, report)

    async def _follow(self) -> None:
        self._following = asyncio.ensure_future(self.bench.view.follow(self.bench.store))
        while not self.bench.view.revision:
            await asyncio.sleep(0)

    async def _unfollow(self) -> None:
        assert self._following is not None
        self._following.cancel()
        await asyncio.wait([self._following])


@dataclass
class Desk:
    """A terminal, with the operator before it."""

    master: int
    slave: int
    console: Console
    shown: str = ""
    frames: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, seconds: float) -> None:
        """Take what has come; only the last screen is kept."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            *former, last = (self.shown + os.read(self.master, 65536).decode()).split("\x1b[H")
            self.frames += len(former)
            self.shown = last

    def sees(self, *words: str, without: str = "\0") -> str:
        """Wait for a screen on which all of ``words`` stand, in one line or in several."""
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            text = re.sub(r"\x1b\[[\d;]*m", "", self.shown)
            flat = re.sub(r"\s+", " ", text)
            if all(word in flat for word in words) and without not in flat and "q ends it" in flat:
                return text
            self.read(0.05)
        raise AssertionError(f"{words} did not come to be seen: {self.shown}")

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def resize(self, columns: int, rows: int) -> None:
        self.console.size = (columns, rows)
        os.kill(os.getpid(), signal.SIGWINCH)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(str(tmp_path / "agent.sock"))
    yield made
    made.stop()


@pytest.fixture
def desk() -> Iterator[Desk]:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", closefd=False) as file:
        console = make_console(file)
        console.size = (80, 24)
        yield Desk(master, slave, console)
        with contextlib.suppress(OSError):
            file.flush()
    os.close(master)
    os.close(slave)


def watched(desk: Desk, cluster: Cluster, story: Callable[[], None], every_s: float = EVERY_S, module: str = "") -> int:
    """The exit code of a watch during which ``story`` is played, to the end of which all that is drawn is read."""
    ended = threading.Event()
    failures: list[BaseException] = []

    def play() -> None:
        try:
            story()
        except BaseException as error:  # told below, by the thread that asserts
            failures.append(error)
            desk.press(b"q")
        while not ended.is_set() or _is_more(desk):
            desk.read(0.02)

    client = AgentClient(str(cluster._path))
    seat = Seat(
        client, desk.console, make_console(io.StringIO()), "", monotonic=lambda: FASTER * time.monotonic(),
        keys=desk.slave,
    )  # fmt: skip
    before = termios.tcgetattr(desk.slave)
    operator = threading.Thread(target=play)
    operator.start()
    try:
        code = watch(module, every_s, seat)
    finally:
        ended.set()
        operator.join()
        client.close()
        assert termios.tcgetattr(desk.slave) == before
    if failures:
        raise failures[0]
    assert _LEAVES in desk.shown and "\x1b[?25h" in desk.shown, "the terminal is as it was"
    return int(code)


def unknown_s(desk: Desk) -> int:
    found = re.search(r"UNKNOWN for (\d+) s", desk.sees("UNKNOWN for"))
    assert found is not None
    return int(found[1])


def _is_more(desk: Desk) -> bool:
    return bool(select.select([desk.master], [], [], 0.1)[0])


def test_the_whole_cluster_until_q(desk: Desk, cluster: Cluster) -> None:
    def story() -> None:
        text = desk.sees("db on a (here): PRIM, ready; data: up to date", "db on b: SECOND", "etcd answers")
        assert "Not registered: c" in text and "Registered: a (here) 1, b 1" in text
        told = " ".join(text.split())  # One line on the day itself; with the date before it, two.
        assert "01:02:03 db: a became primary after b, epoch 2. An operator swapped the nodes." in told
        cluster.put(KEYS.module("db").member("b"), member("b", ModuleState.WAIT, Reason.CATCHING_UP))
        desk.sees("db on b: WAIT", "db on b: SECOND -> WAIT: What this node lacks")
        desk.press(b"xyz\x1b[A\x13\x1aq")

    assert watched(desk, cluster, story) == 0


@pytest.mark.parametrize("ending", [b"Q", b"\x03", b"\x04"])
def test_other_keys_that_end_it(desk: Desk, cluster: Cluster, ending: bytes) -> None:
    def story() -> None:
        desk.sees("db on a")
        desk.press(ending)

    assert watched(desk, cluster, story, every_s=600.0) == 0


def test_an_interrupt_ends_it_well(desk: Desk, cluster: Cluster) -> None:
    def story() -> None:
        desk.sees("db on a")
        os.kill(os.getpid(), signal.SIGINT)

    # What a shell starts in the background ignores it from the start.
    before = signal.getsignal(signal.SIGINT)
    assert watched(desk, cluster, story) == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_another_size_is_drawn_at_once(desk: Desk, cluster: Cluster) -> None:
    def story() -> None:
        desk.sees("db on a (here): PRIM")
        for columns, rows in ((200, 60), (30, 5), (132, 43)):
            desk.resize(columns, rows)
            frames = desk.frames
            while desk.frames < frames + 2:
                desk.read(0.05)
            lines = re.sub(r"\x1b\[[\d;]*m", "", desk.sees("q ends it")).splitlines()
            assert (len(lines), max(map(len, lines)) <= columns) == (rows, True)
        desk.press(b"q")

    assert watched(desk, cluster, story) == 0


def test_an_agent_that_hangs_is_unknown_until_it_goes_on(desk: Desk, cluster: Cluster) -> None:
    def story() -> None:
        desk.sees("db on a (here): PRIM")
        cluster.hangs = True
        desk.sees("what there is now is unknown", "db on a (here): unknown; data: unknown", "it was PRIM, ready, at")
        asked, first_s = len(cluster.asked_s), unknown_s(desk)
        while unknown_s(desk) == first_s:
            desk.read(0.05)
        assert len(cluster.asked_s) == asked, "one question waits, and no others queue behind it"
        cluster.hangs = False
        desk.sees("db on a (here): PRIM", "answers again, after", without="UNKNOWN for")
        cluster.hangs = True
        desk.sees("UNKNOWN for")
        desk.press(b"q")

    assert watched(desk, cluster, story) == 0
    cluster.hangs = False


def test_an_agent_that_is_restarted_is_seen_again(desk: Desk, cluster: Cluster) -> None:
    def story() -> None:
        desk.sees("db on a (here): PRIM")
        cluster.stop()
        desk.sees("UNKNOWN for", "The agent of this node does not answer on")
        cluster.error = ApiError(ErrorKind.STORE_UNREACHABLE, "etcd has not answered since this agent was started.")
        cluster.start()
        desk.sees("UNKNOWN for", "etcd has not answered since this agent was started.")
        cluster.error = None
        desk.sees("db on a (here): PRIM", "answers again", without="UNKNOWN for")
        desk.press(b"q")

    assert watched(desk, cluster, story) == 0


def test_with_etcd_silent_others_are_unknown(desk: Desk, cluster: Cluster) -> None:
    def story() -> None:
        desk.sees("db on b: SECOND", "etcd answers")
        cluster.forget_etcd()
        desk.sees(
            "etcd silent for", "db on b: unknown", "Unknown whether registered: a, b, c", "does not answer any more"
        )
        desk.press(b"q")

    assert watched(desk, cluster, story) == 0


def test_what_does_not_pass_by_waiting_ends_it_with_the_terminal_as_it_was(desk: Desk, cluster: Cluster) -> None:
    def story() -> None:
        desk.sees("db on a (here): PRIM")
        cluster.error = ApiError(ErrorKind.NOT_FOUND, "There is no module db in this cluster.")

    with pytest.raises(ApiError, match="no module db"):
        watched(desk, cluster, story, module="db")
    assert _LEAVES in desk.shown


def test_nobody_is_asked_more_often_than_was_wished(desk: Desk, cluster: Cluster) -> None:
    def story() -> None:
        while len(cluster.asked_s) < 8:
            desk.read(0.02)
            os.kill(os.getpid(), signal.SIGWINCH)
            desk.press(b"x")
        desk.press(b"q")

    assert watched(desk, cluster, story, every_s=0.1) == 0
    first_s, *later_s = cluster.asked_s[1:8]
    assert later_s[-1] - first_s > 0.06 * len(later_s), "each is heard late on a busy machine, so all of them count"


def test_a_request_to_end_that_comes_as_a_signal_is_left_to_the_caller(desk: Desk) -> None:
    with Terminal(desk.slave) as terminal:
        assert not terminal.wait(0.0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert terminal.wait(10.0)
        assert terminal.ended_by == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_without_a_keyboard_nothing_is_read(tmp_path: Path) -> None:
    with (tmp_path / "empty").open("w+") as file, Terminal(file.fileno()) as terminal:
        assert not terminal.wait(0.01)
        threading.Timer(0.01, terminal.wake).start()
        assert not terminal.wait(10.0)


def test_a_terminal_that_has_gone_ends_it() -> None:
    master, slave = pty.openpty()
    with Terminal(slave) as terminal:
        os.close(master)
        assert terminal.wait(10.0)
    os.close(slave)


@pytest.mark.parametrize("term", ["xterm", "linux", "dumb", "unknown", ""])
def test_where_nothing_can_be_placed_there_is_no_screen(desk: Desk, term: str) -> None:
    assert has_screen(desk.console, {"TERM": term}) is (term in ("xterm", "linux"))
    assert not has_screen(make_console(io.StringIO()), {"TERM": term})
    assert not has_screen(Console(file=io.StringIO(), force_terminal=True), {"TERM": term}), "as by FORCE_COLOR"
