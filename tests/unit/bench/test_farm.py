"""What ``bench/farm.py`` makes of what programs said and clients saw: no figure where something failed."""

import io
import json
from collections.abc import Mapping

import pytest
from rich.console import Console

from bench.farm import BAR, MOST_AWAY_S, gaps_table, missed_gaps, missed_rates, ratio, ways_table
from bench.farm_gaps import Gap, Gaps, gap
from bench.farm_loads import BULK_BYTES, LOADS, Figure, LoadFailed, ab_figure, wrk_bulk_figure, wrk_figure
from bench.farm_probe import Attempt, read_attempts

SECOND_NS = 1_000_000_000
AB = """\
This is ApacheBench, Version 2.3 <$Revision$>

Server Hostname:        10.77.0.1
Server Port:            8080
Time taken for tests:   0.065 seconds
Complete requests:      {done}
Failed requests:        {failed}
{beside}Requests per second:    615.50 [#/sec] (mean)
Time per request:       1.625 [ms] (mean, across all concurrent requests)

              min  mean[+/-sd] median   max
Total:          0    3   4.8      1      20
Percentage served,Time in ms
0,0.498
50,1.149
99,19.813
100,19.900
"""


def wrk(**changed: int) -> str:
    found = {"requests": 3000, "bytes": 8 << 20, "duration_us": 2_000_000, "p50_us": 562, "p99_us": 7930, "failed": 0}
    return f"Running 1s test\n  3000 requests in 2.00s\n{json.dumps(found | changed)}\n"


def test_wrk_tells_requests_or_mib_a_second() -> None:
    assert wrk_figure(wrk()) == Figure(1500.0, 0.562, 7.93)
    assert wrk_bulk_figure(wrk(requests=0)) == Figure(4.0, None, None)


def test_ab_tells_requests_a_second_with_the_time_to_connect() -> None:
    assert ab_figure(AB.format(done=400, failed=0, beside="")) == Figure(615.5, 1.149, 19.813)


@pytest.mark.parametrize("said", ["", "wrk: unable to connect", "[1]", '{"failed": 0}', wrk(failed=1), wrk(bytes=0)])
def test_what_wrk_did_not_measure_is_no_figure(said: str) -> None:
    for figure in (wrk_figure, wrk_bulk_figure):
        with pytest.raises(LoadFailed):
            figure(said)


@pytest.mark.parametrize(
    "said",
    [
        "",
        AB.format(done=400, failed=1, beside=""),
        AB.format(done=400, failed=0, beside="Non-2xx responses:      7\n"),
        AB.format(done=40, failed=0, beside=""),
        AB.format(done=400, failed=0, beside="").replace("99,19.813\n", ""),
    ],
)
def test_what_ab_did_not_measure_is_no_figure(said: str) -> None:
    with pytest.raises(LoadFailed):
        ab_figure(said)


def test_each_load_names_the_server_and_ends_by_itself() -> None:
    for load in LOADS.values():
        command = load.command("http://10.77.0.1:8080", 3)
        assert "http://10.77.0.1:8080/" in command
        assert "--duration 3s" in command or " -t 3 " in command


def figures(forwarded: Mapping[str, float]) -> dict[tuple[str, str], list[Figure]]:
    """Three rounds; ``direct`` drifts, and ``forwarded`` with it."""
    found = {}
    for load, part in forwarded.items():
        time_ms = None if load == "bulk" else 1.0
        found[load, "direct"] = [Figure(rate, time_ms, time_ms) for rate in (100.0, 200.0, 400.0)]
        found[load, "forwarded"] = [Figure(rate * part, time_ms, time_ms) for rate in (100.0, 200.0, 400.0)]
    return found


def test_a_ratio_is_of_the_same_round() -> None:
    assert ratio(figures({"bulk": 0.95}), "bulk", "forwarded") == pytest.approx(0.95)


def test_a_rate_below_the_bar_is_said_and_one_at_it_is_not() -> None:
    assert missed_rates(figures({"bulk": BAR + 1e-9, "new": 1.2}), ["bulk", "new"]) == []
    (words,) = missed_rates(figures({"bulk": 0.84, "new": 0.95}), ["bulk", "new"])
    assert "0.84" in words and LOADS["bulk"].words in words


def test_one_after_the_other_is_shown_and_not_judged() -> None:
    assert missed_rates(figures({"one": 0.5}), ["one"]) == []


def test_a_client_waits_until_another_node_answers_it() -> None:
    seen = [
        Attempt("1", "b", 90),
        Attempt("2", "b", 95),
        Attempt("1", "", 2 * SECOND_NS, "not answered"),
        Attempt("2", "a", 100 + 2 * SECOND_NS),
        Attempt("1", "c", 100 + 3 * SECOND_NS),
        Attempt("1", "c", 100 + 4 * SECOND_NS),
    ]
    assert gap(seen, ["1", "2"], "b", 100) == Gap(2.0, 3.0)


def test_a_client_that_nobody_else_ever_served_is_no_figure() -> None:
    with pytest.raises(SystemExit, match="never served by another node than b: 2"):
        gap([Attempt("1", "a", 200), Attempt("2", "b", 200)], ["1", "2"], "b", 100)


def test_clients_that_wait_too_long_and_connections_that_fail_are_said() -> None:
    long, short = Gap(0.1, MOST_AWAY_S + 0.1), Gap(0.1, MOST_AWAY_S)
    assert missed_gaps(Gaps()) == []
    assert missed_gaps(Gaps(crashes=[short, short, long])) == []
    assert len(missed_gaps(Gaps(crashes=[short, long, long]))) == 1
    (words,) = missed_gaps(Gaps(drain_failures=[Attempt("1", "", 5, "Connection reset by peer")]))
    assert "Connection reset by peer" in words


def test_what_the_clients_said_is_read_again() -> None:
    said = '{"source": "10.78.0.2", "node": "a", "ended_ns": 7, "how": ""}\n'
    assert read_attempts(said) == [Attempt("10.78.0.2", "a", 7)]


def test_the_tables_have_a_row_a_way_and_no_times_of_bulk() -> None:
    out = io.StringIO()
    console = Console(file=out, width=160)
    console.print(ways_table(figures({"new": 0.95, "bulk": 0.84}), ["new", "bulk"]))
    shown = out.getvalue()
    assert shown.count("forwarded") == 2 and "x 0.84" in shown and "190 (95 to 380) /s" in shown
    assert f"{BULK_BYTES >> 20} MiB each" in shown and "None" not in shown
    console.print(gaps_table(Gaps([Gap(1.0, 1.5)], [Gap(0.2, 0.3)], [0.5])))
    assert "1.50 (1.50 to 1.50)" in out.getvalue() and "0.50 (0.50 to 0.50)" in out.getvalue()
