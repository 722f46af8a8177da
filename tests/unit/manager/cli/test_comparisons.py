"""What state and why say of comparisons, and that nobody overlooks copies that differ."""

import io
from dataclasses import replace

from rich.console import Console

from manager.cli.comparisons import alarm_lines, comparison_lines
from manager.cli.render import state_table, why_text
from manager.model.api import ModuleView, WhyResult
from manager.model.control import Difference
from manager.model.verify_record import Compared, Differing, Unfinished, VerifyRecord
from tests.unit.manager.cli.views import PRIM, SECOND, module, result

LAST = Compared("2026-11-21T22:00Z", "2026-11-22T04:10Z", "a", "schedule", 120_000, 40 << 30, 0, 2)
OPEN = Unfinished("2026-11-28T22:00Z", "a", "/srv/db:x::0", 1_000, 4 << 30, 0, 1, "2026-11-29T02:00Z")
FOUND = (Difference("/srv/db/\x1b[31mx", "content", "h", "t"), Difference("/srv/db/y", "mode", "h", "t"))
ALARM = Differing(3, "2026-11-29T01:00Z", "a", "schedule", FOUND)


def having(record: VerifyRecord) -> ModuleView:
    return replace(module(PRIM, SECOND), verify=record)


def shown(renderable: object) -> str:
    out = io.StringIO()
    Console(file=out, width=400).print(renderable)
    return out.getvalue()


def test_of_copies_that_were_never_compared_nothing_is_said() -> None:
    assert comparison_lines(module(PRIM, SECOND)) == [] == alarm_lines(module(PRIM, SECOND))


def test_when_they_were_found_equal() -> None:
    [line] = comparison_lines(having(VerifyRecord(last=LAST)))
    assert line == (
        "db: compared until 2026-11-22T04:10Z by the schedule on a: equal "
        "(120,000 entries, 40.0 GiB, in 2 parts since 2026-11-21T22:00Z)"
    )
    [line] = comparison_lines(having(VerifyRecord(last=replace(LAST, by="operator", differences=1, parts=1))))
    assert "by an operator on a: 1 difference (120,000 entries, 40.0 GiB)" in line


def test_how_far_one_is_and_why_it_does_not_go_on() -> None:
    [line] = comparison_lines(having(VerifyRecord(unfinished=OPEN)))
    assert "not all of it yet (1,000 entries, 4.0 GiB, on a at 2026-11-29T02:00Z)" in line
    stopped = replace(OPEN, stopped="its window was over", differences=2)
    [line] = comparison_lines(having(VerifyRecord(unfinished=stopped)))
    assert "(1,000 entries, 4.0 GiB, 2 differences); stopped on a: its window was over" in line


def test_an_alarm_stands_in_state_and_why_with_what_to_do() -> None:
    view = having(VerifyRecord(last=LAST, alarm=ALARM))
    words = "db: the copies differ: 3 differences found on 2026-11-29T01:00Z by a: /srv/db/\\x1b[31mx (content), "
    assert words in shown(state_table(result(view)))
    text = shown(why_text(WhyResult(view, "b", True, 0, here="b")))
    assert words + "/srv/db/y (mode), ..." in text and "mirrorfarm verify db on the primary" in text
    [line] = alarm_lines(having(VerifyRecord(alarm=replace(ALARM, examples=(), total=1))))
    assert line == "db: the copies differ: 1 difference found on 2026-11-29T01:00Z by a"
