import json
from typing import Any

from manager.lab.demo.ledger import Ledger, Said
from manager.lab.demo.timeline import Farm, Timeline, of_take_over, wall_time

CRASH = wall_time("2026-01-01T00:00:00Z")


def entry(seconds: int, event: str, module: str = "db", **values: Any) -> str:
    return json.dumps({"event": event, "module": module, "at": f"2026-01-01T00:00:{seconds:02d}.500000Z", **values})


LOG = [
    json.dumps({"event": "address.added", "module": "db", "at": "2025-12-31T23:59:59Z"}),
    entry(1, "state.changed", reason="waiting_for_primary_lease"),
    entry(1, "rules.loaded", "web"),
    entry(2, "address.added", "web"),
    entry(3, "state.changed", reason="electing"),
    entry(4, "transaction.settled", tag="elect", succeeded=False),
    "Traceback (most recent call last):",
    entry(5, "transaction.settled", tag="elect", succeeded=True),
    entry(6, "address.added", addresses=["10.77.0.100/24"]),
    entry(7, "script.ended", script="start_prim", outcome="done"),
    entry(8, "transaction.settled", "web", tag="slots", succeeded=True),
    entry(9, "rules.loaded", "web"),
    '{"event": "half',
]
LEDGER = Ledger((Said("done", 1, CRASH + 4, CRASH + 4.1, ""), Said("done", 2, CRASH + 9.6, CRASH + 9.75, "")))
DIRECTED = Farm("web", lost_director=True)


def take_over(log: list[str], farm: Farm = DIRECTED) -> Timeline:
    return of_take_over(CRASH, log, LEDGER, "db", farm)


def times(timeline: Timeline) -> list[int | None]:
    return [timeline.milliseconds(step) for step in timeline.steps]


def test_each_step_is_the_first_of_its_kind_after_the_crash_and_they_are_in_their_order() -> None:
    timeline = take_over(LOG)
    assert times(timeline) == [2500, 3500, 5500, 6500, 7500, 9500, 9750]
    assert [step.what.partition(":")[0] for step in timeline.steps] == [
        "director", "detection", "promotion", "address", "application", "slots", "first commit"
    ]  # fmt: skip
    assert timeline.complete


def test_a_director_that_lives_is_not_looked_for() -> None:
    assert times(take_over(LOG, Farm("web", lost_director=False))) == [3500, 5500, 6500, 7500, 9500, 9750]


def test_the_farm_serves_when_the_slots_and_the_address_are_here() -> None:
    assert take_over(LOG).farm_serves == CRASH + 9.5
    later = [*LOG[:3], *LOG[4:], entry(12, "address.added", "web")]
    assert take_over(later).farm_serves == CRASH + 12.5
    assert take_over(later[:-1]).farm_serves == float("inf")


def test_rules_that_were_loaded_before_the_table_are_not_those_of_the_table() -> None:
    assert times(take_over(LOG[:-2]))[-1] is None


def test_a_step_that_nothing_tells_of_is_not_guessed() -> None:
    timeline = take_over([line for line in LOG if "start_prim" not in line])
    assert times(timeline) == [2500, 3500, 5500, 6500, 9500, 9750, None]
    assert not timeline.complete


def test_without_a_promotion_no_commit_is_taken_for_the_first() -> None:
    assert times(take_over([])) == [None] * 7
