"""What happens in a run of a farm: the faults that a schedule is drawn of, and how it is played."""

from manager.model.config.farm_config import Traffic
from manager.model.states import Run
from tests.simulation import schedule
from tests.simulation.clockwork import MS_NS, SECOND_NS
from tests.simulation.farm import actions
from tests.simulation.farm.plan import Plan
from tests.simulation.farm.world import ADDRESSES, World
from tests.simulation.schedule import Chance, Fault, Group, Step, then

_CALM_NS = 15 * SECOND_NS
_Steps = list[tuple[float, str]]


def _one(line: str) -> Fault:
    """Of one step; ``N`` is the node."""
    return lambda chance, node, nodes: [(0, line.replace("N", node))]


def _weigh(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return [(0, f"weigh {node} {chance.randrange(1, 5)}")]


def _kill(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return [(0, f"kill {node} {chance.randrange(200, 4_000)}ms")]


def _again(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return [(0, f"kill {node} {chance.randrange(20, 200)}ms")]


def _long_gone(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return [(0, f"kill {chance.choice((node, 'director'))} {chance.randrange(7_000, 14_000)}ms")]


def _freeze(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return [(0, f"freeze {node} {chance.randrange(100, 9_000)}ms")]


def _freeze_director(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    """For long enough that it has heard nobody, and not to be replaced."""
    return [(0, f"freeze director {chance.randrange(1_520, 1_900)}ms")]


def _half_heard(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    """Neither etcd nor another node hears the director, and a third one does."""
    return [(0, "cut director store"), (0, "cut director other"), (chance.uniform(3_000, 9_000), "heal")]


def _cut(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    other = chance.choice([n for n in nodes if n != node])
    return [(0, f"cut {node} {chance.choice(('>', ''))} {other}")]


def _cut_for_a_while(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    other = chance.choice([n for n in nodes if n != node])
    return then(chance, f"cut {node} {chance.choice(('>', ''))} {other}", "heal", 1_000, 10_000)


def _unasked(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    """The director and another node do not hear each other."""
    return then(chance, f"cut director {chance.choice(('>', ''))} other", "heal", 1_000, 10_000)


def _apart(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    """No node hears the director, which reaches etcd."""
    return [*((0.0, f"cut director {other}") for other in nodes), (chance.uniform(3_000, 12_000), "heal")]


def _store_cut(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return then(chance, f"cut {chance.choice((node, 'director'))} store", "heal", 1_000, 20_000)


def _link(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    who, how = chance.choice((node, "director")), chance.choice(("gone", "carrier"))
    return [(0, f"link {who} {chance.choice(ADDRESSES)} {how}")]


def _link_for_a_while(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return [*_link(chance, node, nodes), (chance.uniform(500, 12_000), "links")]


def _crash(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return then(chance, f"crash {node}", f"boot {node}", 500, 20_000)


def _crash_director(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return [(0, "crash director"), (chance.uniform(6_000, 20_000), f"boot {' '.join(nodes)}")]


def _stop(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return then(chance, f"stop {chance.choice((node, 'director'))}", "start", 3_000, 15_000)


def _stop_director(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return then(chance, "stop director", "start", 3_000, 10_000)


def _slow_leave(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    """One stops, while others' kernels take long for their rules."""
    others = [(0.0, f"slow {n} 900ms") for n in nodes if n != node]
    return [*others, (100, f"{chance.choice(('stop', 'restart'))} {node}"), (12_000, "start")]


def _drain(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return then(chance, f"weigh {node} 0", f"weigh {node} {chance.randrange(1, 5)}", 4_000, 20_000)


def _slow(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return then(chance, f"slow {node} 900ms", f"slow {node} 60ms", 2_000, 20_000)


def _slow_one(who: str) -> Fault:
    """Its kernel takes long for its rules, while slots move between nodes."""
    return lambda chance, node, nodes: _slow_steps(chance, who, nodes)


def _slow_steps(chance: Chance, who: str, nodes: tuple[str, ...]) -> _Steps:
    others = [(1_000.0 * n, f"weigh {other} {chance.randrange(0, 5)}") for n, other in enumerate(nodes) if n]
    return [(0, f"slow {who} {chance.choice((900, 2_500))}ms"), *others, (9_000, f"slow {who} 60ms")]


def _outage(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    how = chance.choice(("away", "away", "frozen"))
    return then(chance, f"store {how}", f"store {chance.choice(('back', 'back without leases'))}", 100, 20_000)


def _long_outage(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    back = chance.choice(("back", "back without leases"))
    return then(chance, f"store {chance.choice(('away', 'frozen'))}", f"store {back}", 9_000, 20_000)


def _lost_in_an_outage(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    """The director crashes meanwhile, or is cut off from another node; then etcd is back."""
    what = chance.choice(("crash director", "cut director other", "freeze director 4000ms", "isolate director"))
    return [*_long_outage(chance, node, nodes), (chance.uniform(3_000, 9_000), what), (25_000, "heal")]


def _frozen_in_an_outage(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    """The director is, when it goes on by promises; it thaws when another one has taken its place."""
    back_ms = chance.uniform(9_000, 10_000)
    return [(0, "store away"), (7_000, "freeze director 8000ms"), (back_ms, "store back without leases")]


def _frozen_cut_off(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    """The director is, when its lease is over by its own clock, and not yet by etcd's."""
    return [(0, "cut director store"), (chance.uniform(5_200, 5_900), "freeze director 4000ms"), (10_500, "heal")]


def _crash_without_etcd(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return [(0, "store away"), (chance.uniform(500, 7_000), "crash director"), (11_000, "store back")]


def _late_take_over(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    """The director is cut off, and replaced by what is executed when it has long been back."""
    late = [(0.0, f"late {other} 5000ms") for other in nodes]
    return [*late, (0, "isolate director"), (chance.uniform(2_200, 2_600), "heal")]


def _deaf(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return then(chance, f"deafen director{chance.choice(('', ' loud'))}", "heal", 6_000, 20_000)


def _isolated(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return then(chance, f"isolate {chance.choice((node, 'director'))}", "heal", 1_000, 20_000)


def _restored(chance: Chance, node: str, nodes: tuple[str, ...]) -> _Steps:
    return then(chance, "store backup", "store restored", 2_000, 20_000)


_STEADY: tuple[Fault, ...] = (
    _weigh, _one("weigh N 0"), _one("stop N"), _one("start N"), _one("restart N"), _one("crash N"), _one("boot N"),
    _kill, _one("cut N store"), _one("heal"), _freeze, _one("die N"), _link, _one("links N"), _again,
    _one("traffic N closed"), _one("traffic N open"), _cut,
)  # fmt: skip
KINDS: dict[str, tuple[Fault, ...]] = {
    "steady": _STEADY,
    "harsh": (*_STEADY, _one("isolate N"), _outage, _one("store backup"), _one("store restored")),
    "whole": (_crash, _crash_director, _deaf, _long_outage, _stop, _drain, _unasked),
    "crashes": (_crash, _crash_director),
    "drained": (_one("weigh N 0"),),
    "closed": (_one("traffic N closed"),),
    "restarted": (_one("restart N"),),
    "weights": (_weigh, _weigh, _drain, _slow),
    "stops": (_stop_director,),
    "long gone": (_long_gone,),
    "director frozen": (_freeze_director,),
    "half heard": (_half_heard,),
    "slow director": (_slow_one("director"),),
    "slow other": (_slow_one("other"),),
    "leaving": (_stop, _slow_leave),
    "agents": (_kill, _again, _long_gone),
    "frozen": (_freeze,),
    "cuts": (_cut_for_a_while, _unasked, _apart),
    "apart": (_apart,),
    "store cut": (_store_cut,),
    "outages": (_long_outage,),
    "losses without etcd": (_lost_in_an_outage,),
    "frozen in an outage": (_frozen_in_an_outage,),
    "frozen cut off": (_frozen_cut_off,),
    "crash without etcd": (_crash_without_etcd,),
    "late take-over": (_late_take_over,),
    "deaf": (_deaf,),
    "isolated": (_isolated,),
    "links": (_link_for_a_while,),
    "restored": (_restored,),
}


def schedule_of(seed: int, plan: Plan) -> list[Group]:
    """What happens in the run of ``seed``."""
    choice = [fault for kind in plan.faults for fault in KINDS[kind]]
    return schedule.drawn(seed, choice, tuple("abcdefgh"[: plan.nodes]), plan.seconds, plan.mean_between_faults_s)


def run(seed: int, plan: Plan, groups: list[Group] | None = None) -> World:
    """One whole run: all begins, and things happen.

    Raises:
        Violation: something did not hold; its story is in ``__notes__``.
    """
    with plan.around():
        world = World(seed, plan.nodes, plan.addresses, faults=plan.store_faults, fails=plan.fails)
        world.spread_after_ns = plan.spread_after_s * SECOND_NS
        try:
            _play(world, plan, schedule_of(seed, plan) if groups is None else groups)
        except Exception as failure:
            failure.add_note("\n".join(f"{at_ns // MS_NS:8} {text}" for at_ns, text in world.log[-60:]))
            raise
    return world


def _play(world: World, plan: Plan, groups: list[Group]) -> None:
    for machine in world.machines.values():
        machine.start()
    world.want(Run.STARTED)
    world.clock.run_for(plan.calm_s * SECOND_NS)

    def act(step: Step) -> None:
        world.note(f"({step.at_ms} {step.line})")
        actions.do(world, step.line)

    schedule.play(world.clock, groups, plan.seconds, act)
    if plan.settles:
        _settle(world)


def _settle(world: World) -> None:
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
