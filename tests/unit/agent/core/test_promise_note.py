"""What agents note of their promises, from one to the next: no promise that was made outlasts what the note says."""

from hypothesis import given
from hypothesis import strategies as st

from agent.core.promise_note import PromiseNote, succeed
from agent.core.settings import SECOND_NS


def test_the_first_agent_knows_of_no_promise() -> None:
    assert succeed(None, "boot", 8, 100) == PromiseNote("boot", 8)


def test_a_longer_promise_than_ones_own_is_waited_out_from_now_on() -> None:
    assert succeed(PromiseNote("boot", 50), "boot", 8, 100) == PromiseNote("boot", 8, 50, 150)


def test_one_that_is_no_longer_is_covered_by_ones_own() -> None:
    assert succeed(PromiseNote("boot", 8), "boot", 8, 100) == PromiseNote("boot", 8)
    assert succeed(PromiseNote("boot", 8), "boot", 50, 100) == PromiseNote("boot", 50)


def test_it_is_remembered_by_an_agent_that_begins_meanwhile() -> None:
    assert succeed(PromiseNote("boot", 8, 50, 150), "boot", 8, 120) == PromiseNote("boot", 8, 50, 150)
    assert succeed(PromiseNote("boot", 8, 50, 150), "boot", 8, 151) == PromiseNote("boot", 8)


def test_another_start_of_the_machine_does_not_end_it() -> None:
    """Its clock begins anew: the time that is left is not known, and no more than the whole."""
    assert succeed(PromiseNote("boot", 50), "boot2", 8, 3) == PromiseNote("boot2", 8, 50, 53)
    assert succeed(PromiseNote("boot", 8, 50, 150), "boot2", 8, 3) == PromiseNote("boot2", 8, 50, 53)


def test_a_clock_that_has_gone_back_does_not_make_it_longer() -> None:
    """As where a container keeps the id of its start, or a machine is put back: it would not have stood for days."""
    assert succeed(PromiseNote("boot", 8, 50, 90_000), "boot", 8, 3) == PromiseNote("boot", 8, 50, 53)


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 100), st.booleans()), min_size=1, max_size=8))
def test_no_promise_outlasts_what_binds_the_agent_of_now(lives: list[tuple[int, int, bool]]) -> None:
    """Agents with promises of these lengths live for so long each; some begin with another start of the machine."""
    note, true_s, boot, booted_s = None, 0, 0, 0
    last_s = 0  # Until when a promise lasts, truly.
    for promise_s, life_s, boots in lives:
        if boots:
            boot, booted_s = boot + 1, true_s
        now_s = true_s - booted_s
        note = succeed(note, f"boot{boot}", promise_s * SECOND_NS, now_s * SECOND_NS)
        bound_s = max(now_s + promise_s, note.former_until_ns // SECOND_NS) + booted_s
        assert last_s <= bound_s
        true_s += life_s
        last_s = max(last_s, true_s + promise_s)
