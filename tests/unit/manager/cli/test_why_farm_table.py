"""``mirrorfarm why`` of a farm in each situation: what it says, why that, and what to do. One table, as of mirrors."""

from dataclasses import replace

import pytest

from agent.api_view import LocalState
from agent.core import events as e
from agent.core.farm import events as fe
from manager.model.codec import encode
from manager.model.config.farm_config import Traffic
from manager.model.config.module_config import AddressConfig
from manager.model.records import ModuleConfigRecord
from manager.model.states import Run
from tests.unit.agent.core.farm.desk import CLUSTER, CONFIG, KEYS, VIP, VIP6, Desk, beside_others, shared_table
from tests.unit.manager.cli.named_commands import wrong_commands
from tests.unit.manager.cli.situations import Scene
from tests.unit.manager.cli.test_why_table import Row


def _served(node: str = "a", **switches: str) -> Scene:
    """``a`` and ``b``, which directs, are UP; ``c`` is not heard of. ``switches``: those of ``node``."""
    desk = beside_others()
    if switches:
        desk.want(node, Run.STARTED, **switches)
        desk.look()
    return Scene(desk, node=node)


def _weight_by_toml() -> Scene:
    scene = _served()
    assert isinstance(scene.desk, Desk)
    scene.desk.set_table(shared_table("1", 8))
    return replace(scene, toml="[weights]\na = 0")


def _agent_away() -> Scene:
    desk = beside_others()
    desk.etcd.expire(desk.leases["c"])
    desk.look()
    return Scene(desk, node="c")


def _no_director() -> Scene:
    desk = beside_others()
    desk.delete(KEYS.director(VIP))
    desk.give(e.LeaseLost())
    desk.renew(0.1)
    desk.look()
    return Scene(desk)


def _without_etcd(*, directed: bool) -> Scene:
    desk = beside_others()
    desk.give(e.StoreSilent())
    desk.pass_time(120)
    assert desk.word == "UP ready serving_without_store"
    if not directed:
        desk.silent = {"b"}
        desk.pass_time(1.6)
    return Scene(desk, reachable=False)


def _traffic(*, closed: bool, by: str = "root") -> Scene:
    desk = Desk(replace(CONFIG, traffic=Traffic.SCRIPT))
    desk.direct()
    desk.give(fe.TrafficSwitched(True, by))
    if closed:
        desk.give(fe.TrafficSwitched(False, by))
        desk.give(fe.TrafficSwitched(False, "operator late"))
    return Scene(desk, toml='traffic = "script"')


def _coming(*events: fe.Event, detail: str = "") -> Scene:
    desk = Desk()
    desk.directs("b")
    desk.set_table(shared_table("1"))
    desk.is_up("b")
    desk.renew()
    desk.look()
    desk.give(*events)
    return Scene(desk, LocalState(detail=detail))


def _application_failed() -> Scene:
    desk = beside_others()
    desk.give(e.ApplicationGone("it died"), e.ApplicationStopped())
    return Scene(desk, LocalState(detail="it died"))


def _no_link() -> Scene:
    desk = beside_others()
    desk.give(fe.Links({}), fe.Loaded({}))
    return Scene(desk, LocalState(detail="no link has 10.0.0.0/24"))


def _on_its_way_out() -> Scene:
    desk = beside_others()
    desk.request("r1", "restart")
    desk.look()
    return Scene(desk)


def _waits_for_other() -> Scene:
    desk = Desk(replace(CONFIG, depends=("other",)))
    other = CLUSTER.module("other")
    toml = 'name = "other"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/other"]\n'
    desk.put(other.config, encode(ModuleConfigRecord("m2", 1, toml, {}, "", "")))
    desk.renew()
    desk.look()
    desk.prepare()
    return Scene(desk, toml='depends = ["other"]')


def _in_the_second_group() -> Scene:
    desk = beside_others()
    desk.set_table(shared_table("1", 8))
    return Scene(desk, toml='chain = [["b", "c"], ["a"]]')


def _stopped() -> Scene:
    desk = beside_others()
    desk.want("c", Run.STOPPED)
    return Scene(desk, node="c")


