"""The ``[resync]`` table of a module."""

import re

from manager.model.config.findings import Findings
from manager.model.config.module_config import ResyncConfig, ResyncWindow
from manager.model.config.rules import Rule
from manager.model.config.tables import Table

LEAST_BYTES_S = 64 << 10
MOST_BYTES_S = 1 << 40
LEAST_ASIDE_BYTES = 1 << 20
MOST_ASIDE_BYTES = 1 << 50
_MOST_WINDOWS = 64
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_FROM = Rule('a time of the day from "00:00" to "23:59"', lambda text: _TIME.fullmatch(text) is not None)
_TO = Rule(
    'a time of the day from "00:00" to "24:00"', lambda text: text == "24:00" or _TIME.fullmatch(text) is not None
)


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
    begin, end = table.required("from", _FROM), table.required("to", _TO)
    bandwidth_bytes_s = table.required_rate_bytes_s("bandwidth", LEAST_BYTES_S, MOST_BYTES_S)
    table.finish()
    if not begin or not end:
        return None
    if begin == end:
        table.refuse("to", 'another time than "from"; the whole day is from "00:00" to "24:00"')
        return None
    return ResyncWindow(_minute(begin), _minute(end), bandwidth_bytes_s)


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
