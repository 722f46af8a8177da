import json
from typing import Any

from manager.lab.demo.ledger import Ledger, Said
from manager.lab.demo.timeline import Timeline, of_take_over, wall_time

CRASH = wall_time("2026-01-01T00:00:00Z")


def entry(seconds: int, event: str, module: str = "db", **values: Any) -> str:
    return json.dumps({"event": event, "module": module, "at": f"2026-01-01T00:00:{seconds:02d}.500000Z", **values})


LOG = [
    json.dumps({"event": "address.added", "module": "db", "at": "2025-12-31T23:59:59Z"}),
    entry(1, "state.changed", reason="waiting_for_primary_lease"),
    entry(2, "address.added", module="other"),
    entry(3, "state.changed", reason="electing"),
    entry(4, "transaction.settled", tag="elect", succeeded=False),
    "Traceback (most recent call last):",
    entry(5, "transaction.settled", tag="elect", succeeded=True),
    entry(6, "address.added", addresses=["10.77.0.100/24"]),
    entry(7, "script.ended", script="start_prim", outcome="done"),
    '{"event": "half',
]
LEDGER = Ledger((Said("done", 1, CRASH + 4, CRASH + 4.1, ""), Said("done", 2, CRASH + 8, CRASH + 8.25, "")))


def times(timeline: Timeline) -> list[int | None]:
    return [timeline.milliseconds(step) for step in timeline.steps]


def test_each_step_is_the_first_of_its_kind_after_the_crash() -> None:
    timeline = of_take_over(CRASH, "db", LOG, LEDGER)
    assert times(timeline) == [3500, 5500, 6500, 7500, 8250]
    assert timeline.complete


def test_a_step_that_nothing_tells_of_is_not_guessed() -> None:
    timeline = of_take_over(CRASH, "db", LOG[:-2], LEDGER)
    assert times(timeline) == [3500, 5500, 6500, None, 8250]
    assert not timeline.complete


def test_without_a_promotion_no_commit_is_taken_for_the_first() -> None:
    assert times(of_take_over(CRASH, "db", [], LEDGER)) == [None] * 5
