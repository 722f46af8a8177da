"""How far a resync is, as an operator sees it: once, on and on, on a terminal and in a file."""

import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from rich.console import Console

from manager.cli.client import AgentClient
from manager.cli.exit_codes import ExitCode
from manager.cli.main import build_parser, run
from manager.cli.progress import bytes_words, duration_words, left_words, progress_lines, progress_words
from manager.cli.render import state_table, why_text
from manager.cli.seat import Seat, make_console
from manager.model.api import ApiError, ErrorKind, ModuleView, StateResult, WhyResult
from manager.model.control import Progress, Scope, Stage
from manager.model.pace import Pace
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Readiness
from tests.unit.manager.cli.test_render import shown
from tests.unit.manager.cli.views import ALONE, PRIM, SECOND, module, node, result

CATCHING_UP = node("b", ModuleState.WAIT, Readiness.TRANSIENT, Reason.CATCHING_UP, listed=False)
HALF = Progress(
    "join", "b", 12_345, 512 << 20, 1 << 20, 1 << 30, 4_000, Scope.CHANGES, bytes_found=1 << 30, files_done=40
)
PACE = Pace(entries_s=0, bytes_s=128 << 20, sent_bytes_s=256 << 10, left_ms=4_000)


def joining(progress: Progress | None, pace: Pace | None, primary: str = "a") -> ModuleView:
    return module(replace(ALONE, progress=progress, pace=pace), CATCHING_UP, holders=("a",), primary=primary)


def test_how_far_how_fast_and_how_long_still() -> None:
    text = shown(state_table(result(joining(HALF, PACE))))
    assert text.splitlines()[3:] == [
        "db: b is brought in sync: of what changed",
        "  50 %: 512 MiB of 1.0 GiB examined, 1.0 MiB sent; 12,345 entries, 40 files",
        "  now 128 MiB/s examined, 256 KiB/s sent; about 4 s left",
    ]


def test_as_long_as_the_end_is_not_known_the_time_left_is_unknown() -> None:
    early = replace(HALF, scope=Scope.EVERYTHING, bytes_total=0, files_done=0)
    assert progress_lines(joining(early, replace(PACE, left_ms=None, entries_s=3_000)), "a") == [
        "db: b is brought in sync: a full compare",
        "  512 MiB examined of 1.0 GiB found so far, 1.0 MiB sent; 12,345 entries",
        "  now 128 MiB/s examined, 256 KiB/s sent, 3,000 entries/s; time left unknown",
    ]


def test_an_estimate_says_that_it_is_one() -> None:
    early = replace(HALF, scope=Scope.EVERYTHING, bytes_total=0, bytes_found=600 << 20)
    early = replace(early, bytes_expected=2 << 30, entries_expected=20_000)
    assert progress_lines(joining(early, PACE), "a")[1] == (
        "  about 25 %: 512 MiB of about 2.0 GiB examined, 1.0 MiB sent; 12,345 of about 20,000 entries, 40 files"
    )


def test_what_nobody_has_said_yet_is_unknown() -> None:
    first = Progress("join", "b", 3, 0, 0, 0, 10)
    assert progress_lines(joining(first, None), "a") == [
        "db: b is brought in sync",
        "  0 B examined, 0 B sent; 3 entries",
        "  rate and time left unknown",
    ]
    assert progress_lines(joining(None, None), "a") == ["db: b is brought in sync: how far it is, is unknown"]


def test_what_is_all_there_is_not_safe_before_it_is_on_the_disks() -> None:
    last = replace(HALF, bytes_done=1 << 30, stage=Stage.SYNCING)
    assert progress_lines(joining(last, PACE), "a")[1:] == [
        "  all is there (1.0 GiB examined, 1.0 MiB sent; 12,345 entries, 40 files); it is brought to the disks"
    ]
    assert "left" not in progress_words(last, PACE)


def test_another_node_says_where_it_can_be_seen() -> None:
    assert progress_lines(joining(None, None), "b") == [
        "db: b is brought in sync: mirrorfarm state on a shows how far it is"
    ]
    assert progress_lines(joining(None, None, primary=""), "b") == [
        "db: b is brought in sync: how far it is, is unknown"
    ]


def test_what_is_set_aside_before_it_is_brought_in_sync_is_said_to_be_so() -> None:
    aside = replace(CATCHING_UP, reason=Reason.SETTING_ASIDE)
    goes_on = module(replace(ALONE, progress=Progress("set_aside", "b", 3, 1024, 0, 4096, 10)), aside)
    assert progress_lines(goes_on, "a")[:2] == [
        "db: what only b has is set aside",
        "  25 %: 1.0 KiB of 4.0 KiB examined; 3 entries",
    ]
    assert progress_lines(goes_on, "b") == [
        "db: what only b has is set aside: mirrorfarm state on a shows how far it is"
    ]


def test_without_anything_going_on_there_is_nothing_to_say() -> None:
    assert progress_lines(module(PRIM, SECOND), "a") == progress_lines(module(PRIM, SECOND), "c") == []


def test_a_comparison_of_both_copies() -> None:
    comparing = module(
        replace(PRIM, progress=Progress("verify", "b", 5, 1024, 0, 4096, 1_000), pace=Pace(0, 1024, 0, 3_000)), SECOND
    )
    assert progress_lines(comparing, "a") == [
        "db: verify with b",
        "  25 %: 1.0 KiB of 4.0 KiB examined; 5 entries",
        "  now 1.0 KiB/s examined; about 3 s left",
    ]


def test_a_narrow_terminal_and_why_have_it_too() -> None:
    assert "about 4 s left" in shown(state_table(result(joining(HALF, PACE))), columns=60)
    assert "about 4 s left" in shown(why_text(WhyResult(joining(HALF, PACE), "b", True, 0, here="a")))


