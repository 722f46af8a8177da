"""A replicator that is silent for its limit hangs; the agent's own standstill is no silence of it."""

from agent.runtime.pulse import PERIOD_NS, SECOND_NS, Pulse

LIMIT_NS = 6 * SECOND_NS


def looks(pulse: Pulse, since_ns: int, count: int) -> list[bool]:
    return [pulse.hangs(since_ns + n * PERIOD_NS) for n in range(1, count + 1)]


def test_one_that_is_silent_for_its_limit_hangs() -> None:
    assert looks(Pulse(LIMIT_NS, 0), 0, 7) == [False] * 6 + [True]


def test_no_limit_is_shorter_than_five_seconds() -> None:
    assert looks(Pulse(SECOND_NS, 0), 0, 6) == [False] * 5 + [True]


def test_each_word_begins_anew() -> None:
    pulse = Pulse(LIMIT_NS, 0)
    assert looks(pulse, 0, 6) == [False] * 6
    pulse.heard()
    assert looks(pulse, 6 * PERIOD_NS, 7) == [False] * 6 + [True]


def test_the_agents_own_standstill_does_not_count() -> None:
    pulse = Pulse(LIMIT_NS, 0)
    assert looks(pulse, 0, 5) == [False] * 5
    thawed_ns = 100 * SECOND_NS
    assert not pulse.hangs(thawed_ns)
    assert looks(pulse, thawed_ns, 7) == [False] * 6 + [True]