NOT_IN_TIME = "Nothing: it ends by itself."
TABLE = (
    Row(
        "it serves", _served,
        ("web on a: UP, ready", "takes its share of what clients begin", f"{VIP}: 50 % (512) of what begins goes here"),
        (),
    ),
    Row(
        "an agent is away", _agent_away,
        ("web on c: unknown", "Nothing is known of it: its agent is not registered in etcd."),
        ("See whether c is up, and start its agent there: /etc/init.d/mirrorfarm-agent start",),
    ),
    Row(
        "it is stopped",
        _stopped, ("web on c: STOP, ready", "An operator stopped it."), ("mirrorfarm start web --node c",),
    ),
    Row(
        "it is drained", lambda: _served(weight="0"),
        ("web on a: UP, ready", "Drained by an operator (module.toml: 1).", "the connections that it has stay"),
        ("mirrorfarm farm undrain web a",),
    ),
    Row(
        "its weight is zero by the configuration", _weight_by_toml,
        ("by its tables nothing that clients begin goes to it", "Weight 0, by module.toml."),
        ("mirrorfarm farm weight web a 1",),
    ),
    Row(
        "no node directs", _no_director,
        ("web on a: UP, transient", "No node receives for one of the farm's addresses", "Why that: b is UP"),
        ("mirrorfarm why web --node NODE",),
    ),
    Row(
        "etcd is away, and one directs on by promises", lambda: _without_etcd(directed=True),
        ("web on a: UP, ready", "connections are shared as they were when etcd answered last"),
        ("mirrorfarm check", "no other share, no other director"), ("lease",),
    ),
    Row(
        "etcd is away, and nobody directs", lambda: _without_etcd(directed=False),
        ("web on a: UP, transient", "what clients begin reaches no node"), ("mirrorfarm check",),
    ),
    Row(
        "its scripts have closed the traffic", lambda: _traffic(closed=True),
        ("web on a: UP, transient", "this node's traffic is closed: its scripts have not opened it, or it was closed",
         "Its traffic was closed by root, which the application's scripts are, too; the connections"),
        ("mirrorfarm logs web --script start_both on a", "mirrorfarm farm open web"),
    ),
    Row(
        "an operator has closed the traffic", lambda: _traffic(closed=True, by="operator ann"),
        ("web on a: UP, transient", "Its traffic was closed by operator ann; the connections that it has stay."),
        ("mirrorfarm farm open web",), ("too; the connections", "late"),
    ),
    Row(
        "its scripts have opened the traffic", lambda: _traffic(closed=False), ("web on a: UP, ready",), (),
    ),
    Row(
        "the application is not ready yet", lambda: _coming(e.Prepared(), fe.Loaded({}), fe.AddressesHeld()),
        ("web on a: WAIT, transient", "The application is being started.", "It takes a share once it is UP."),
        ("within its start_timeout", "mirrorfarm logs web --script start_both on a"),
    ),
    Row(
        "the application failed", _application_failed,
        ("web on a: WAIT, blocked", "The application could not be started, or stopped by itself.", "it died"),
        ("mirrorfarm logs web --script start_both on a", "mirrorfarm restart web --node a"),
    ),
    Row(
        "the application cannot be prepared",
        lambda: _coming(e.PrepareFailed("prestart: exit code 2"), detail="prestart: exit code 2"),
        ("web on a: WAIT, blocked", "prestart: exit code 2"), ("mirrorfarm restart web --node a",),
    ),
    Row(
        "the rules do not load",
        lambda: _coming(e.Prepared(), fe.LoadFailed("no nft"), detail="no nft"),
        ("web on a: WAIT, blocked", "has not taken the rules", "no nft"), ("nft works there",),
    ),
    Row(
        "the link of an address is gone", _no_link,
        ("web on a: UP, blocked", "A virtual address of the module could not be added", "no link has 10.0.0.0/24"),
        ("that the interface is there",),
    ),
    Row(
        "it gives its share away", _on_its_way_out,
        ("web on a: UP, transient", "What begins is given to the other nodes"), (NOT_IN_TIME,),
    ),
    Row(
        "a module that it depends on serves nowhere", _waits_for_other,
        ("web on a: WAIT, transient", "once other serves.", "Why that: other: a is STOP: It has not been started"),
        ("mirrorfarm why other", "Of other: To start it on all its nodes: mirrorfarm start other"),
    ),
    Row(
        "another group of the chain serves", _in_the_second_group,
        ("by its tables nothing that clients begin goes to it", "Another group of the chain serves: b."), (),
    ),
)  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.situation)
def test_why(row: Row) -> None:
    text = row.scene().why()
    for said in (*row.says, *row.todo):
        assert said in text, f"{said!r} is not in:\n{text}"
    assert ("What to do" in text) is bool(row.todo), text
    for word in row.never:
        assert word not in text, f"{word!r} is in:\n{text}"
    assert not wrong_commands(text), text


def test_no_two_situations_are_the_same() -> None:
    assert len({row.situation for row in TABLE}) == len(TABLE) >= 15


def test_of_two_addresses_each_is_told() -> None:
    desk = Desk(replace(CONFIG, addresses=(AddressConfig(VIP, 24), AddressConfig(VIP6, 64))))
    desk.direct()
    text = Scene(desk, toml="").why()
    assert f"{VIP}: directed by this node." in text
