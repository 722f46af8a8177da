"""The order in which a module's runtime does what its core wants."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any, cast

import pytest

from agent.adapters.host import now_ns
from agent.core import commands, events
from agent.core.commands import RunContext
from agent.core.settings import Settings
from agent.core.view import ModuleView, Seen
from agent.runtime.module_runtime import Hands, ModuleRuntime
from manager.model import control
from manager.model.asides import Aside, AsideReport, NotSetAside
from manager.model.codec import encode
from manager.model.control import Stage
from manager.model.errors import DefiniteFailure
from manager.model.reasons import Reason
from manager.model.records import (
    DesiredRecord,
    DiskIdentity,
    Holder,
    InsyncRecord,
    KnownNode,
    ModuleConfigRecord,
    PrimaryRecord,
    RequestRecord,
)
from manager.model.refused_streams import HERE, RefusedStream
from manager.model.resources import KeptAside, are_addresses_missing, aside_in, is_unwatched
from manager.model.states import Run
from manager.model.stream_rates import StreamRates
from manager.store.api import Put, Txn
from tests.unit.agent.runtime.bench import KEYS, Bench

HELLO = control.Hello(1, "a1", 5, "idle", 0, DiskIdentity("cid", "m", 3, 1))


class Recorder:
    """All hands of a module: what they are asked for, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.broken = ""
        self.member = None
        self.present = False
        self.is_there = True
        self.kept = "k"
        self.is_unwatched = False
        self.are_missing = False

    def __getattr__(self, name: str) -> Callable[..., None]:
        def asked(*arguments: Any) -> None:
            self.asked.append((name, arguments))
            if name == self.broken:
                raise DefiniteFailure("no space left")

        return asked

    def boot_id(self) -> str:
        """As it was kept."""
        return self.kept

    def heard(self, event: control.Event) -> None:
        """No command; of the hand that compares."""

    def gone(self, why: str) -> None:
        """Likewise."""

    async def kill(self) -> None:
        """The one that is waited for."""
        self.asked.append(("kill", ()))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.asked]


def play(
    recorder: Recorder,
    fatal: list[BaseException],
    then: Callable[[ModuleRuntime], None],
    clock: Callable[[], int] = now_ns,
    applied: tuple[str, ...] = ("m",),
) -> None:
    """A replicator starts, then something happens. ``applied``: the ids of the modules of its name, in their order."""
    bench = Bench("a", "b")
    config = ModuleConfigRecord("m", 1, "", {}, "", "")
    bench.put(KEYS.module("db").config, config)
    bench.etcd.commit_now(Txn((), (Put(KEYS.module("db").desired("a"), encode(DesiredRecord(Run.STARTED))),)))
    settings = Settings(KEYS, "db", "a", ("a", "b"), "k", "cid", "m", "host")

    async def story() -> None:
        hands = Hands(*(cast(Any, recorder),) * 8)
        runtime = ModuleRuntime(
            settings, config, bench.view, lambda _: hands, lambda _, error: fatal.append(error), clock
        )
        runtime.give(events.StoreHeard())
        runtime.observed()
        runtime.give(events.Prepared())
        runtime.heard(HELLO)
        recorder.asked.clear()
        for module_id in applied[1:]:
            bench.put(KEYS.module("db").config, ModuleConfigRecord(module_id, 1, "", {}, "", ""))
            await bench.until(lambda: bench.view.revision == bench.etcd.revision)
        then(runtime)

    bench.run(story)


def loses_memory(runtime: ModuleRuntime) -> None:
    runtime.heard(control.Failed("input/output error", memory_lost=True))


def test_a_loss_of_memory_is_kept_before_anything_follows_from_it() -> None:
    recorder, fatal = Recorder(), list[BaseException]()
    play(recorder, fatal, loses_memory)
    assert recorder.asked[0] == ("keep", ("k+1",)) and len(recorder.asked) > 1
    assert not fatal


def test_a_loss_of_memory_that_cannot_be_kept_ends_the_agent() -> None:
    recorder, fatal = Recorder(), list[BaseException]()
    recorder.broken = "keep"
    play(recorder, fatal, loses_memory)
    assert recorder.names == ["keep"]
    assert isinstance(fatal[0], DefiniteFailure)


