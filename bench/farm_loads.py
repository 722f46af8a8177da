"""The loads of ``bench/farm.py``: what each asks of a server, by which program, and what that says of it. Pure.

wrk asks on connections that stay open. It starts its clock when a connection stands: for new ones there is ab, whose
times have all of it. Both end after whole seconds.
"""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.outcome import MIB

SMALL_BYTES = 1024
BULK_BYTES = 100 * MIB
_REPORT = Path(__file__).with_name("wrk_report.lua")
_PATIENCE_S = 10
_MOST_REQUESTS = 1_000_000
"""More than ab gets done in its time; it keeps a record of each."""
_FEWEST = 100
"""With 50 or less ab takes the 99th percentile from behind the last record."""
_TIMES = "/tmp/ab.csv"
_SHOWN = 300
"""Characters of what is not understood."""


class LoadFailed(Exception):
    """Requests failed, or a program said what is not understood: there is no figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement."""

    rate: float
    """In the load's unit."""
    p50_ms: float | None
    """Of a request; ``None``: it takes longer than a measurement, if the machine is slow."""
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked."""

    words: str
    unit: str
    is_barred: bool
    """Whether the rate through the director has to reach a part of that without it."""
    command: Callable[[str, int], str]
    """The shell's words that put it on the server at ``http://HOST:PORT`` for so many seconds."""
    figure: Callable[[str], Figure]
    """What the program's output says.

    Raises:
        LoadFailed: requests failed, or it does not say it.
    """


def _wrk(path: str, connections: int) -> Callable[[str, int], str]:
    def command(server: str, seconds: int) -> str:
        words = f"wrk --threads 1 --connections {connections} --duration {seconds}s --timeout {_PATIENCE_S}s"
        return f"{words} --script {shlex.quote(str(_REPORT))} {server}{path}"

    return command


def _ab(path: str, connections: int) -> Callable[[str, int], str]:
    def command(server: str, seconds: int) -> str:
        # In this order: -t sets -n, too.
        words = f"ab -q -d -t {seconds} -n {_MOST_REQUESTS} -s {_PATIENCE_S} -c {connections} -e {_TIMES}"
        return f"{words} {server}{path} && cat {_TIMES}"

    return command


def wrk_figure(said: str) -> Figure:
    """What wrk said, in requests a second.

    Raises:
        LoadFailed: requests failed, or it did not say it.
    """
    found = _wrk_report(said)
    return Figure(found["requests"] / found["duration_us"] * 1e6, found["p50_us"] / 1e3, found["p99_us"] / 1e3)


def wrk_bulk_figure(said: str) -> Figure:
    """What wrk said, in MiB a second; those of requests count that have not ended.

    Raises:
        LoadFailed: requests failed, or it did not say it.
    """
    found = _wrk_report(said)
    return Figure(found["bytes"] / MIB / found["duration_us"] * 1e6, None, None)


def _wrk_report(said: str) -> dict[str, int]:
    try:
        found = {name: int(value) for name, value in json.loads(said.splitlines()[-1]).items()}
        failed, much = found["failed"], found["bytes"] * found["duration_us"]
    except (IndexError, KeyError, AttributeError, TypeError, ValueError):
        raise LoadFailed(f"wrk said: {said[-_SHOWN:]}") from None
    if failed or not much:
        raise LoadFailed(f"{failed} requests failed, {found['requests']} did not")
    return found


def ab_figure(said: str) -> Figure:
    """What ab said, with its table of percentages behind it; requests a second.

    Raises:
        LoadFailed: requests failed, or it did not say it.
    """
    facts = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    times = dict(line.split(",", 1) for line in said.splitlines() if line.count(",") == 1)
    try:
        failed, done = int(facts["Failed requests"]), int(facts["Complete requests"])
        failed += int(facts.get("Non-2xx responses", "0"))
        figure = Figure(float(facts["Requests per second"].split()[0]), float(times["50"]), float(times["99"]))
    except (IndexError, KeyError, ValueError):
        raise LoadFailed(f"ab said: {said[-_SHOWN:]}") from None
    if failed or done < _FEWEST:
        raise LoadFailed(f"{failed} of {done} requests failed; {_FEWEST} are needed")
    return figure


LOADS: Mapping[str, Load] = {
    "keep-alive": Load("1 KiB, 32 connections that stay open", "/s", True, _wrk("/small", 32), wrk_figure),
    "new": Load("1 KiB, 32 at once, each a new connection", "/s", True, _ab("/small", 32), ab_figure),
    "one": Load("1 KiB, one after the other on one connection", "/s", False, _wrk("/small", 1), wrk_figure),
    "bulk": Load(f"{BULK_BYTES // MIB} MiB each, 4 connections", "MiB/s", True, _wrk("/bulk", 4), wrk_bulk_figure),
}
