"""Farms of several nodes on the fake store, with simulated kernels, clients, operators and faults: one seed is one run.

No connection at a node to which nothing has happened is broken, whoever joins, drains, is weighed anew, dies or
directs; of two nodes never both answer for an address; and in the end, all healed, every farm is as it should be.
"""

import pytest

from manager.model.config.farm_config import Traffic
from manager.model.states import Run
from tests.simulation.clockwork import MS_NS, SECOND_NS
from tests.simulation.conftest import CHUNKS, seeds_of
from tests.simulation.farm.world import World

_SHARE = 0.004
"""Of the usual number of runs, of each kind."""
_SECONDS = 60
"""In which things happen."""
_CALM_NS = 15 * SECOND_NS


def _run(world: World, seconds: int, *, harsh: bool) -> None:
    """Things happen, one after the other; then all is healed."""
    for machine in world.machines.values():
        machine.start()
    world.want(Run.STARTED)
    world.clock.run_for(_CALM_NS)
    end_ns = world.clock.now_ns + seconds * SECOND_NS
    while world.clock.now_ns < end_ns:
        _happen(world, harsh=harsh)
        world.clock.run_for(world.clock.between(50, 6_000))
    world.heal()
    if world.random.random() < 0.8:
        world.want(Run.STARTED)
    world.settle()
    _close_one(world)
    world.clock.run_for(_CALM_NS)
    world.settle()


def _close_one(world: World) -> None:
    """Its scripts close a node for good: nothing that begins goes there any more."""
    name = world.random.choice(world.config.nodes)
    if world.config.traffic is Traffic.SCRIPT and world.wants(name):
        world.switch_traffic(name, is_open=False)
        world.kept_closed.add(name)


def _happen(world: World, *, harsh: bool) -> None:
    name = world.random.choice(world.config.nodes)
    machine = world.machines[name]
    kinds = ["weigh", "drain", "stop", "start", "restart", "crash", "boot", "kill", "store", "heal", "freeze", "died"]
    kinds += ["link", "links", "again", "close", "open", "cut"]
    kind = world.random.choice([*kinds, "isolate", "outage", "backup", "restore"] if harsh else kinds)
    match kind:
        case "weigh" | "drain":
            world.weigh(name, 0 if kind == "drain" else world.random.randrange(1, 5))
        case "stop":
            world.doubt(name)
            world.want(Run.STOPPED, name)
        case "start":
            world.want(Run.STARTED, name)
        case "restart":
            world.doubt(name)
            world.restart(name)
        case "crash":
            world.doubt(name)
            world.note(f"{name} crashes")
            machine.crash()
        case "boot":
            machine.start()
        case "kill":
            world.start_again(name, 200, 4_000)
        case "again":
            world.start_again(name, 20, 200)
        case "store":
            world.cut_store(name)
        case "heal":
            world.reach_all()
        case "freeze":
            span_ns = world.clock.between(100, 9_000)
            world.doubt(name, for_ns=span_ns)
            world.freeze(name, span_ns)
        case "close" | "open":
            world.switch_traffic(name, is_open=kind == "open")
        case "link":
            address = world.random.choice(world.config.addresses).ip
            directs = world.holder(address) if world.random.random() < 0.5 else ""
            world.drop_link(directs or name, address, gone=world.random.random() < 0.5)
        case "cut":
            other = world.random.choice([n for n in world.config.nodes if n != name])
            world.cut(name, other, one_way=world.random.random() < 0.5)
        case "links":
            world.raise_links(name)
        case "died":
            if machine.agent is not None and machine.kernel.application:
                world.doubt(name)
                machine.agent.application_died()
        case _:
            _happen_to_all(world, name, kind)


def _happen_to_all(world: World, name: str, kind: str) -> None:
    """What may cost connections anywhere."""
    etcd = world.clock.etcd
    world.note(f"{kind} ({name})")
    if kind == "isolate":
        world.isolate(name)
    elif kind == "outage":
        world.doubt_unready()
        etcd.go(frozen=world.random.random() < 0.3)
        world.clock.after(world.clock.between(100, 20_000), lambda: _come_back(world))
    elif kind == "backup" and etcd.up:
        etcd.back_up()
    elif kind == "restore" and etcd.up and etcd.has_backup:
        world.doubt(*world.config.nodes, for_ns=_CALM_NS)
        world.doubt_leases()
        etcd.restore()


def _come_back(world: World) -> None:
    leases = world.random.random() < 0.5
    if not leases:
        world.doubt_leases()
    world.clock.etcd.come_back(leases=leases)


def _play(seed: int, *, harsh: bool) -> World:
    nodes, addresses = 2 + seed % 3, 1 + seed // 3 % 2
    world = World(seed, nodes, addresses, faults=0.02 if harsh else 0, fails=0.05 if harsh else 0)
    try:
        _run(world, _SECONDS, harsh=harsh)
    except Exception as failure:
        story = "\n".join(f"{at_ns // MS_NS:8} {text}" for at_ns, text in world.log[-60:])
        pytest.fail(f"seed {seed}: {failure}\n{story}")
    return world


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("harsh", [False, True], ids=["steady", "harsh"])
def test_no_connection_of_a_node_that_lives_is_broken(request: pytest.FixtureRequest, chunk: int, harsh: bool) -> None:
    worlds = [_play(seed, harsh=harsh) for seed in seeds_of(request.config, _SHARE, chunk)]
    if len(worlds) > 1:
        assert sum(w.begun for w in worlds) > 100 * len(worlds) and sum(w.checked for w in worlds) > 5_000 * len(worlds)
        assert sum(w.writes for w in worlds) > 5 * len(worlds)
