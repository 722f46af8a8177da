"""What a replicator says, and from which level on (``log.level`` of agent.toml)."""

import json

import pytest
import structlog

from manager.model.config.agent_config import LogLevel
from replicator.main import configure_log


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (LogLevel.DEBUG, ["debug", "info", "warning", "error"]),
        (LogLevel.INFO, ["info", "warning", "error"]),
        (LogLevel.ERROR, ["error"]),
    ],
)
def test_nothing_below_its_level_is_logged(
    level: LogLevel, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        log = configure_log(level)
        for word in ("debug", "info", "warning", "error"):
            getattr(log, word)("something.happened")
    finally:
        structlog.reset_defaults()
    assert [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()] == said
