"""With whom there is no stream, and why: what is kept of it, by whom it is told, and when it is forgotten."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from manager.cli.refused_words import known_kind
from manager.model.refused_streams import CLOSED, HERE, NOBODY, THERE, UNUSABLE
from manager.pki import tls_words
from replicator.refusals import LASTS_S, MOST, TOLD_AFTER_S, Refusals, by_of, kind_of
from replicator.wire.messages import Refusal, Refused
from tests.unit.replicator import primaries, secondaries
from tests.unit.replicator.loops import SteppedLoop, stepped_loop
from tests.unit.replicator.primaries import HELLO


class Clock:
    """Seconds, and the time of the day that they are."""

    def __init__(self) -> None:
        self.now = 100.0

    def wall(self) -> str:
        return f"at {self.now:.0f}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(clock: Clock) -> Refusals:
    return Refusals(lambda: clock.now, clock.wall)


def last(kept: Refusals, clock: Clock, *kinds: str, node: str = "b", address: str = "10.0.0.2") -> None:
    """A connection comes to nothing each second, for these reasons in turn."""
    for kind in kinds:
        kept.note(address, kind, f"because of {kind}", HERE, node)
        clock.now += 1.0


def test_what_lasts_is_told_with_its_beginning_and_its_last_reason(kept: Refusals, clock: Clock) -> None:
    last(kept, clock, "tls_early", "tls_early")
    assert kept.standing() == (), "a start may take as long"
    last(kept, clock, "tls_expired", "tls_expired")
    (told,) = kept.standing()
    assert (told.node, told.address, told.kind, told.by) == ("b", "10.0.0.2", "tls_expired", HERE)
    assert (told.since, told.count, told.reason) == ("at 100", 4, "because of tls_expired")


def test_a_good_connection_ends_it(kept: Refusals, clock: Clock) -> None:
    last(kept, clock, *["tls"] * 5)
    last(kept, clock, *["tls"] * 5, node="", address="::ffff:10.0.0.9")
    assert [told.address for told in kept.standing()] == ["10.0.0.2", "10.0.0.9"]
    kept.clear(node="b")
    kept.clear(address="::ffff:10.0.0.9")
    assert kept.standing() == ()
    last(kept, clock, *["tls"] * 4)
    assert kept.standing()[0].since == "at 110"


def test_who_does_not_try_again_is_forgotten(kept: Refusals, clock: Clock) -> None:
    last(kept, clock, *["tls"] * 5)
    clock.now += LASTS_S - 1.0
    assert kept.standing()
    clock.now += 1.1
    assert kept.standing() == ()


def test_a_connection_that_ends_without_a_word_does_not_hide_what_was_said_before(kept: Refusals, clock: Clock) -> None:
    last(kept, clock, CLOSED, "tls_told_expired", CLOSED, "silent")
    assert kept.standing()[0].kind == "tls_told_expired"
    last(kept, clock, "tls")
    assert kept.standing()[0].kind == "tls"


def test_a_flood_of_others_is_bounded_and_the_peer_is_told_of_again(kept: Refusals, clock: Clock) -> None:
    for number in range(500):
        kept.note(f"10.1.{number // 250}.{number % 250}", "protocol", "garbage", NOBODY)
        if number % 3 == 0:
            kept.note("10.0.0.2", "tls_expired", "over", HERE)
            clock.now += 1.0
    told = kept.standing()
    assert len(told) <= MOST
    assert [t.count for t in told if t.address == "10.0.0.2"] == [167]
    assert TOLD_AFTER_S < LASTS_S


def test_strangers_do_not_hide_a_node(kept: Refusals, clock: Clock) -> None:
    last(kept, clock, *["tls_expired"] * 4)
    for number in range(3 * MOST):
        kept.note(f"10.1.0.{number}", "protocol", "garbage", NOBODY)
    assert [told.node for told in kept.standing()] == ["b"]


def test_where_all_are_nodes_a_stranger_is_not_kept_and_another_node_is(kept: Refusals, clock: Clock) -> None:
    names = [f"n{number}" for number in range(MOST)]
    for _ in range(2):
        for name in names:
            kept.note("10.0.0.2", "tls", "", HERE, name)
        kept.note("10.1.0.1", "protocol", "garbage", NOBODY)
        clock.now += TOLD_AFTER_S
    assert [told.node for told in kept.standing()] == names
    for _ in range(2):
        kept.note("10.0.0.2", "tls", "", HERE, "another")
        clock.now += TOLD_AFTER_S
    assert [told.node for told in kept.standing()] == [*names[1:], "another"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("refused: tls: in plain, and this node takes TLS only", ("tls", THERE)),
        ("refused: identity: its certificate is that of node c", ("identity", THERE)),
        ("closed by the other end", (CLOSED, NOBODY)),
        ("cannot send: Broken pipe", (CLOSED, NOBODY)),
        (f"connection lost: {tls_words._TOLD['CERTIFICATE_REVOKED'][1]}", ("tls_told_revoked", THERE)),
        (f"connection lost: {tls_words._TOLD['DECRYPT_ERROR'][1]}", ("tls_told_certificate", THERE)),
    ],
)
def test_who_refuses_is_told_by_the_words_of_the_end(reason: str, expected: tuple[str, str]) -> None:
    assert kind_of(reason) == expected


def test_there_are_words_for_all_that_tls_can_say() -> None:
    found = {trouble.kind for trouble in (*tls_words._FOUND.values(), tls_words.NO_CERTIFICATE, tls_words.NOT_TLS)}
    told = {f"tls_told_{kind}" for kind, _ in tls_words._TOLD.values()}
    others = {"tls_certificate", "tls_closed", "tls_failed", "tls_nobody", "tls_other_use", UNUSABLE}
    assert {kind for kind in found | told | others if not known_kind(kind)} == set()
    assert {by_of(kind) for kind in ("tls_closed", "tls_failed", "protocol", "silent")} == {NOBODY}
    assert {by_of(kind) for kind in found} == {HERE} and {by_of(kind) for kind in told} == {THERE}


# In a replicator


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped_loop() as made:
        yield made


@pytest.fixture
def primary(loop: SteppedLoop, tmp_path: Path) -> Iterator[secondaries.Stage]:
    made = secondaries.Stage(loop, tmp_path)
    yield made
    made.close()


@pytest.fixture
def secondary(loop: SteppedLoop, tmp_path: Path) -> Iterator[primaries.Stage]:
    made = primaries.Stage(loop, tmp_path)
    yield made
    made.close()


def until(primary: secondaries.Stage, condition: Callable[[], object]) -> None:
    """Time passes until ``condition`` holds."""

    def holds() -> object:
        primary.loop.advance(0.1)
        return condition()

    primary.until(holds)


def test_a_primary_keeps_why_a_node_does_not_take_its_stream_until_it_does(primary: secondaries.Stage) -> None:
    primary.settle()
    other = primary.secondary(answer=Refused(Refusal.TLS, "in plain, and this node takes TLS only"))
    for wanted in range(1, 6):
        primary.loop.advance(1.0)
        primary.until(lambda wanted=wanted: len(other.hellos) >= wanted)  # type: ignore[misc]
    primary.loop.turn()
    (told,) = primary.refusals.standing()
    assert (told.node, told.kind, told.by) == ("b", "tls", THERE)
    assert told.address == f"127.0.0.1:{other.port}"
    other.answer = None
    until(primary, lambda: primary.joiners)
    assert primary.refusals.standing() == ()


def test_what_the_agent_has_begin_anew_is_the_same_trouble_until_the_role_ends(primary: secondaries.Stage) -> None:
    primary.settle()
    other = primary.secondary(answer=Refused(Refusal.TLS, "in plain"))
    for wanted in range(1, 6):
        primary.loop.advance(1.0)
        primary.until(lambda wanted=wanted: len(other.hellos) >= wanted)  # type: ignore[misc]
    (before,) = primary.refusals.standing()
    primary.primary.streams.forget("b")
    primary.primary.streams.connect("b", "127.0.0.1", other.port)
    until(primary, lambda: primary.refusals.standing()[0].count > before.count)
    assert primary.refusals.standing()[0].since == before.since
    primary.primary.close()
    assert primary.refusals.standing() == ()


def test_a_primary_keeps_that_nobody_answers(primary: secondaries.Stage) -> None:
    primary.settle()
    primary.secondary().close()
    until(primary, primary.refusals.standing)
    (told,) = primary.refusals.standing()
    assert (told.node, told.kind, told.by) == ("b", "unreachable", NOBODY)


def test_a_secondary_keeps_whom_it_turns_away_until_that_one_is_good(
    secondary: primaries.Stage, loop: SteppedLoop
) -> None:
    secondary.follow()
    for _ in range(3):
        other = secondary.connect(dataclasses.replace(HELLO, cluster_id="other"))
        secondary.until_gone(other)
        loop.advance(1.5)
    (told,) = secondary.refused_streams.standing()
    assert (told.node, told.address, told.kind, told.by) == ("", "127.0.0.1", "cluster", HERE)
    secondary.stream()
    assert secondary.refused_streams.standing() == ()
