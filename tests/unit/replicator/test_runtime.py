"""What a replicator does before its agent hears of something."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from manager.logs.levels import Levels
from manager.model.config.agent_config import LogLevel
from manager.model.control import (
    CloseStream,
    Command,
    Event,
    Failed,
    Follow,
    GetStatus,
    Hello,
    Status,
    StreamLost,
    Verify,
)
from manager.model.replicator_spec import ReplicatorSpec
from replicator.control_server import ControlServer
from replicator.disk.volume import Volume
from replicator.fuse import mounting
from replicator.memory_loss import MemoryLoss
from replicator.runtime import Runtime
from replicator.serving import Serving
from replicator.verification import Verification
from tests.unit.replicator.loops import stepped_loop
from tests.unit.replicator.primaries import RecordingCopier


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with stepped_loop() as loop:
        volume = Volume.open(str(tmp_path))
        spec = ReplicatorSpec(
            "cluster", "db", "module", "a", "boot", (str(tmp_path),), "", "", 0, 1000, False, False, (), "", ""
        )  # fmt: skip
        log = SimpleNamespace(debug=_ignore, info=_ignore, warning=_ignore, error=_ignore)
        made = Runtime(
            loop, spec, [volume], log, Levels(LogLevel.INFO), _no_verifier,
            lambda volumes, link, background: RecordingCopier(link),
        )  # fmt: skip
        yield made
        made._parts.background.close()
        volume.close()


def _ignore(*_told: object, **_values: object) -> None:
    return None


def _no_verifier(_serving: Serving, _command: Verify, _report: Callable[[Event], None]) -> Verification:
    raise AssertionError("nobody verifies anything")


def test_a_loss_of_memory_is_noted_before_anybody_is_told(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent may be dead: the next one reads of it, and this copy does not pass for one that has everything (S8)."""
    done: list[str] = []
    monkeypatch.setattr(MemoryLoss, "note", lambda _: done.append("noted"))
    monkeypatch.setattr(ControlServer, "send", lambda _, event: done.append("told"))
    runtime._event(Failed("input/output error", memory_lost=True))
    assert done == ["noted", "told"]


class Agent:
    """One that has just connected."""

    def __init__(self, runtime: Runtime) -> None:
        self.heard: list[Event] = []
        self._runtime = runtime
        runtime._control.connected(self)  # type: ignore[arg-type]

    def send(self, event: Event) -> None:
        self.heard.append(event)

    def close(self) -> None:
        pass


def carry_out(runtime: Runtime, command: Command) -> None:
    assert runtime._waiting.get_nowait() is command
    runtime._loop.run_until_complete(runtime._commands.carry_out(command))
    runtime._carried_out(command)


def test_a_new_agent_hears_first_what_a_former_one_has_made_of_it(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take what comes of that for something of the past, and not know a join that came through (S12)."""
    monkeypatch.setattr(mounting, "cover", _ignore)
    commands: list[Command] = [Follow(5, 50, "b"), CloseStream(), Follow(6, 60, "b")]
    for command in commands:
        runtime._on_command(command)
    agent = Agent(runtime)
    for command in commands:
        assert agent.heard == []
        carry_out(runtime, command)
    hello, lost = agent.heard
    assert isinstance(hello, Hello) and (hello.role, hello.epoch) == ("secondary", 6)
    assert isinstance(lost, StreamLost)
    assert [type(event) for event in Agent(runtime).heard] == [Hello, StreamLost], "as ever where nothing is under way"


def test_a_new_agent_hears_of_a_loss_of_memory_whatever_role_it_came_in(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have read the boot id before that was noted, and would wait for a stream that is refused (S8)."""
    monkeypatch.setattr(MemoryLoss, "note", _ignore)
    runtime._roles.disk_failed("input/output error", memory_lost=True)
    assert Agent(runtime).heard[1:] == [Failed("input/output error", memory_lost=True)]


def test_a_new_agent_hears_of_a_loss_of_memory_by_what_a_former_one_wanted(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes before the greeting, to nobody; this process would take a stream as of the memory before (S8)."""

    def fail(_path: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(mounting, "cover", fail)
    monkeypatch.setattr(MemoryLoss, "note", _ignore)
    command = Follow(5, 50, "b")
    runtime._on_command(command)
    agent = Agent(runtime)
    carry_out(runtime, command)
    hello, failed = agent.heard
    assert isinstance(hello, Hello)
    assert isinstance(failed, Failed) and failed.memory_lost


def test_a_new_agent_is_answered_before_it_is_greeted(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take this process for one that hangs, and end it (S7)."""
    monkeypatch.setattr(mounting, "cover", _ignore)
    command = Follow(5, 50, "b")
    runtime._on_command(command)
    agent = Agent(runtime)
    runtime._on_command(GetStatus())
    assert [type(event) for event in agent.heard] == [Status]
    carry_out(runtime, command)
    assert [type(event) for event in agent.heard] == [Status, Hello, StreamLost]
