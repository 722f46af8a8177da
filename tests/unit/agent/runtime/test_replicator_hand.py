"""Which replicator of a former agent is adopted, and in which order one is ended with what stands on it."""

import asyncio
import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path
from typing import cast

import pytest

from agent.adapters.cgroups import Cgroup
from agent.adapters.replicators import Replicator
from agent.core import events
from agent.runtime import replicator_hand
from agent.runtime.memory import Memory
from agent.runtime.pulse import Pulse
from agent.runtime.replicator_hand import ReplicatorHand, answers, differing
from manager.model import control
from manager.model.config.agent_config import LogLevel
from manager.model.errors import DefiniteFailure
from manager.model.replicator_spec import ReplicatorSpec, SpecAddress

SPEC = ReplicatorSpec(
    cluster_id="c", module="db", module_id="m", node="a", boot_id="boot", directories=("/srv/db",),
    control_socket="/run/s", listen_host="", listen_port=0, peer_timeout_ms=5000, acknowledge_disk=False,
    compression=True, must_exist=(), cgroup="/cg", log_file="/var/log/r.log",
)  # fmt: skip


def fatal(what: str, error: BaseException) -> None:
    raise AssertionError(what) from error


@pytest.mark.parametrize(
    "newer",
    [
        {"log_level": LogLevel.DEBUG},
        {"peer_timeout_ms": 7000, "compression": False, "listen_port": 77},
        {"addresses": (SpecAddress("10.0.0.1", 24, ""),)},
    ],
)
def test_what_counts_from_the_next_start_is_no_reason_to_end_it(newer: dict[str, object]) -> None:
    assert not differing(SPEC, dataclasses.replace(SPEC, **newer))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        {"module_id": "m2"}, {"cluster_id": "c2"}, {"directories": ("/srv/other",)}, {"boot_id": "boot+1"},
        {"cgroup": ""},
    ],
)  # fmt: skip
def test_another_module_directory_or_memory_is_not_adopted(other: dict[str, object]) -> None:
    assert differing(SPEC, dataclasses.replace(SPEC, **other)) == list(other)  # type: ignore[arg-type]


def test_the_application_ends_before_what_it_stands_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the mounts are plain directories: what it did there would be on this node alone, and in no list (R)."""
    done: list[str] = []

    class Running:
        async def kill(self) -> None:
            done.append("replicator killed")

    async def kill_application() -> None:
        done.append("application killed")

    async def emptied(_cgroup: Cgroup, _seconds: float) -> bool:
        done.append("application gone")
        return True

    async def remove_mounts(_directories: Collection[str]) -> tuple[str, ...]:
        done.append("mounts removed")
        return ()

    async def story() -> None:
        hand = ReplicatorHand(
            SPEC, "/run/db", Cgroup("/cg"), Memory("/run/db", "boot"), lambda _: None, lambda _: None, lambda: None,
            kill_application, fatal,
        )  # fmt: skip
        hand._current = cast(Replicator, Running())
        await hand.kill()

    monkeypatch.setattr(Cgroup, "emptied", emptied)
    monkeypatch.setattr(replicator_hand, "remove_leftover_mounts", remove_mounts)
    asyncio.run(story())
    assert done == ["application killed", "replicator killed", "application gone", "mounts removed"]


def test_none_is_started_as_of_a_memory_that_was_lost_since_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What ran when this agent began noted that, and ended before it could be adopted (S8)."""
    told: list[events.Event] = []

    async def nothing(*_: object) -> None:
        pass

    async def remove_mounts(_directories: Collection[str]) -> tuple[str, ...]:
        return ()

    def starting() -> None:
        raise DefiniteFailure("it is started")

    async def story() -> None:
        memory = Memory(str(tmp_path), "boot")
        hand = ReplicatorHand(
            SPEC, str(tmp_path), Cgroup("/cg"), memory, told.append, lambda _: None, starting, nothing, fatal
        )
        memory.keep("boot+1")
        hand.start("boot")
        async with asyncio.timeout(5):
            while not told:
                await asyncio.sleep(0.001)

    monkeypatch.setattr(Cgroup, "kill", nothing)
    monkeypatch.setattr(Cgroup, "emptied", nothing)
    monkeypatch.setattr(replicator_hand, "remove_leftover_mounts", remove_mounts)
    asyncio.run(story())
    assert told == [events.ReplicatorGone("it is gone, and had lost its memory: the boot id is boot+1 now, not boot")]


def test_one_that_is_not_yet_what_a_former_agent_told_it_is_asked_whether_it_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It greets nobody before, and would be ended with all that it holds (S7)."""

    class Busy:
        def __init__(self, _run: str, _cgroup: Cgroup, heard: Callable[[control.Event], None], _gone: object) -> None:
            self._heard = heard

        async def adopt(self) -> ReplicatorSpec:
            return SPEC

        def send(self, command: control.Command) -> None:
            assert command == control.GetStatus()
            self._heard(control.Status("idle", 0, frozen=False, held=False))

        def release(self) -> None:
            pass

    looks = iter([False, True])
    monkeypatch.setattr(replicator_hand, "Replicator", Busy)
    monkeypatch.setattr(replicator_hand, "PERIOD_NS", 0)
    monkeypatch.setattr(Pulse, "hangs", lambda *_: next(looks))
    assert asyncio.run(answers("/run/db", Cgroup("/cg")))
