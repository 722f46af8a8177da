"""What a farm's clients notice when its director dies, when agents are killed, and when etcd is away.

The leases are long: none of this is to wait for the end of one.
"""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from manager.lab.demo.timeline import wall_time
from manager.lab.errors import LabError
from manager.lab.files import AGENT_INIT_SCRIPT
from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine, What
from manager.lab.switch import Lost
from manager.model.farm import SLOTS
from tests.support.common_clock import now_ns
from tests.support.farm_lab import (
    ADDRESS,
    BACK_S,
    EVEN,
    NODES,
    Clients,
    director,
    farm_lab,
    receivers,
    restored,
    revive,
    shares_become,
    tables,
)
from tests.support.majority import hold_mostly
from tests.support.operators import operate
from tests.support.two_disks import is_soak

LEASE_TTL_S = 15
TIMES = 3
"""A machine that is short of cores may start an agent too late once."""
RATE = 50.0
AWAY_S = 10.0
FROZEN_S = 30.0 if is_soak() else LEASE_TTL_S + 5.0
DEAF_S = 4.0 + 1.0
"""Until another node directs, and with it what the machine that runs the tests takes to see that."""
MISSED_S = 2.0
"""Less than until an agent looks for its rules in any case."""
_MOVED_S = 30.0
_LOOK_S = 0.1


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    with farm_lab(tmp_path_factory.mktemp("lab"), request, LEASE_TTL_S) as made:
        yield made


@pytest.fixture
def farm(lab: Lab) -> Lab:
    # What clients gave up while they were cut off, an application still has: its slots would be on their way for ever.
    revive(lab)
    end = time.monotonic() + _MOVED_S
    while True:
        try:
            operate(lab.node("a"), "stop", "web")
            return restored(lab)
        except LabError:
            # A member of etcd that has just begun may have it elect anew, an agent may not be registered yet.
            if time.monotonic() >= end:
                raise
        time.sleep(_LOOK_S)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _MOVED_S
    while not holds():
        assert time.monotonic() < end, f"not in {_MOVED_S:g} s"
        time.sleep(_LOOK_S)


def without(*names: str) -> dict[str, float]:
    left = [n for n in NODES if n not in names]
    return dict.fromkeys(left, SLOTS / len(left))


def move_director(farm: Lab, to: str) -> RunningMachine:
    """Have ``to`` direct: the others are out for a moment."""
    for name in NODES:
        if director(farm).name == to:
            break
        if name != to:
            operate(farm.node(to), "stop", "web", "--node", name)
    operate(farm.node(to), "start", "web")
    shares_become(farm, EVEN)
    assert director(farm).name == to
    return farm.node(to)


def out_after_crash(farm: Lab, name: str) -> float:
    """Kills the machine under load; how long what began was not all served. What others served goes on."""
    with Clients(farm, rate=RATE) as clients:
        moment_ns = farm.crash(name)
        time.sleep(6.0)
    left = {one.node for one in clients.broken() if one.node and one.ended_ns > moment_ns}
    assert left <= {name}, f"{left - {name}} lived, and lost connections"
    assert {one.node for one in clients.seen if one.began_ns > moment_ns and one.node} == set(NODES) - {name}
    return clients.out_s(moment_ns)


@pytest.mark.timeout(400)
def test_a_director_whose_machine_dies_is_replaced_in_two_seconds_and_its_share_with_it(farm: Lab) -> None:
    def replaced_after_s() -> float:
        # No member of etcd is on that machine: etcd needs a second or two by itself when its leader dies.
        victim = move_director(restored(farm), "c")
        out_s = out_after_crash(farm, victim.name)
        assert director(farm).name != victim.name
        return out_s

    hold_mostly(replaced_after_s, lambda s: s < BACK_S)


def away_s(node: RunningMachine, since: float) -> float:
    """How long after that wall time the next agent of ``node`` began; its log says so."""
    log = Path(node.layout.logs(node.machine), "mirrorfarm", "agent.log")
    entries = map(json.loads, log.read_text().splitlines())
    return (
        min(wall_time(e["at"]) for e in entries if e["event"] == "agent.started" and wall_time(e["at"]) > since) - since
    )


@pytest.mark.timeout(500)
@pytest.mark.parametrize("of", ["member", "director"])
def test_an_agent_that_is_killed_and_started_again_costs_no_connection_and_no_slot(farm: Lab, of: str) -> None:
    for _ in range(TIMES):
        directing = director(farm)
        node = directing if of == "director" else next(n for n in farm.nodes if n.name != directing.name)
        before = tables(directing)
        with Clients(farm, rate=RATE) as clients:
            begun_ns, begun = now_ns(), time.time()
            farm.kill(node.name, What.AGENT)
            farm.start_agents([node])
            time.sleep(5.0)
        if away_s(node, begun) > AWAY_S:
            # A machine that is short of cores needs longer to start it than a node without one keeps its share.
            restored(farm)
            continue
        assert clients.broken() == []
        assert clients.out_s(begun_ns) == 0
        # Not even for a moment was a slot another node's, or the address.
        assert [(t["number"], t["shares"]) for t in tables(directing)] == [(t["number"], t["shares"]) for t in before]
        assert director(farm).name == directing.name
        return
    raise AssertionError(f"the agent was never there again in {AWAY_S:g} s")


def freeze_etcd(lab: Lab) -> None:
    lab.etcd.freeze([m for m in lab.etcd.members if m.is_up])


def thaw_etcd(lab: Lab) -> None:
    lab.thaw()
    for member in lab.etcd.members:
        lab.etcd.wait_until_ready(member)


