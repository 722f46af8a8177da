"""A module whose application needs another module: it is started once that one serves, and not stopped for it."""

from dataclasses import replace

import pytest

from agent.core import commands as k
from agent.core import events as e
from agent.core.farm import events as fe
from agent.core.limits import APPLICATION_LIVED_NS
from agent.core.view import serves
from manager.model.codec import encode
from manager.model.farm import DirectorRecord
from manager.model.reasons import Reason
from manager.model.records import MemberRecord, PrimaryRecord
from manager.model.resources import waited_in
from manager.model.states import ModuleState, Readiness, Run
from manager.store.api import Delete, KeyValue, Put, Txn
from tests.unit.agent.core import desk as mirrors
from tests.unit.agent.core.farm import desk as farms
from tests.unit.agent.core.farm.desk import names
from tests.unit.agent.core.test_scenarios import PRIM as A_PRIM

OTHER = mirrors.CLUSTER.module("other")
READY, TRANSIENT = Readiness.READY, Readiness.TRANSIENT


def member(node: str, state: ModuleState, readiness: Readiness = READY) -> str:
    return encode(MemberRecord(node, state, readiness, "", "boot", "", None, None))


def primary(node: str) -> str:
    return encode(PrimaryRecord(node, 1, "i"))


def kvs(**values: str) -> dict[str, KeyValue]:
    """``primary``, ``director``, or by node the member record."""
    keys = {"primary": OTHER.primary, "director": OTHER.director("10.0.0.9")}
    return {keys.get(n) or OTHER.member(n): KeyValue(value, 1, 1, 0) for n, value in values.items()}


DIRECTED = encode(DirectorRecord("a", "10.0.0.9"))
PRIM, ALONE, SECOND, UP = ModuleState.PRIM, ModuleState.ALONE, ModuleState.SECOND, ModuleState.UP


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (kvs(), False),
        (kvs(primary=primary("a"), a=member("a", PRIM)), True),
        (kvs(primary=primary("a"), a=member("a", ALONE)), True),
        (kvs(primary=primary("a"), a=member("a", ALONE, TRANSIENT)), False),
        (kvs(primary=primary("a"), a=member("a", ALONE, Readiness.BLOCKED)), False),
        (kvs(primary=primary("a")), False),
        (kvs(a=member("a", PRIM)), False),
        (kvs(primary=primary("b"), a=member("a", PRIM), b=member("b", SECOND)), False),
        (kvs(primary="from a later release", a=member("a", PRIM)), False),
        (kvs(primary=primary("a"), a="from a later release"), False),
        (kvs(director=DIRECTED, a=member("a", UP)), True),
        (kvs(director=DIRECTED, a=member("a", UP, TRANSIENT), b=member("b", UP)), True),
        (kvs(director=DIRECTED, a=member("a", UP, TRANSIENT)), False),
        (kvs(director=DIRECTED, a=member("a", ModuleState.WAIT)), False),
        (kvs(director=DIRECTED), False),
        (kvs(a=member("a", UP)), False),
    ],
)
def test_when_a_module_serves(found: dict[str, KeyValue], expected: bool) -> None:
    assert serves(OTHER, found) is expected
    assert serves(mirrors.CLUSTER.module("othe"), found) is False


# A mirror


class MirrorDesk(mirrors.Desk):
    """``db`` depends on ``other``."""

    def __init__(self, preferred: str = "") -> None:
        super().__init__(depends=("other",), preferred_primary=preferred)

    def other_is(self, readiness: Readiness) -> None:
        """It has a primary, on whichever node."""
        changes = (Put(OTHER.primary, primary("x")), Put(OTHER.member("x"), member("x", PRIM, readiness)))
        self.etcd.commit_now(Txn(then=changes))

    def do_other_is(self, readiness: str) -> list[str]:
        self.other_is(Readiness(readiness))
        return self.do_see()

    def do_other_is_gone(self) -> list[str]:
        self.etcd.commit_now(Txn(then=(Delete(OTHER.primary), Delete(OTHER.member("x")))))
        return self.do_see()

    def waited(self) -> tuple[str, ...]:
        published = self.state.published
        assert published is not None
        return waited_in(published.resources)


WAITS = """
    lease     ->
    heard     ->
    see       -> Prepare
    prepared  -> StartReplicator
    hello           ->
    request prim    -> answer accepted; commit elect
    settle          -> serve 1; settled a; AddAddresses
    added           ->
    serving         -> commit record
    settle          -> settled a
    is ALONE transient waiting_for_module
"""


def test_a_mirrors_application_waits_for_what_it_depends_on() -> None:
    desk = MirrorDesk()
    desk.play(WAITS)
    assert desk.waited() == ("other",)
    desk.play("other_is transient ->")
    for _ in range(40):
        desk.play("wait 5 ->\n lease ->")
    desk.play("""
        is ALONE transient waiting_for_module
        other_is ready     -> StartApplication
        is ALONE transient starting_application
        app_started        -> answer done
        is ALONE ready serving_without_peer
    """)
    assert desk.waited() == ()