def test_a_loss_that_nobody_heard_is_found_when_the_replicator_is_gone() -> None:
    recorder, fatal = Recorder(), list[BaseException]()
    recorder.kept = "k+1"
    play(recorder, fatal, lambda runtime: runtime.give(events.ReplicatorGone("signal 9")))
    assert ("keep", ("k+1",)) in recorder.asked and not fatal
    published = [a[0] for name, a in recorder.asked if name == "publish"]
    assert published[-1].boot_id == "k+1"


def shown_after(*said: control.Event | events.Event) -> list[tuple[int, Stage | None]]:
    """After each: the rate and the stage that are shown; 0: no rate, ``None``: no progress."""
    shown: list[tuple[int, Stage | None]] = []

    def then(runtime: ModuleRuntime) -> None:
        for event in said:
            if isinstance(event, events.ReplicatorGone):
                runtime.give(event)
            else:
                runtime.heard(cast(control.Event, event))
            local = runtime.local_state()
            shown.append((local.pace.bytes_s if local.pace else 0, local.progress.stage if local.progress else None))

    play(Recorder(), [], then)
    return shown


def test_progress_is_shown_with_its_pace_until_the_work_ends() -> None:
    first, second = (control.Progress("join", "b", 1, n << 20, 0, 0, n * 1_000) for n in (1, 3))
    lost = control.PeerLost("b", "closed")
    assert shown_after(first, second, lost) == [(1 << 20, Stage.COPYING), (1 << 20, Stage.COPYING), (0, None)]


def test_a_replicator_that_is_gone_is_not_busy() -> None:
    syncing = control.Progress("join", "b", 1, 1, 1, 1, 1_000, stage=Stage.SYNCING)
    assert shown_after(syncing, events.ReplicatorGone("signal 9")) == [(1, Stage.SYNCING), (0, None)]


@pytest.mark.parametrize(("stage", "after"), [(Stage.COPYING, None), (Stage.SYNCING, Stage.SYNCING)])
def test_what_is_not_said_again_is_old_but_that_all_is_there(stage: Stage, after: Stage | None) -> None:
    shown: list[Stage | None] = []
    now_ns = [1 << 40]

    def then(runtime: ModuleRuntime) -> None:
        runtime.heard(control.Progress("join", "b", 1, 1, 1, 1, 1_000, stage=stage))
        for passed_s in (2, 2):
            now_ns[0] += passed_s * 1_000_000_000
            progress = runtime.local_state().progress
            shown.append(progress.stage if progress else None)

    play(Recorder(), [], then, lambda: now_ns[0])
    assert shown == [stage, after]


KEPT = Aside(1, "now", 4, "b", 6, 3, 100)


def test_what_is_set_aside_stands_in_the_member_record_whatever_the_core_publishes() -> None:
    recorder = Recorder()

    def then(runtime: ModuleRuntime) -> None:
        runtime.heard(AsideReport("any", "", False, 0, (KEPT,)))
        runtime.heard(AsideReport("other", "", False, 0, (KEPT,)))
        runtime.heard(control.Failed("the disk is gone"))

    play(recorder, [], then)
    published = [aside_in(a[0].resources) for name, a in recorder.asked if name == "publish" and a[0] is not None]
    # Told, then with the core's next record; it is not known any more when the replicator is killed.
    assert published[:2] == [KeptAside(1, 100)] * 2 and published[2:] and set(published[2:]) == {None}


@pytest.mark.parametrize("unwatched", [False, True])
def test_an_application_that_has_left_no_process_is_told_of_in_the_member_record(unwatched: bool) -> None:
    recorder = Recorder()
    recorder.is_unwatched = unwatched
    play(recorder, [], lambda runtime: runtime.heard(control.Failed("the disk is gone")))
    published = [a[0].resources for name, a in recorder.asked if name == "publish" and a[0] is not None]
    assert published and {is_unwatched(resources) for resources in published} == {unwatched}


@pytest.mark.parametrize("missing", [False, True])
def test_an_address_that_has_gone_is_told_of_in_the_member_record(missing: bool) -> None:
    recorder = Recorder()
    recorder.are_missing = missing
    play(recorder, [], lambda runtime: runtime.heard(control.Failed("the disk is gone")))
    published = [a[0].resources for name, a in recorder.asked if name == "publish" and a[0] is not None]
    assert published and {are_addresses_missing(resources) for resources in published} == {missing}


