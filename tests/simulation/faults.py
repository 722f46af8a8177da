"""What happens in a run of a mirror: the faults that a schedule is drawn of, and how it is played."""

from tests.simulation import actions, operator_faults, rare_faults, schedule
from tests.simulation.checkers import Violation
from tests.simulation.cluster import Cluster
from tests.simulation.plan import Plan
from tests.simulation.schedule import Chance, Fault, Group, Step
from tests.simulation.schedule import then as _then


def _crash(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return _then(chance, f"crash {node}", f"boot {node}", 500, 25_000)


def _agent_dies(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """Upgraded, or killed and started by init late."""
    return _then(chance, f"kill agent {node}", f"boot {node}", 50, chance.choice((500, 12_000)))


def _agent_quits(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return [*_then(chance, f"quit {node}", f"boot {node}", 500, 12_000), (13_000, f"boot {node}")]


def _replicator_dies(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return [(0, f"kill replicator {node}")]


def _isolated(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return _then(chance, f"cut {node}", "heal", 200, 15_000)


def _store_cut(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    how = chance.choice((f"{node} store", f"{node} > store", f"store > {node}"))
    return _then(chance, f"cut {how}", "heal", 200, 15_000)


def _peers_cut(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    other = chance.choice([n for n in nodes if n != node])
    how = chance.choice((f"{node} {other}", f"{node} {other}", f"{node} > {other}"))
    return _then(chance, f"cut {how}", "heal", 200, 15_000)


def _slow_link(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    other = chance.choice([n for n in (*nodes, "store") if n != node])
    return _then(chance, f"slow {node} {other} {chance.randrange(20, 900)}ms", "heal", 1_000, 15_000)


def _power(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return _then(chance, f"power {node}", f"boot {node}", 500, 25_000)


def _power_of_all(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    boots = [(chance.uniform(500, 25_000), f"boot {n}") for n in nodes]
    return [(0, f"power {' '.join(nodes)}"), *boots]


def _expire(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return [(0, f"expire {node}")]


def _store_away(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    how = chance.choice(("away", "away", "frozen"))
    back = chance.choice(("back", "back", "back without leases"))
    return _then(chance, f"store {how}", f"store {back}", 200, chance.choice((3_000, 12_000, 40_000)))


def _swap(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return [(0, chance.choice(("swap", "swap", f"swap {node}")))]


def _restart(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return [(0, f"restart {node}")]


def _stop_one(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return _then(chance, f"stop {node}", f"start {node}", 500, 15_000)


def _stop_all(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return _then(chance, "stop", "start", 500, 25_000)


def _freeze(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    what = chance.choice(("node", "node", "agent", "replicator", "both"))
    return _then(chance, f"freeze {what} {node}", f"thaw {node}", 100, chance.choice((3_000, 20_000)))


def _pause(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return _then(chance, f"pause {node}", f"thaw {node}", 100, chance.choice((3_000, 20_000)))


def _jump(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return [(0, f"jump {node} {chance.randrange(500, 20_000)}ms")]


def _full(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return _then(chance, f"full {node}", f"room {node}", 500, 15_000)


def _eio(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return [(0, f"eio {node}")]


def _cut_off(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """From the store, for longer than a lease; and now and then an agent begins anew meanwhile."""
    steps = _then(chance, f"cut {chance.choice((node, 'primary'))} store", "heal", 4_000, 30_000)
    if chance.random() < 0.4:
        other, at_ms = chance.choice(nodes), chance.uniform(1_000, 9_000)
        steps += [(at_ms, f"kill agent {other}"), (at_ms + chance.uniform(50, 3_000), f"boot {other}")]
    return steps


def _blind(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return [(0, f"blind {node} {chance.randrange(500, 20_000)}ms")]


def _late(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return [(0, f"late {node} {chance.randrange(1_000, 15_000)}ms")]


def _late_answers(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """A primary is cut off, and what its secondary says comes late."""
    slow_ms = chance.uniform(6_000, 10_000)
    return [(0, "cut primary store"), (slow_ms, "slow second > primary 1900ms"), (20_000, "heal")]


def _stale(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """A primary sees its key gone, stands still, its clock too, and wakes blind to what has happened since."""
    at_ms = chance.uniform(20, 250)
    steps = [(0, "expire primary"), (at_ms, "cut primary second"), (at_ms, "pause primary")]
    crash = [(12_000, "crash primary")] if chance.random() < 0.7 else []
    blind = [(19_999, f"blind {name} 15s") for name in nodes]
    return [*steps, *crash, *blind, (20_000, "thaw"), (24_000, "boot"), (28_000, "heal")]


def _hung(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """The primary's replicator hangs, and its agent does not reach the store."""
    steps = [(0, "freeze replicator primary"), (chance.uniform(0, 1_000), "cut primary store")]
    return [*steps, (chance.uniform(8_000, 14_000), "heal"), (14_000, "thaw")]


def _late_stand(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """One stands without its memory, late, while another one comes back that has kept it."""
    first, other = chance.sample(nodes, 2)
    steps = [(0, f"crash {other}"), (0, f"power {first}"), (500, f"boot {first}"), (7_000, f"late {first} 4000ms")]
    return [*steps, (chance.uniform(8_000, 16_000), f"boot {other}")]


def _replaced(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    away_ms = chance.uniform(500, 12_000)
    return [(0, f"power {node}"), (away_ms, f"replace {node}"), (away_ms, f"boot {node}")]


def _put_back(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """While it is off for longer than it takes to be taken out, its disk is made what it was some time before."""
    off_ms = chance.uniform(3_000, 15_000)
    back_ms = off_ms + chance.uniform(9_000, 12_000)
    return [(0, f"image {node}"), (off_ms, f"power {node}"), (back_ms, f"put_back {node}"), (back_ms, f"boot {node}")]


def _forced(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """A primary that has gone on alone is lost, or only cut off, and an operator has the other copy go on.

    Too early, or while the last primary is there, it is refused; so he asks again.
    """
    gone_ms = chance.uniform(2_500, 9_000)
    boot_ms = gone_ms + chance.uniform(0, 3_000)
    how = chance.choice(("power primary", "power primary", "cut primary", "pause primary", "crash primary"))
    fence = chance.choice(("", "", " fence"))
    asked = [(boot_ms + after_ms, f"force second{fence}") for after_ms in (4_000, 9_000, 16_000)]
    back_ms = boot_ms + chance.uniform(9_000, 30_000)
    lost = [(0.0, f"{chance.choice(('crash', 'power'))} second"), (gone_ms, how)]
    return [*lost, (boot_ms, "boot second"), *asked, (back_ms, "heal"), (back_ms, "thaw"), (back_ms, "boot")]


def _forced_late(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """A forced start that is executed late, when the last primary may be there again."""
    lost = [(0.0, "power second"), (chance.uniform(2_500, 5_000), "power primary")]
    late_ms = chance.uniform(2_000, 6_000)
    asked = [(15_900, f"late second {round(late_ms)}ms"), (16_000, "force second")]
    back_ms = 16_000 + late_ms + chance.uniform(0, 3_000)
    return [*lost, (6_000, "boot second"), *asked, (back_ms, "boot primary")]


def _forced_apart(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """One that another copy went on without comes back, and does not reach it; then its replicator dies, or it does."""
    lost = [(0.0, "power second"), (chance.uniform(2_500, 5_000), "power primary"), (6_000, "boot second")]
    asked = [(16_000, "force second"), (26_000, "cut primary second"), (26_000, "boot second")]
    dies_ms = 26_000 + chance.uniform(0, 6_000)
    dies = chance.choice(("kill replicator second", "crash second", "power second"))
    return [*lost, *asked, (dies_ms, dies), (dies_ms + 1_000, "boot second"), (dies_ms + 4_000, "heal")]


def _backup(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    return _then(chance, "store backup", "store restored", 1_000, 25_000)


def _restored(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """As docs/operations.md says: all of it is down meanwhile, or too few members to answer; then a copy is named."""
    gone_ms = chance.uniform(1_000, 20_000)
    back_ms = gone_ms + chance.choice((0, chance.uniform(500, 15_000)))
    named = [(back_ms + after_ms, "decide") for after_ms in (4_000, 9_000, 15_000, 25_000)]
    return [(0, "store backup"), (gone_ms, "store away"), (back_ms, "store restored"), (back_ms, "store back"), *named]


def _restored_unseen(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """By what was there before a swap; the primary sees nothing of that for a while, and its requests are answered."""
    gone_ms = chance.uniform(2_000, 8_000)
    named = [(gone_ms + after_ms, "decide") for after_ms in (9_000, 14_000, 16_000, 20_000)]
    unseen = [(gone_ms - 1, "blind primary 15s"), (gone_ms, "store away"), (gone_ms, "store restored")]
    return [(0, "store backup"), (200, "swap"), *unseen, (gone_ms, "store back"), *named]


def _maintenance(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    on_ms = chance.choice((3_000, 20_000, 40_000)) * chance.uniform(0.5, 1.5)
    return [(0, "maintenance on"), (chance.uniform(0, on_ms), "decide"), (on_ms, "maintenance off")]


def _failover(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """Applied; taken up by one node, or by all, at a stop; and a time later switched on again so."""
    steps: list[tuple[float, str]] = []
    at_ms = 0.0
    for word in ("off", "on"):
        which = chance.choice(("", f" {node}"))
        stop_ms = at_ms + chance.uniform(0, 2_000)
        start_ms = stop_ms + chance.uniform(500, 6_000)
        steps += [(at_ms, f"failover {word}"), (stop_ms, f"stop{which}"), (start_ms, f"start{which}")]
        steps += [(start_ms + chance.uniform(8_000, 20_000), "decide")]
        at_ms = start_ms + chance.uniform(2_000, 25_000)
    return steps


def _alone(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """A secondary is lost, then the primary that goes on without it; both come back, in any order."""
    at_ms = chance.uniform(10, 3_000)
    how = chance.choice(("crash", "power"))
    boots = [(at_ms + chance.uniform(500, 4_000), f"boot {n}") for n in nodes]
    return [(0, f"{how} second"), (at_ms, "crash primary"), *boots]


def _unheard(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """What a primary sends comes to its secondary, and no answer back, until its lease is over; nobody takes over."""
    cuts = [(100, "cut second > primary"), (chance.uniform(100, 600), "cut primary store")]
    return [(0, "maintenance on"), *cuts, (chance.uniform(9_000, 12_000), "heal"), (14_000, "maintenance off")]


def _blink(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """Without power for a moment."""
    return _then(chance, f"power {chance.choice(('primary', 'second'))}", "boot", 100, 600)


def _spoiled(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """An etcdctl put with a typo, that is put right a while later; without its lease, a key does not end by itself."""
    name = chance.choice(("config", f"desired/{node}", "insync", "/primary", "/primary bare", f"members/{node}"))
    mended = f"mend {name.removesuffix(' bare')}"
    return _then(chance, f"spoil {name}", mended, 100, chance.choice((1_000, 8_000, 30_000)))


def _spoiled_wishes(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """Nothing of what is wanted is understood, and an agent begins anew meanwhile."""
    spoils = [(0.0, f"spoil {name}") for name in ("config", *(f"desired/{n}" for n in nodes))]
    dies_ms = chance.uniform(100, 6_000)
    dies = [(dies_ms, f"{chance.choice(('kill agent', 'crash', 'power'))} {node}")]
    boots = [(dies_ms + chance.uniform(50, 9_000), f"boot {node}")]
    return [*spoils, *dies, *boots, (chance.uniform(100, 30_000), "mend")]


def _ends(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """The application ends by itself, soon or after a long life; on one node, or wherever it is."""
    who = chance.choice(("primary", "primary", node))
    times = [chance.choice((1_000, 30_000, 62_000)) * chance.uniform(0.98, 1.1) for _ in range(chance.randrange(3))]
    return [(sum(times[:n]), f"ends {who}") for n in range(len(times) + 1)]


def _breaks(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """It fails at its start, on one node or on all."""
    which = chance.choice(((node,), (node,), nodes))
    off_ms = chance.uniform(500, chance.choice((3_000, 20_000)))
    ends = (chance.uniform(0, 2_000), f"ends {chance.choice(('primary', node))}")
    return [*((0.0, f"break {n}") for n in which), ends, *((off_ms, f"break {n} off") for n in which)]


def _addresses(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """They cannot be had on one node, or on any, when somebody wants them."""
    which, how = chance.choice(((node,), nodes)), chance.choice(("failed", "failed", "in_use"))
    off_ms = chance.uniform(2_000, 40_000)
    moved = (chance.uniform(0, 2_000), chance.choice(("swap", "kill replicator primary", "crash primary")))
    lost = [(0.0, f"addresses {n} {how}") for n in which]
    return [*lost, moved, *((off_ms, f"addresses {n}") for n in which), (off_ms, "boot")]


KINDS: dict[str, tuple[Fault, ...]] = {
    **rare_faults.KINDS,
    **operator_faults.KINDS,
    "machine": (
        _crash, _crash, _agent_dies, _agent_dies, _agent_quits, _replicator_dies, _isolated, _store_cut, _peers_cut,
        _slow_link, _blind,
    ),
    "power": (_power, _power, _power_of_all),
    "operators": (_swap, _swap, _restart, _stop_one, _stop_all),
    "store": (_store_away, _store_away),
    "freezes": (_freeze, _freeze),
    "clocks": (_expire, _pause, _jump),
    "disks": (_full, _eio),
    "replaced": (_replaced,),
    "images": (_put_back,),
    "forced": (_forced,),
    "forced late": (_forced_late,),
    "forced apart": (_forced_apart,),
    "cut off": (_cut_off,),
    "slow": (_slow_link,),
    "isolated": (_isolated,),
    "blind": (_blind, _late),
    "late answers": (_late_answers,),
    "hung": (_hung,),
    "stale": (_stale,),
    "late stand": (_late_stand,),
    "alone": (_alone,),
    "blink": (_blink,),
    "unheard": (_unheard,),
    "backup": (_backup,),
    "restored": (_restored,),
    "restored unseen": (_restored_unseen,),
    "switches": (_maintenance, _failover),
    "spoiled": (_spoiled, _spoiled, _spoiled, _spoiled_wishes),
    "applications": (_ends, _ends, _breaks, _addresses),
}  # fmt: skip


def schedule_of(seed: int, plan: Plan) -> list[Group]:
    """What happens in the run of ``seed``."""
    choice = [fault for kind in plan.faults for fault in KINDS[kind]]
    return schedule.drawn(seed, choice, plan.nodes, plan.seconds, plan.mean_between_faults_s)


def play(cluster: Cluster, groups: list[Group]) -> None:
    """Let it happen."""

    def act(step: Step) -> None:
        cluster.note(f"({step.at_ms} {step.line})")
        actions.do(cluster, step.line)

    schedule.play(cluster.clock, groups, cluster.plan.seconds, act)


def run(seed: int, plan: Plan, groups: list[Group] | None = None) -> Cluster:
    """One whole run: first start, rough times, healing, convergence.

    Raises:
        Violation: a promise was broken; its story is in ``__notes__``.
    """
    cluster = Cluster(seed, plan)
    with plan.parts.around():
        try:
            cluster.begin()
            play(cluster, schedule_of(seed, plan) if groups is None else groups)
            cluster.end()
        except Exception as error:
            story = "\n".join(f"{at_ns / 1e9:9.3f} {text}" for at_ns, text in cluster.log[-40:])
            error.add_note(story)
            raise
    return cluster


__all__ = ["KINDS", "Group", "Step", "Violation", "play", "run", "schedule_of"]
