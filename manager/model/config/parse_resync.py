"""The ``[resync]`` table of a module."""

from manager.model.config.findings import Findings
from manager.model.config.module_config import ResyncConfig, ResyncWindow
from manager.model.config.tables import Table
from manager.model.config.times import FROM, TO, minute_of

LEAST_BYTES_S = 64 << 10
MOST_BYTES_S = 1 << 40
LEAST_ASIDE_BYTES = 1 << 20
MOST_ASIDE_BYTES = 1 << 50
_MOST_WINDOWS = 64


def parse_resync(table: Table, findings: Findings) -> ResyncConfig:
    """What ``table`` says; what is wrong goes to ``findings``."""
    config = ResyncConfig(
        bandwidth_bytes_s=table.rate_bytes_s(
            "bandwidth", ResyncConfig().bandwidth_bytes_s, LEAST_BYTES_S, MOST_BYTES_S
        ),
        schedule=_schedule(table, findings),
        set_aside_bytes=table.size_bytes(
            "set_aside", ResyncConfig().set_aside_bytes, LEAST_ASIDE_BYTES, MOST_ASIDE_BYTES
        ),
    )
    table.finish()
    return config


def _schedule(table: Table, findings: Findings) -> tuple[ResyncWindow, ...]:
    windows = [_window(each) for each in table.tables("schedule")]
    if len(windows) > _MOST_WINDOWS:
        findings.note(table.path("schedule"), f"{len(windows)} windows", f"at most {_MOST_WINDOWS}")
    return tuple(window for window in windows if window is not None)


def _window(table: Table) -> ResyncWindow | None:
    begin, end = table.required("from", FROM), table.required("to", TO)
    bandwidth_bytes_s = table.required_rate_bytes_s("bandwidth", LEAST_BYTES_S, MOST_BYTES_S)
    table.finish()
    if not begin or not end:
        return None
    if begin == end:
        table.refuse("to", 'another time than "from"; the whole day is from "00:00" to "24:00"')
        return None
    return ResyncWindow(minute_of(begin), minute_of(end), bandwidth_bytes_s)