def test_one_that_is_found_to_live_is_told_of_though_the_core_says_nothing_new() -> None:
    recorder = Recorder()
    recorder.is_unwatched = True

    def then(runtime: ModuleRuntime) -> None:
        runtime.publish_again()
        recorder.is_unwatched = False
        runtime.publish_again()

    play(recorder, [], then)
    published = [a[0] for name, a in recorder.asked if name == "publish"]
    assert [is_unwatched(record.resources) for record in published] == [True, False]


def test_why_says_how_much_room_is_lacking_for_what_is_to_be_set_aside() -> None:
    told: list[str] = []
    recorder = Recorder()

    def then(runtime: ModuleRuntime) -> None:
        for refused in (
            NotSetAside("b", True, "the disk is nearly full", 3 << 20, 1 << 19),
            NotSetAside("b", False, "own/file: input/output error"),
        ):
            runtime.give(events.ReplicatorSaid(refused))
            recorder.member = cast(Any, "something was published")
            told.append(runtime.local_state().detail)
            recorder.member = None

    play(recorder, [], then)
    assert told == [
        "the disk is nearly full; the next of it needs 3.0 MiB, and there is room for 0.5 MiB",
        "own/file: input/output error",
    ]


@pytest.mark.parametrize(
    "command", ["Verify", "StopVerify", "Diff", "AsideList", '{"type": "AsideList", "request_id": "1"}']
)
def test_a_question_that_is_refused_ends_nothing(command: str) -> None:
    """That a comparison is to stop is said to one that is about to serve, too, or does so no more."""
    recorder = Recorder()
    play(recorder, [], lambda runtime: runtime.heard(control.Refused(command, "this replicator is idle")))
    assert recorder.asked == []


def test_a_command_that_is_refused_does() -> None:
    recorder = Recorder()
    play(recorder, [], lambda runtime: runtime.heard(control.Refused("Follow", "the disk has taken part in epoch 9")))
    assert "stop" in recorder.names or "kill" in recorder.names


def test_a_forced_start_has_the_hook_run_and_the_other_node_asked() -> None:
    recorder, fatal = Recorder(), list[BaseException]()
    arguments = {"accept": "not_in_sync", "fence": "b"}

    def forced(runtime: ModuleRuntime) -> None:
        runtime.lease_renewed(7, 1 << 62)
        runtime.give(events.Observed(_view(RequestRecord("r1", "prim", "a", "", "root", arguments))))
        runtime.give(events.FenceEnded("r1", ""))

    play(recorder, fatal, forced)
    assert not fatal
    wanted = [("fence", (commands.Fence("r1", "b", 5),)), ("probe", (commands.ProbeNode("r1", "b", ("10.0.0.2",)),))]
    assert [one for one in recorder.asked if one[0] in ("fence", "probe")] == wanted


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_started_on_file_systems_that_are_about_to_go(there: bool) -> None:
    """The replicator was killed while the addresses were added: the core hears of it once it is unmounted."""
    recorder, fatal = Recorder(), list[BaseException]()
    asked: list[list[str]] = []
    view = ModuleView(
        revision=99,
        config=Seen(ModuleConfigRecord("m", 1, "", {}, "", ""), 1, 1),
        applied=1,
        desired={"a": DesiredRecord(Run.STARTED)},
        primary=Seen(PrimaryRecord("a", 5, "a1"), 98, 98, 7),
        insync=Seen(InsyncRecord(5, 50, "a", (Holder("a", "k", "a1", 5),)), 1, 98),
    )

    def scripts_asked(runtime: ModuleRuntime, event: events.Event) -> None:
        recorder.asked.clear()
        runtime.give(event)
        asked.append([name for name, arguments in recorder.asked if arguments and type(arguments[0]) is RunContext])

    def served(runtime: ModuleRuntime) -> None:
        runtime.lease_renewed(7, 1 << 62)
        runtime.give(events.Observed(view))
        runtime.heard(control.Serving(5))
        recorder.is_there = there
        scripts_asked(runtime, events.AddressesAdded())
        scripts_asked(runtime, events.ApplicationStarted())
        stopped = dataclasses.replace(view, revision=100, desired={"a": DesiredRecord(Run.STOPPED)})
        scripts_asked(runtime, events.Observed(stopped))

    play(recorder, fatal, served)
    assert not fatal
    assert asked == ([["start"], [], ["stop"]] if there else [[], [], []])


