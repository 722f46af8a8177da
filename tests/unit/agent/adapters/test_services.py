"""What systemd is asked, and how often. What it does: integration."""

import asyncio
from pathlib import Path

import pytest

from agent.adapters import services, tools
from agent.adapters.services import SystemdServices
from agent.adapters.tools import Ran
from manager.model.errors import ConfigError, DefiniteFailure, IndefiniteFailure, MirrorfarmError


class Systemd:
    """One that knows each service, and fails so many times before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *failures: MirrorfarmError | Ran) -> None:
        self.asked: list[str] = []
        self._failures = list(failures)
        self.state = "loaded"
        monkeypatch.setattr(tools, "run", self._run)
        monkeypatch.setattr(services, "AGAIN_S", 0.0)

    async def _run(self, argv: tuple[str, ...], seconds: float) -> Ran:
        self.asked.append(argv[2])
        if self._failures:
            failure = self._failures.pop(0)
            if isinstance(failure, MirrorfarmError):
                raise failure
            return failure
        return Ran(0, f"LoadState={self.state}\nConsistsOf=" if argv[2] == "show" else "")


GONE = Ran(1, "Failed to reload daemon: Transport endpoint is not connected")


def test_one_that_does_not_answer_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As at the machine's start, or where it is upgraded: the module would be blocked for good."""
    systemd = Systemd(monkeypatch, IndefiniteFailure("did not end"), GONE)
    asyncio.run(SystemdServices("db", str(tmp_path)).prepare(["one"]))
    assert systemd.asked == ["daemon-reload"] * 3 + ["show", "daemon-reload", "disable"]


def test_one_that_goes_on_refusing_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    systemd = Systemd(monkeypatch, *[GONE] * 10)
    with pytest.raises(DefiniteFailure, match="not connected"):
        asyncio.run(SystemdServices("db", str(tmp_path)).prepare(["one"]))
    assert systemd.asked == ["daemon-reload"] * 3


def test_a_service_that_does_not_exist_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    systemd = Systemd(monkeypatch)
    systemd.state = "not-found"
    with pytest.raises(ConfigError, match="one"):
        asyncio.run(SystemdServices("db", str(tmp_path)).prepare(["one"]))
    assert systemd.asked == ["daemon-reload", "show"]
