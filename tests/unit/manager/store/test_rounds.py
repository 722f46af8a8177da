"""Which endpoint is asked when, on a virtual clock, with endpoints that behave as ordered."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from manager.model.errors import IndefiniteFailure
from manager.store.api import StoreRefused, StoreUnreachable
from manager.store.rounds import Rounds
from tests.support.virtual_loop import run_virtually

BUDGET_S = 1.0
SILENT = None


@dataclass(eq=False)
class Server:
    """Stands where an :class:`~manager.store.endpoint.Endpoint` does."""

    name: str
    answers: list[float | Exception | None] = field(default_factory=list)
    """For each attempt: seconds until it answers, an error, or silence; the last one for all further attempts."""
    asked_s: list[float] = field(default_factory=list)
    cancelled: int = 0
    suspected: int = 0
    closed: bool = False

    def suspect(self) -> None:
        self.suspected += 1

    def close(self) -> None:
        self.closed = True

    async def answer(self, deadline: float) -> str:
        loop = asyncio.get_running_loop()
        self.asked_s.append(round(loop.time(), 3))
        how = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(how, Exception):
            raise how
        try:
            await asyncio.sleep(deadline - loop.time() if how is None else how)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if how is SILENT:
            raise IndefiniteFailure(f"{self.name}: deadline exceeded")
        return self.name


def servers(*behaviours: float | Exception | None) -> list[Server]:
    return [Server(name, [behaviour]) for name, behaviour in zip("abc", behaviours, strict=False)]


def play(servers: list[Server], scenario: Callable[[Rounds], Awaitable[None]]) -> float:
    """Play it; the virtual seconds it took."""

    async def whole() -> float:
        await scenario(Rounds(servers))  # type: ignore[arg-type]  # a Server has all of an Endpoint that Rounds uses
        return asyncio.get_running_loop().time()

    return run_virtually(whole())


async def ask(endpoint: Server, deadline: float) -> str:
    return await endpoint.answer(deadline)


async def ask_any(rounds: Rounds) -> str:
    return (await rounds.ask(ask, BUDGET_S)).value  # type: ignore[arg-type]


def test_the_first_endpoint_answers_and_no_other_is_asked() -> None:
    group = servers(0.1, 0.1, 0.1)

    async def scenario(rounds: Rounds) -> None:
        assert await ask_any(rounds) == "a"

    assert play(group, scenario) == pytest.approx(0.1)
    assert [server.asked_s for server in group] == [[0.0], [], []]


def test_after_its_share_the_next_is_asked_as_well_and_next_time_first() -> None:
    group = servers(SILENT, 0.01, 0.01)

    async def scenario(rounds: Rounds) -> None:
        assert await ask_any(rounds) == "b"
        assert await ask_any(rounds) == "b"

    assert play(group, scenario) == pytest.approx(0.25 + 0.01 + 0.01)
    assert group[0].asked_s == [0.0]
    assert group[0].cancelled == group[0].suspected == 1
    assert group[1].suspected == 0


def test_a_slow_answer_of_the_first_counts_while_others_are_asked() -> None:
    group = servers(0.4, 0.9, 0.9)

    async def scenario(rounds: Rounds) -> None:
        assert await ask_any(rounds) == "a"
        assert rounds.endpoints[0] is group[0]  # type: ignore[comparison-overlap]

    assert play(group, scenario) == pytest.approx(0.4)
    # It was asked 0.15 s ago, less than its share: nothing is held against it.
    assert [server.suspected for server in group] == [0, 0, 0]
    assert group[1].cancelled == 1


def test_an_endpoint_that_fails_at_once_is_gone_round_at_once() -> None:
    group = servers(StoreUnreachable("a: refused"), 0.01, 0.01)

    async def scenario(rounds: Rounds) -> None:
        assert await ask_any(rounds) == "b"
        assert await ask_any(rounds) == "b"

    assert play(group, scenario) == pytest.approx(0.02)
    assert group[0].asked_s == [0.0]


def test_two_of_three_frozen_leave_time_for_the_third() -> None:
    group = servers(SILENT, SILENT, 0.3)

    async def scenario(rounds: Rounds) -> None:
        assert await ask_any(rounds) == "c"

    assert play(group, scenario) == pytest.approx(0.8)


def test_all_silent_is_indefinite_at_the_end_of_the_budget_and_names_all() -> None:
    group = servers(SILENT, SILENT, SILENT)

    async def scenario(rounds: Rounds) -> None:
        with pytest.raises(IndefiniteFailure) as raised:
            await ask_any(rounds)
        assert all(f"{server.name}: " in str(raised.value) for server in group)

    assert play(group, scenario) == pytest.approx(BUDGET_S)
    assert [server.suspected for server in group] == [1, 1, 1]


def test_all_refusing_connections_are_asked_again_until_the_budget_ends() -> None:
    group = servers(StoreUnreachable("a: refused"), StoreUnreachable("b: refused"))

    async def scenario(rounds: Rounds) -> None:
        with pytest.raises(StoreUnreachable, match=r"refused.*refused"):
            await ask_any(rounds)

    assert play(group, scenario) <= BUDGET_S
    # A bounded number of times.
    assert 10 < len(group[0].asked_s) < 30


def test_one_that_comes_up_meanwhile_is_found() -> None:
    group = servers(StoreUnreachable("a: refused"))
    group[0].answers = [StoreUnreachable("a: refused")] * 5 + [0.01]

    async def scenario(rounds: Rounds) -> None:
        assert await ask_any(rounds) == "a"

    assert play(group, scenario) < 0.4


def test_once_an_attempt_may_have_been_executed_the_whole_is_indefinite() -> None:
    group = servers(SILENT)
    group[0].answers = [IndefiniteFailure("a: reset"), StoreUnreachable("a: refused")]

    async def scenario(rounds: Rounds) -> None:
        with pytest.raises(IndefiniteFailure):
            await ask_any(rounds)

    play(group, scenario)


def test_a_refusal_is_an_answer() -> None:
    group = servers(StoreRefused("no"), 0.01)

    async def scenario(rounds: Rounds) -> None:
        with pytest.raises(StoreRefused):
            await ask_any(rounds)

    assert play(group, scenario) == 0.0
    assert group[1].asked_s == []


def test_closing_ends_the_rounds() -> None:
    group = servers(StoreUnreachable("a: refused"))

    async def scenario(rounds: Rounds) -> None:
        asking = asyncio.ensure_future(ask_any(rounds))
        await asyncio.sleep(0.1)
        rounds.close()
        with pytest.raises(StoreUnreachable):
            await asking

    assert play(group, scenario) < 0.2
    assert group[0].closed


# --- what is sent once ------------------------------------------------------------------------------------


async def tell(rounds: Rounds, sent: list[str], outcome: Callable[[Server, int], str]) -> str:
    async def attempt(endpoint: Server, deadline: float) -> str:
        sent.append(endpoint.name)
        return outcome(endpoint, len(sent))

    return await rounds.tell(ask, attempt, BUDGET_S)  # type: ignore[arg-type]


def test_a_change_goes_to_the_endpoint_that_answered_and_to_no_other() -> None:
    sent: list[str] = []

    async def scenario(rounds: Rounds) -> None:
        assert await tell(rounds, sent, lambda endpoint, _: f"by {endpoint.name}") == "by b"

    # The probe has half of the budget, of which a frozen endpoint may use a third.
    assert play(servers(SILENT, 0.01, 0.01), scenario) == pytest.approx(0.125 + 0.01)
    assert sent == ["b"]


def test_a_change_without_an_answer_is_not_sent_again() -> None:
    sent: list[str] = []
    group = servers(0.01, 0.01)

    def no_answer(endpoint: Server, _: int) -> str:
        raise IndefiniteFailure(f"{endpoint.name}: deadline exceeded")

    async def scenario(rounds: Rounds) -> None:
        with pytest.raises(IndefiniteFailure):
            await tell(rounds, sent, no_answer)
        assert rounds.endpoints[0] is group[1]  # type: ignore[comparison-overlap]

    play(group, scenario)
    assert sent == ["a"]


def test_a_change_that_was_certainly_not_taken_is_sent_again_elsewhere() -> None:
    sent: list[str] = []

    def second_time(endpoint: Server, times: int) -> str:
        if times == 1:
            raise StoreUnreachable(f"{endpoint.name}: no leader")
        return "done"

    async def scenario(rounds: Rounds) -> None:
        assert await tell(rounds, sent, second_time) == "done"

    play(servers(0.01, 0.01), scenario)
    assert sent == ["a", "b"]


def test_without_any_endpoint_nothing_is_sent() -> None:
    sent: list[str] = []

    async def scenario(rounds: Rounds) -> None:
        with pytest.raises(StoreUnreachable):
            await tell(rounds, sent, lambda *_: "never")

    assert play(servers(SILENT, SILENT, SILENT), scenario) <= BUDGET_S
    assert sent == []


def test_a_majority_that_comes_back_meanwhile_is_used() -> None:
    sent: list[str] = []
    group = servers(SILENT)
    group[0].answers = [SILENT, 0.01]

    async def scenario(rounds: Rounds) -> None:
        assert await tell(rounds, sent, lambda *_: "done") == "done"

    assert play(group, scenario) < BUDGET_S
    assert sent == ["a"]