def test_another_module_of_its_name_has_it_stop_here() -> None:
    """Removed, as its node was said to be gone, and applied anew before this agent looked again.

    By that one's keys it is wanted here, and somebody else's data would be followed for ever: each refuses the other.
    """
    recorder, fatal = Recorder(), list[BaseException]()
    play(recorder, fatal, lambda runtime: runtime.observed(), applied=("m", "another"))
    assert not fatal
    assert "stop" in recorder.names


def test_the_same_module_anew_has_it_go_on() -> None:
    recorder, fatal = Recorder(), list[BaseException]()
    play(recorder, fatal, lambda runtime: runtime.observed(), applied=("m", "m"))
    assert not fatal
    assert "stop" not in recorder.names


def _view(request: RequestRecord) -> ModuleView:
    return ModuleView(
        revision=99,
        config=Seen(ModuleConfigRecord("m", 1, "", {}, "", ""), 1, 1),
        applied=1,
        desired={"a": DesiredRecord(Run.STARTED)},
        insync=Seen(InsyncRecord(5, 50, "b", ()), 1, 98),
        requests={"r1": Seen(request, 99, 99)},
        known={"b": KnownNode("b", ("10.0.0.2",), "", "")},
    )


@pytest.mark.parametrize("end", [events.ReplicatorGone("signal 9"), events.ReplicatorStopped(), events.Killed()])
def test_a_refused_stream_is_shown_until_its_replicator_has_ended(end: events.Event) -> None:
    refused = RefusedStream("b", "10.0.0.2:7", "tls_expired", "over", HERE, "2026-11-26T03:00:00Z", 7)
    shown: list[tuple[RefusedStream, ...] | None] = []

    def then(runtime: ModuleRuntime) -> None:
        shown.append(runtime.local_state().refused)
        runtime.heard(control.Status("primary", 3, frozen=False, held=False, refused=(refused,)))
        shown.append(runtime.local_state().refused)
        runtime.give(end)
        shown.append(runtime.local_state().refused)

    fatal = list[BaseException]()
    play(Recorder(), fatal, then)
    assert shown == [None, (refused,), None] and not fatal


@pytest.mark.parametrize("end", [events.ReplicatorGone("signal 9"), events.ReplicatorStopped(), events.Killed()])
def test_what_streams_carry_is_shown_until_their_replicator_has_ended(end: events.Event) -> None:
    at_ns = [0]
    shown: list[StreamRates | None] = []

    def then(runtime: ModuleRuntime) -> None:
        for sent in (0, 1_000):
            at_ns[0] += 1_000_000_000
            counters = {"bytes_wire": sent}
            runtime.heard(control.Status("secondary", 3, frozen=False, held=False, counters=counters))
        shown.append(runtime.local_state().stream)
        runtime.give(end)
        shown.append(runtime.local_state().stream)

    fatal = list[BaseException]()
    play(Recorder(), fatal, then, clock=lambda: at_ns[0])
    assert shown == [StreamRates(1_000, 0, None), None] and not fatal


class Slow(Recorder):
    """A hand whose kill ends when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.is_dead = asyncio.Event()

    async def kill(self) -> None:
        await self.is_dead.wait()


@pytest.mark.parametrize("last", ["application", "addresses", "replicator"])
def test_everything_is_said_to_be_killed_once_all_that_serves_is_gone(
    last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows is that this node gives its place up: another one serves at once (S5, S7)."""
    bench, recorder, given = Bench("a", "b"), Recorder(), list[events.Event]()
    serving = {name: Slow() for name in ("application", "addresses", "replicator")}
    settings = Settings(KEYS, "db", "a", ("a", "b"), "k", "cid", "m", "host")
    config = ModuleConfigRecord("m", 1, "", {}, "", "")

    def fatal(what: str, error: BaseException) -> None:
        raise AssertionError(what) from error

    async def story() -> None:
        hands = dataclasses.replace(Hands(*(cast(Any, recorder),) * 8), **cast(Any, serving))
        runtime = ModuleRuntime(settings, config, bench.view, lambda _: hands, fatal)
        monkeypatch.setattr(runtime, "give", given.append)
        runtime._begin(commands.KillEverything(Reason.LEASE_LOST))
        for name, hand in serving.items():
            if name != last:
                hand.is_dead.set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert given == []
        serving[last].is_dead.set()
        await bench.until(lambda: bool(given))
        assert given == [events.Killed()]

    bench.run(story)
