"""request: written once, followed to its answer, withdrawn when nobody takes it up in time."""

import asyncio
import dataclasses
from typing import Any

import pytest

from agent.runtime.colleagues import Nobody
from agent.runtime.handlers_requests import KEPT, RequestHandlers
from agent.runtime.handlers_state import StateHandlers
from agent.runtime.withdrawing import Withdrawing
from manager.model.api import ApiError, ErrorKind, WhyArguments
from manager.model.api_requests import Action, HistoryArguments, RequestArguments, RequestResult
from manager.model.records import ModuleConfigRecord, RequestRecord
from manager.store.fake_store import Execution, Link
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, refusal, toml


def make(*registered: str) -> Bench:
    bench = Bench(*registered)
    bench.put(KEYS.module("db").config, ModuleConfigRecord("m", 1, toml(), {}, "", ""))
    return bench


def broken(what: str, error: BaseException) -> None:
    raise AssertionError(what) from error


async def ask(bench: Bench, node: str = "", *, wait: bool = True, timeout_ms: int = 5_000) -> RequestResult:
    arguments = RequestArguments("db", Action.SWAP, node, wait=wait, timeout_ms=timeout_ms)
    handlers = RequestHandlers(bench.seat, Withdrawing(bench.seat, broken, again_s=0.0))
    return await handlers.request(arguments, ROOT, bench.report)


async def written(bench: Bench) -> RequestRecord:
    await bench.until(lambda: bool(bench.view.keys.requests("db")))
    return bench.view.keys.requests("db")[-1]


def answer(bench: Bench, record: RequestRecord, status: str, reason: str = "", detail: str = "") -> None:
    answered = dataclasses.replace(record, status=status, reason=reason, detail=detail)
    bench.put(KEYS.module("db").request(record.request_id), answered)


def test_it_is_followed_from_pending_to_done() -> None:
    bench = make("a", "b")

    async def story() -> None:
        asking = asyncio.ensure_future(ask(bench, "b"))
        record = await written(bench)
        assert (record.action, record.node, record.status, record.asked_by) == ("swap", "b", "pending", "root")
        await bench.until(lambda: bool(bench.reported))
        answer(bench, record, "accepted")
        await bench.until(lambda: bool(bench.reported) and bench.reported[-1].status == "accepted")
        answer(bench, record, "done")
        assert await asking == RequestResult(record.request_id, "b", "done")
        assert [p.status for p in bench.reported] == ["pending", "accepted", "done"]

    bench.run(story)


def test_without_waiting_accepted_is_enough() -> None:
    bench = make("a", "b")

    async def story() -> None:
        asking = asyncio.ensure_future(ask(bench, wait=False))
        answer(bench, await written(bench), "accepted")
        assert (await asking).status == "accepted"

    bench.run(story)


def test_a_refusal_and_a_failure_are_errors_with_their_reasons() -> None:
    for status, kind in (("refused", ErrorKind.REFUSED), ("failed", ErrorKind.FAILED)):
        bench = make("a", "b")

        async def story(bench: Bench = bench, status: str = status, kind: ErrorKind = kind) -> None:
            asking = asyncio.ensure_future(ask(bench))
            answer(bench, await written(bench), status, "no_secondary", "b is away")
            error = await refusal(asking)
            assert (error.kind, error.reason, error.meaning) == (kind, "no_secondary", "b is away")

        bench.run(story)


def given_up(bench: Bench, become: str) -> ApiError | RequestResult:
    """Whoever asked gives up when ``become`` has come of his request: what is there to be told to him."""

    async def story() -> None:
        asking = asyncio.ensure_future(ask(bench, "b"))
        record = await written(bench)
        if become == "down":
            bench.store.set_link(Link.DOWN)
        elif become != "pending":
            answer(bench, record, become, "no_secondary" if become == "refused" else "")
            await bench.until(lambda: bench.view.keys.requests("db")[-1].status == become)
        asking.cancel()
        await asyncio.wait([asking])
        error = asking.exception()
        assert error is None or isinstance(error, ApiError)
        told.append(error or asking.result())
        if become == "down":
            bench.store.set_link(Link.UP)
        if become in ("pending", "down"):
            await bench.until(lambda: bench.view.keys.requests("db")[-1].status == "failed")
        assert bench.view.keys.requests("db")[-1].request_id == record.request_id

    told: list[ApiError | RequestResult] = []
    bench.run(story)
    return told[0]


def test_what_nobody_has_taken_up_is_withdrawn_when_who_asked_goes_away() -> None:
    told = given_up(make("a", "b"), "pending")
    assert isinstance(told, ApiError) and told.kind is ErrorKind.TIMED_OUT
    assert "before it was given up" in told.message and "was withdrawn" in told.meaning


def test_what_was_taken_up_goes_on_when_who_asked_goes_away() -> None:
    told = given_up(make("a", "b"), "accepted")
    assert isinstance(told, ApiError) and told.kind is ErrorKind.TIMED_OUT and "goes on" in told.meaning


def test_what_is_done_or_refused_when_who_asked_goes_away_is_said() -> None:
    done = given_up(make("a", "b"), "done")
    assert isinstance(done, RequestResult) and done.status == "done"
    told = given_up(make("a", "b"), "refused")
    assert isinstance(told, ApiError) and (told.kind, told.reason) == (ErrorKind.REFUSED, "no_secondary")


