"""What an agent takes of a replicator of another release: events that it knows, and no other; or nothing at all."""

from pathlib import Path
from typing import Any

from agent.adapters.cgroups import Cgroup
from agent.adapters.replicators import Replicator, _Channel
from manager.model import control


class Ends:
    """A replicator without a process, whose connection says what it is told to."""

    def __init__(self, path: Path) -> None:
        self.events: list[control.Event] = []
        self.gone: list[str] = []
        self.unknown: list[str] = []
        self.replicator = Replicator(
            str(path), Cgroup(str(path)), self.events.append, self.gone.append, on_unknown=self.unknown.append
        )
        own = self.replicator
        self.channel = _Channel(own._made, own._heard, own._lost, own._passed_over)
        self.replicator._channel = self.channel

    def says(self, *lines: bytes) -> None:
        self.channel.data_received(b"".join(lines))


def hello(**more: Any) -> bytes:
    return control.to_line(control.Hello(1, "i", 1, "idle", 0, None, **more))


def test_events_that_are_not_known_are_passed_over_and_told_once(tmp_path: Path) -> None:
    ends = Ends(tmp_path)
    tomorrow = b'{"type": "Tomorrow", "at": "noon"}\n'
    ends.says(hello(), tomorrow, control.to_line(control.Serving(3)), tomorrow, b'{"type": "Later"}\n')
    assert [type(event).__name__ for event in ends.events] == ["Hello", "Serving"]
    assert ends.unknown == ["Tomorrow", "Later"]
    assert ends.gone == []


def test_a_replicator_of_the_next_version_that_speaks_this_one_too_is_heard(tmp_path: Path) -> None:
    ends = Ends(tmp_path)
    ends.says(hello(version=2, oldest_version=1))
    assert len(ends.events) == 1 and ends.gone == []


def test_one_without_a_version_in_common_is_not(tmp_path: Path) -> None:
    ends = Ends(tmp_path)
    ends.says(hello(version=3, oldest_version=2))
    assert ends.events == []
    assert ends.gone == ["it speaks version 2 to 3 of the control messages, this agent 1"]
