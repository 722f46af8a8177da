"""What a farm's clients saw: what is wrong of it, and what is not."""

from dataclasses import replace

import pytest

from tests.support.farm_client import Seen
from tests.support.farm_history import SECOND_NS, Calm, How, Loss, answered, away_ns, violations

AT = 100 * SECOND_NS
DIED = Loss("b", How.DIED, AT, AT)
STOPPED = Loss("b", How.STOPPED, AT, AT + 2 * SECOND_NS)
OPEN = Seen("open", "10.78.0.1", "b", began_ns=AT - SECOND_NS, answered_ns=AT - SECOND_NS // 2)


def ended(seen: Seen, how: str, after_s: float) -> Seen:
    return replace(seen, how=how, ended_ns=AT + int(after_s * SECOND_NS))


@pytest.mark.parametrize("loss", [DIED, STOPPED])
def test_what_a_lost_node_served_may_be_reset(loss: Loss) -> None:
    assert violations([OPEN, ended(OPEN, "reset", 1.5)], [loss]) == []


@pytest.mark.parametrize(
    ("seen", "losses"),
    [
        (ended(OPEN, "reset", 1.5), []),
        (ended(OPEN, "hung", 9.5), [DIED]),
        (ended(OPEN, "answered by a", 1.5), [DIED]),
        (ended(OPEN, "reset", -0.2), [DIED]),
        (ended(replace(OPEN, node="a"), "reset", 1.5), [DIED]),
        (
            ended(replace(OPEN, began_ns=AT + 3 * SECOND_NS, answered_ns=AT + 4 * SECOND_NS), "reset", 5),
            [DIED, STOPPED],
        ),
    ],
)
def test_all_else_is_wrong(seen: Seen, losses: list[Loss]) -> None:
    assert len(violations([seen], losses)) == 1


def test_what_begins_may_be_lost_while_nobody_has_noticed_a_death_and_at_no_stop() -> None:
    never = Seen("short", "10.78.0.1", began_ns=AT + SECOND_NS)
    assert violations([ended(never, "hung", 11)], [DIED]) == []
    assert len(violations([ended(never, "refused", 1)], [STOPPED])) == 1
    late = replace(never, began_ns=AT + 3 * SECOND_NS)
    assert len(violations([ended(late, "hung", 13)], [DIED])) == 1


def test_of_many_some_are_named() -> None:
    wrong = violations([ended(OPEN, "hung", 9)] * 30, [DIED])
    assert len(wrong) == 13
    assert wrong[-1] == "and 18 more"


def test_a_share_is_back_when_all_that_begins_is_served_at_once() -> None:
    def short(began_s: float, again: int) -> Seen:
        began_ns = AT + int(began_s * SECOND_NS)
        return Seen("short", "10.78.0.1", "a", began_ns, began_ns + SECOND_NS, again=again)

    assert away_ns([short(-1, 2), short(0.5, 0), short(1.5, 1), short(1.6, 0), short(20, 1)], DIED) == 1.5 * SECOND_NS
    assert away_ns([short(0.5, 0)], DIED) == 0


def test_what_a_client_missed_while_it_was_not_run_itself_is_not_known() -> None:
    never = ended(Seen("short", "10.78.0.1", began_ns=AT), "hung", 11)
    assert len(violations([never], [])) == 1
    stall = Seen("stall", "10.77.0.110", began_ns=AT + SECOND_NS, ended_ns=AT + 4 * SECOND_NS)
    assert violations([never, stall], []) == []
    assert len(violations([never, replace(stall, source="fd77::110")], [])) == 1
    assert len(violations([ended(OPEN, "reset", 3), stall], [])) == 1


def test_shares_are_counted_while_nothing_is_on_its_way() -> None:
    seen = [Seen("short", "10.78.0.1", node, began_ns=at) for node, at in (("a", 5), ("a", 6), ("b", 7), ("b", 30))]
    seen += [Seen("short", "10.78.0.1", "", began_ns=6), Seen("short", "10.78.0.1", "a", began_ns=10)]
    assert answered(seen, [Calm(5, 10, {"a": 1, "b": 3}), Calm(30, 40, {"b": 1})]) == {
        "a": (2, 0.75),
        "b": (2, 3.25),
    }