def test_a_mirrors_application_that_runs_goes_on_without_it_and_waits_when_it_is_restarted() -> None:
    desk = MirrorDesk()
    desk.play(WAITS)
    desk.play("""
        other_is ready         -> StartApplication
        app_started            -> answer done
        other_is_gone          ->
        is ALONE ready serving_without_peer
        request restart r2     -> answer accepted; StopApplication
        app_stopped            ->
        is ALONE transient waiting_for_module
        other_is ready         -> StartApplication
        app_started            -> answer done
    """)


def test_a_mirror_that_waits_is_stopped_like_any_other() -> None:
    desk = MirrorDesk()
    desk.play(WAITS)
    desk.play("stop_all -> answer failed superseded; DropAddresses")


def test_a_mirror_is_not_swapped_back_to_where_it_would_not_be_started() -> None:
    desk = MirrorDesk(preferred="b")
    desk.other_is(READY)
    desk.play(A_PRIM)
    desk.play("other_is_gone ->")
    for _ in range(5):
        desk.play("lease ->\n wait 5 ->")
    desk.play("""
        is PRIM ready serving
        other_is ready -> StopApplication
        is PRIM transient stopping_application
    """)


# A farm


def farm_desk() -> farms.Desk:
    """``web`` depends on ``other``; node a has got as far as it can."""
    desk = farms.Desk(replace(farms.CONFIG, depends=("other",)))
    desk.renew()
    assert names(desk.look()) == ["Prepare"]
    assert names(desk.give(e.Prepared())) == ["LoadRules"]
    assert names(desk.load()) == ["HoldAddresses"]
    assert names(desk.give(fe.AddressesHeld())) == []
    return desk


def serve(desk: farms.Desk, *, ready: bool = True) -> None:
    desk.put(OTHER.primary, primary("x"))
    desk.put(OTHER.member("x"), member("x", PRIM, READY if ready else TRANSIENT))


def published(desk: farms.Desk) -> MemberRecord:
    assert desk.state.published is not None
    return desk.state.published


def test_a_farms_node_waits_for_what_it_depends_on() -> None:
    desk = farm_desk()
    assert (published(desk).state, published(desk).reason) == (ModuleState.WAIT, Reason.WAITING_FOR_MODULE)
    assert (published(desk).readiness, waited_in(published(desk).resources)) == (TRANSIENT, ("other",))
    serve(desk, ready=False)
    assert names(desk.look()) == []
    serve(desk)
    assert names(desk.look()) == ["StartApplication"]
    assert published(desk).reason == Reason.STARTING_APPLICATION
    desk.give(e.ApplicationStarted())
    assert desk.state.is_ready and waited_in(published(desk).resources) == ()


def test_a_farms_application_that_runs_goes_on_without_it_and_waits_when_it_is_restarted() -> None:
    desk = farm_desk()
    serve(desk)
    desk.look()
    desk.give(e.ApplicationStarted())
    desk.settle()
    desk.delete(OTHER.primary)
    desk.commands.clear()
    desk.look()
    assert not any(isinstance(c, k.StopApplication | k.StartApplication) for c in desk.commands)
    assert desk.state.is_ready
    desk.request("r", "restart")
    assert "StopApplication" in names(desk.look())
    assert "StartApplication" not in names(desk.give(e.ApplicationStopped()))
    assert published(desk).reason == Reason.WAITING_FOR_MODULE
    serve(desk)
    assert "StartApplication" in names(desk.look())


def test_a_farms_node_that_waits_can_be_stopped() -> None:
    desk = farm_desk()
    desk.want("a", Run.STOPPED)
    assert "ReleaseAddresses" in names(desk.look())


def test_what_a_former_agent_left_running_is_adopted_without_it() -> None:
    desk = farms.Desk(replace(farms.CONFIG, depends=("other",)), left=True)
    desk.renew()
    desk.look()
    told = [*desk.give(e.Prepared()), *desk.load(), *desk.give(fe.AddressesHeld())]
    assert "AdoptApplication" in names(told) and "StartApplication" not in names(told)
    desk.give(e.ApplicationStarted())
    assert desk.state.is_ready


def test_what_a_former_agent_had_not_started_waits_on() -> None:
    desk = farms.Desk(replace(farms.CONFIG, depends=("other",)), left=True)
    desk.renew()
    desk.look()
    told = [*desk.give(e.Prepared()), *desk.load(), *desk.give(fe.AddressesHeld())]
    assert "AdoptApplication" in names(told)
    assert "StopApplication" in names(desk.give(e.ApplicationFailed("its start had not ended")))
    assert "StartApplication" not in names(desk.give(e.ApplicationStopped()))
    assert published(desk).reason == Reason.WAITING_FOR_MODULE
    serve(desk)
    assert "StartApplication" in names(desk.look())


def test_an_application_that_ends_while_what_it_needs_is_away_is_started_when_that_is_back() -> None:
    desk = farm_desk()
    serve(desk)
    desk.look()
    desk.give(e.ApplicationStarted())
    desk.settle()
    desk.delete(OTHER.primary)
    desk.look()
    desk.now_ns += APPLICATION_LIVED_NS
    assert "StopApplication" in names(desk.give(e.ApplicationGone("it lost its database")))
    assert "StartApplication" not in names(desk.give(e.ApplicationStopped()))
    assert published(desk).reason == Reason.WAITING_FOR_MODULE
    serve(desk)
    assert "StartApplication" in names(desk.look())
