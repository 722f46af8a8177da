"""What a replicator says, and from which level on (``log.level`` of agent.toml); and that its log is no risk to it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from manager.model.config.agent_config import LogLevel, LogTarget
from manager.model.replicator_spec import ReplicatorSpec
from replicator.main import begin_log
from tests.support.syslog_daemon import SyslogDaemon


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def spec(level: LogLevel, to: tuple[LogTarget, ...] = (LogTarget.FILE,), syslog_socket: str = "") -> ReplicatorSpec:
    return ReplicatorSpec(
        cluster_id="c", module="db", module_id="m", node="a", boot_id="1", directories=("/srv/db",),
        control_socket="/run/x", listen_host="", listen_port=0, peer_timeout_ms=5_000, acknowledge_disk=False,
        compression=False, must_exist=(), cgroup="", log_file="/dev/null", log_level=level, log_to=to,
        syslog_socket=syslog_socket,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (LogLevel.DEBUG, ["debug", "info", "warning", "error"]),
        (LogLevel.INFO, ["info", "warning", "error"]),
        (LogLevel.ERROR, ["error"]),
    ],
)
def test_nothing_below_its_level_is_logged(level: LogLevel, said: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    log, _ = begin_log(spec(level))
    for word in ("debug", "info", "warning", "error"):
        getattr(log, word)("something.happened")
    assert [json.loads(line)["level"] for line in capfd.readouterr().err.splitlines()] == said


def test_the_syslog_has_its_program_its_node_and_its_module(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    daemon = SyslogDaemon(tmp_path / "log")
    log, _ = begin_log(spec(LogLevel.INFO, (LogTarget.FILE, LogTarget.SYSLOG), daemon.path))
    log.warning("stream.refused", address="10.0.0.2")
    head = f"<28>mirrorfarm-replicator[{os.getpid()}]:"
    assert daemon.lines() == [f"{head} stream.refused node=a module=db address=10.0.0.2"]
    (in_the_file,) = capfd.readouterr().err.splitlines()
    assert json.loads(in_the_file)["event"] == "stream.refused"


def test_a_disk_that_takes_no_line_is_nothing_to_it() -> None:
    full, kept = os.open("/dev/full", os.O_WRONLY), os.dup(2)
    os.dup2(full, 2)
    try:
        log, _ = begin_log(spec(LogLevel.INFO))
        log.error("disk.failed", reason="nobody hears it")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(full)
