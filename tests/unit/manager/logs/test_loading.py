"""What is loaded with structlog."""

import subprocess
import sys

import pytest

_SAY_RICH = "print(*(name for name in sys.modules if name.partition('.')[0] == 'rich'))"


def said(*imported: str) -> str:
    """What of rich a process has once all these are loaded, in this order."""
    script = f"import sys, {', '.join(imported)}; {_SAY_RICH}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "program", [("replicator.main",), ("agent.main", "agent.runtime.log", "agent.runtime.assembly")]
)
def test_what_writes_a_log_loads_no_rich(program: tuple[str, ...]) -> None:
    assert said(*program) == ""


def test_it_can_be_loaded_afterwards() -> None:
    assert "rich.console" in said("manager.logs", "rich.console").split()


def test_what_was_loaded_before_stays_as_it_is() -> None:
    assert "rich.traceback" in said("structlog", "manager.logs").split()
    assert "rich.console" in said("rich.console", "manager.logs").split()