def test_what_cannot_be_withdrawn_when_who_asked_goes_away_is_so_once_etcd_answers() -> None:
    told = given_up(make("a", "b"), "down")
    assert isinstance(told, ApiError) and told.kind is ErrorKind.OUTCOME_UNKNOWN
    assert "was not withdrawn" in told.message and "The agent of a goes on trying" in told.meaning
    assert "mirrorfarm why db --node b" in told.remedy


def test_who_cannot_be_told_any_more_has_gone_away() -> None:
    bench = make("a", "b")

    async def lost(_progress: Any) -> None:
        raise ConnectionResetError

    async def story() -> None:
        arguments = RequestArguments("db", Action.SWAP, "b")
        handlers = RequestHandlers(bench.seat, Withdrawing(bench.seat, broken, again_s=0.0))
        assert "was withdrawn" in (await refusal(handlers.request(arguments, ROOT, lost))).meaning
        assert [r.status for r in bench.view.keys.requests("db")] == ["failed"]

    bench.run(story)


@pytest.mark.parametrize("execution", [Execution.DONE, Execution.LATER, Execution.NEVER])
def test_of_which_it_is_not_known_whether_it_was_asked_for_is_not_carried_out_later(execution: Execution) -> None:
    bench = make("a", "b")

    async def story() -> None:
        bench.store.lose_reply(execution)
        error = await refusal(ask(bench, "b"))
        assert error.kind is ErrorKind.TIMED_OUT and "was withdrawn" in error.meaning
        bench.store.deliver_late()
        assert [r.status for r in bench.view.keys.requests("db")] == ["failed"]

    bench.run(story)


def test_what_nobody_takes_up_in_time_is_withdrawn() -> None:
    bench = make("a", "b")

    async def story() -> None:
        error = await refusal(ask(bench, timeout_ms=0))
        assert error.kind is ErrorKind.TIMED_OUT and "withdrawn" in error.meaning
        record = bench.etcd.range_now(KEYS.module("db").prefix + "requests/").kvs
        assert len(record) == 1 and '"failed"' in next(iter(record.values())).value

    bench.run(story)


def test_what_cannot_be_withdrawn_may_be_carried_out_later_and_that_is_said() -> None:
    bench = make("a", "b")

    async def story() -> None:
        asking = asyncio.ensure_future(ask(bench, "b", timeout_ms=50))
        await written(bench)
        await bench.until(lambda: bool(bench.reported))
        bench.store.set_link(Link.DOWN)
        error = await refusal(asking)
        assert error.kind is ErrorKind.OUTCOME_UNKNOWN and "withdrawn" in error.message
        assert "may stand" in error.meaning and "be carried out" in error.meaning

    bench.run(story)


def test_what_was_taken_up_stands_when_the_time_is_over() -> None:
    bench = make("a", "b")

    async def story() -> None:
        asking = asyncio.ensure_future(ask(bench, timeout_ms=50))
        answer(bench, await written(bench), "accepted")
        error = await refusal(asking)
        assert error.kind is ErrorKind.TIMED_OUT and "goes on" in error.meaning
        assert bench.view.keys.requests("db")[0].status == "accepted"

    bench.run(story)


def test_nobody_is_asked_who_is_not_there() -> None:
    bench = make("a")

    async def story() -> None:
        assert (await refusal(ask(bench, "b"))).kind is ErrorKind.REFUSED
        assert (await refusal(ask(bench, "x"))).kind is ErrorKind.NOT_FOUND
        assert bench.view.keys.requests("db") == []

    bench.run(story)


def test_answered_requests_are_trimmed_and_open_ones_kept() -> None:
    bench = make("a", "b")
    for number in range(KEPT + 5):
        record = RequestRecord(f"{number:03d}", "swap", "a", f"{number:03d}", "root", status="done")
        bench.put(KEYS.module("db").request(record.request_id), record)
    bench.put(KEYS.module("db").request("open"), RequestRecord("open", "swap", "b", "000", "root"))

    async def story() -> None:
        asking = asyncio.ensure_future(ask(bench, wait=False))
        await bench.until(lambda: any(r.status == "pending" and r.node == "a" for r in bench.view.keys.requests("db")))
        requests = bench.view.keys.requests("db")
        assert len([r for r in requests if r.status == "done"]) == KEPT - 1
        assert next(r.request_id for r in requests if r.status == "pending") == "open"
        new = next(r for r in requests if r.status == "pending" and r.node == "a")
        answer(bench, new, "accepted")
        await asking

    bench.run(story)


def test_why_shows_the_newest_request_and_unknown_when_etcd_is_silent() -> None:
    bench = make("a", "b")
    bench.put(KEYS.module("db").request("1"), RequestRecord("1", "swap", "b", "1", "root", {}, "refused", "busy"))

    async def story() -> None:
        why = await StateHandlers(bench.seat, Nobody()).why(WhyArguments("db", "b"), ROOT, bench.report)
        assert why.last_request == "swap refused busy" and why.store_reachable
        assert why.module.on("b") is not None
        bench.store.set_link(Link.DOWN)
        bench.etcd.advance(30)
        why = await StateHandlers(bench.seat, Nobody()).why(WhyArguments("db", "b"), ROOT, bench.report)
        shown = why.module.on("b")
        assert not why.store_reachable and why.age_ms == 30_000
        assert shown is not None and shown.state is None and shown.registered is None
        history = await StateHandlers(bench.seat, Nobody()).history(HistoryArguments("db"), ROOT, bench.report)
        assert not history.store_reachable and history.age_ms == 30_000

    bench.run(story)