@pytest.mark.timeout(240)
def test_a_farm_goes_on_in_the_same_shares_while_all_of_etcd_is_frozen_and_after(farm: Lab) -> None:
    directing, before = move_director(farm, "a").name, tables(farm.node("a"))
    with Clients(farm, rate=RATE) as clients:
        freeze_etcd(farm)
        time.sleep(FROZEN_S)
        assert receivers(farm) == [directing]
        thawed_ns = now_ns()
        thaw_etcd(farm)
        shares_become(farm, EVEN)
        time.sleep(5.0)
    assert clients.broken() == []
    assert [one for one in clients.waited() if one.began_ns < thawed_ns] == []
    assert director(farm).name == directing
    assert [t["shares"] for t in tables(farm.node("a"))] == [t["shares"] for t in before]


@pytest.mark.timeout(240)
def test_a_director_that_is_cut_off_while_etcd_is_away_costs_its_share_until_it_is_back_and_no_more(farm: Lab) -> None:
    directing = director(farm).name
    freeze_etcd(farm)
    time.sleep(LEASE_TTL_S)
    cut = farm.cut(directing)
    time.sleep(5.0)
    # The others cannot know that it is not them who are cut off, and have no table written: nobody takes its place.
    assert set(receivers(farm)) <= {directing}
    farm.mend(cut)
    thaw_etcd(farm)
    shares_become(farm, EVEN)
    with Clients(farm, rate=RATE) as clients:
        time.sleep(2.0)
    assert clients.broken() == []
    assert set(clients.answered_by()) == set(NODES)
    assert len(receivers(farm)) == 1


@pytest.mark.timeout(240)
def test_a_director_whose_agent_hangs_is_replaced_and_what_begins_is_served_all_the_time(farm: Lab) -> None:
    former = director(farm).name
    with Clients(farm, rate=RATE) as clients:
        begun_ns = now_ns()
        farm.freeze(former, What.AGENT)
        until(lambda: receivers(farm) != [former])
        time.sleep(3.0)
        farm.thaw(former)
        # Its kernel answered for the address all the time, and its agent ends that as soon as it runs.
        until(lambda: len(receivers(farm)) == 1)
        time.sleep(2.0)
    assert [one for one in clients.broken() if one.node != former] == []
    assert clients.out_s(begun_ns) < BACK_S
    assert director(farm).name != former


@pytest.mark.timeout(400)
def test_a_director_that_nothing_comes_to_is_replaced_long_before_its_lease_ends(farm: Lab) -> None:
    """What it sends arrives, its questions too."""
    machines = [machine.name for machine in farm.layout.machines]

    def replaced_after_s() -> float:
        # No member of etcd is on that machine, which it would hear; but one is on a machine without a node.
        deaf = move_director(restored(farm), "c").name
        begun_s = time.monotonic()
        cuts = [farm.cut(other, deaf, lost=Lost.SENT) for other in machines if other != deaf]
        until(lambda: receivers(farm) not in ([], [deaf]))
        taken_s = time.monotonic() - begun_s
        for cut in cuts:
            farm.mend(cut)
        until(lambda: len(receivers(farm)) == 1)
        shares_become(farm, EVEN)
        assert director(farm).name != deaf
        return taken_s

    hold_mostly(replaced_after_s, lambda s: s < DEAF_S)


@pytest.mark.timeout(240)
def test_a_member_that_is_cut_off_from_the_director_alone_takes_nothing_from_it(farm: Lab) -> None:
    directing = director(farm).name
    name = next(n for n in NODES if n != directing)
    with Clients(farm, rate=RATE) as clients:
        cut = farm.cut(name, directing)
        shares_become(farm, without(name), of=farm.node(directing))
        time.sleep(3.0)
        assert receivers(farm) == [directing]
        farm.mend(cut)
    assert {one.node for one in clients.broken()} <= {name}
    assert director(farm).name == directing
    # Its clients were told so by the others. Did it not end them too, it could leave those slots never again.
    until(lambda: "ESTAB" not in farm.node(name).run(["ss", "-Htn", "src", ADDRESS]))
    shares_become(farm, EVEN)


@pytest.mark.timeout(240)
def test_rules_that_somebody_flushes_on_the_director_are_back_at_once(farm: Lab) -> None:
    node = director(farm)

    def back_after_s() -> float:
        begun_s = time.monotonic()
        node.run(["nft", "flush", "ruleset"])
        until(lambda: node.run(["nft", "list", "tables"]).count("mirrorfarm_web") == 2)
        return time.monotonic() - begun_s

    hold_mostly(back_after_s, lambda s: s < MISSED_S)


def has_heard_etcd(node: RunningMachine) -> bool:
    try:
        return "unknown" not in operate(node, "state", "web")
    except LabError:
        return False  # It has not heard it since it began: it says so, and that it knows nothing.


@pytest.mark.timeout(240)
def test_an_agent_that_finds_no_etcd_at_its_start_keeps_its_nodes_share(farm: Lab) -> None:
    for _ in range(TIMES):
        # There is no member of etcd on that machine.
        directing, node = move_director(farm, "a"), farm.node("c")
        before = tables(directing)
        with Clients(farm, rate=RATE) as clients:
            begun, cut = time.time(), farm.cut(node.name, etcd_alone=True)
            node.kill(What.AGENT)
            node.run([AGENT_INIT_SCRIPT, "start"])
            time.sleep(4.0)
            farm.mend(cut)
            until(partial(has_heard_etcd, node))
            time.sleep(2.0)
        if away_s(node, begun) > AWAY_S / 2:
            restored(farm)
            continue
        assert clients.broken() == []
        assert [t["number"] for t in tables(directing)] == [t["number"] for t in before]
        return
    raise AssertionError(f"the agent was never there again in {AWAY_S / 2:g} s")