def test_sizes_and_durations() -> None:
    assert [bytes_words(n) for n in (0, 1023, 1024, 150 << 10, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "150 KiB",
        "3.0 TiB",
    ]
    assert [duration_words(n) for n in (250, 99_000, 600_000, 7_200_000)] == ["0.2 s", "99.0 s", "10 min", "2.0 h"]
    assert [left_words(n) for n in (0, 1, 99_001, 600_000)] == ["0 s", "1 s", "100 s", "10 min"]


# --watch

AWAY = ApiError(ErrorKind.UNREACHABLE, "The agent of this node does not answer on /run/x: Connection refused.")


class Agent:
    """One that answers these, one after the other; then the operator has seen enough."""

    def __init__(self, *answers: StateResult | ApiError) -> None:
        self._answers: Iterator[StateResult | ApiError] = iter(answers)

    def call(self, arguments: Any, **_options: Any) -> Any:
        answer = next(self._answers, None)
        if answer is None:
            raise KeyboardInterrupt
        if isinstance(answer, ApiError):
            raise answer
        return answer

    def close(self) -> None:
        """Nothing is open."""


def watched(
    console: Console, words: str, *answers: StateResult | ApiError, sleep: Callable[[float], None] = lambda _: None
) -> int:
    clock = itertools.count()
    agent = cast(AgentClient, Agent(*answers))
    seat = Seat(agent, console, console, "", sleep=sleep, monotonic=lambda: float(next(clock)))
    return run(build_parser(with_lab=False).parse_args(words.split()), seat)


FIRST, LATER = result(joining(HALF, PACE)), result(joining(replace(HALF, bytes_done=768 << 20), PACE))


def test_into_a_file_it_is_written_whenever_it_has_changed() -> None:
    file = io.StringIO()
    assert watched(make_console(file), "state --watch", FIRST, FIRST, FIRST, LATER, LATER) == 0
    assert [line.split(":")[0].strip() for line in file.getvalue().splitlines() if "%" in line] == ["50 %", "75 %"]
    assert "\x1b" not in file.getvalue()


def test_as_json_a_line_for_each_change() -> None:
    file = io.StringIO()
    assert watched(make_console(file), "state --watch --json", FIRST, FIRST, LATER) == 0
    shown_a = [json.loads(line)["modules"][0]["nodes"][0] for line in file.getvalue().splitlines()]
    assert [n["progress"]["bytes_done"] >> 20 for n in shown_a] == [512, 768]
    assert shown_a[0]["progress"]["scope"] == "changes"
    assert shown_a[0]["pace"] == {"entries_s": 0, "bytes_s": 128 << 20, "sent_bytes_s": 256 << 10, "left_ms": 4_000}


def test_what_looks_like_a_terminal_and_is_none_has_lines_too() -> None:
    file = io.StringIO()
    colours = Console(file=file, force_terminal=True, width=120, markup=False, highlight=False, emoji=False)
    assert watched(colours, "state --watch", FIRST, FIRST, LATER) == 0
    assert "50 %" in file.getvalue() and "75 %" in file.getvalue()
    assert not re.search(r"\x1b\[[^m]*[A-LN-Za-ln-z]", file.getvalue()), "nothing is placed or erased"


def test_an_interval_is_waited_for_while_somebody_reads() -> None:
    slept: list[float] = []
    console = make_console(io.StringIO())
    assert watched(console, "state --watch --interval 5s", FIRST, FIRST, LATER, sleep=slept.append) == 0
    assert len(slept) > 2 and max(slept) <= 1.0


@pytest.mark.parametrize("words", ["state --interval 2s", "state --quiet db --interval 2s"])
def test_an_interval_goes_with_a_watch(words: str) -> None:
    assert watched(make_console(io.StringIO()), words, FIRST) == ExitCode.USAGE


@pytest.mark.parametrize("interval", ["0s", "999ms", "1", "soon"])
def test_nobody_is_asked_more_often_than_each_second(interval: str) -> None:
    with pytest.raises(SystemExit):
        build_parser(with_lab=False).parse_args(["state", "--watch", "--interval", interval])


@pytest.mark.parametrize("error", [AWAY, ApiError(ErrorKind.STORE_UNREACHABLE, AWAY.message)])
def test_an_agent_that_is_away_or_knows_nothing_yet_is_watched_for(error: ApiError) -> None:
    file = io.StringIO()
    assert watched(make_console(file), "state --watch", FIRST, FIRST, error, error, LATER) == 0
    lines = [line for line in file.getvalue().splitlines() if "%" in line or "unknown until" in line]
    assert [line.split(":")[0].strip() for line in lines] == [
        "50 %",
        "The agent of this node does not answer on /run/x",
        "75 %",
    ]


def test_one_that_was_never_there_is_an_error() -> None:
    file = io.StringIO()
    assert watched(make_console(file), "state --watch", AWAY) not in (0, 1)
    assert file.getvalue().startswith("mirrorfarm: The agent of this node does not answer")


@pytest.mark.parametrize("kind", [ErrorKind.NOT_FOUND, ErrorKind.FORBIDDEN])
def test_what_does_not_change_by_waiting_ends_it(kind: ErrorKind) -> None:
    file = io.StringIO()
    assert watched(make_console(file), "state --watch", FIRST, FIRST, ApiError(kind, "no")) != 0


def test_a_command_that_waits_says_it_now_and_then() -> None:
    file = io.StringIO()
    done = result(module(PRIM, SECOND))
    steps = [result(joining(replace(HALF, bytes_done=n << 20), PACE)) for n in range(1, 60)]
    assert watched(make_console(file), "wait db SECOND --timeout 500s", *steps, done, done) == 0
    assert 3 <= file.getvalue().count("join: ") <= 20
