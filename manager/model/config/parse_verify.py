"""The ``[verify]`` table of a module."""

from manager.model.config.findings import Findings, listing
from manager.model.config.module_config import DAYS, VerifyConfig, VerifyWindow
from manager.model.config.parse_resync import LEAST_BYTES_S, MOST_BYTES_S
from manager.model.config.rules import Rule
from manager.model.config.tables import Table
from manager.model.config.times import FROM, TO, minute_of

_MOST_WINDOWS = 64
_DAY = Rule(f"days of the week, each {listing(DAYS)}", lambda text: text in DAYS)


def parse_verify(table: Table, findings: Findings) -> VerifyConfig:
    """What ``table`` says; what is wrong goes to ``findings``."""
    default = VerifyConfig()
    windows = [_window(each) for each in table.tables("schedule")]
    if len(windows) > _MOST_WINDOWS:
        findings.note(table.path("schedule"), f"{len(windows)} windows", f"at most {_MOST_WINDOWS}")
    config = VerifyConfig(
        schedule=tuple(window for window in windows if window is not None),
        bandwidth_bytes_s=table.rate_bytes_s("bandwidth", default.bandwidth_bytes_s, LEAST_BYTES_S, MOST_BYTES_S),
        repair=table.boolean("repair", default.repair),
    )
    table.finish()
    return config


def _window(table: Table) -> VerifyWindow | None:
    days = (table.required_strings if table.has("days") else table.strings)("days", _DAY) or DAYS
    begin, end = table.required("from", FROM), table.required("to", TO)
    table.finish()
    if not begin or not end:
        return None
    if begin == end:
        table.refuse("to", 'another time than "from"; the whole day is from "00:00" to "24:00"')
        return None
    return VerifyWindow(minute_of(begin), minute_of(end), days)
