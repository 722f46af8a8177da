"""What can be done to a simulated farm, by the words that schedules are written in.

``crash a``, ``cut a > b``, ``store away`` …: each line is one action, done at once, with what it may cost said to the
checkers. A node is named, or is the ``director`` of the first address, or an ``other`` one, of that moment.
"""

from collections.abc import Callable

from manager.model.states import Run
from tests.simulation.actions import ActionError, span_ns
from tests.simulation.clockwork import SECOND_NS
from tests.simulation.farm.world import World
from tests.simulation.network import STORE

Words = list[str]
_CALM_NS = 15 * SECOND_NS
_SOME_TIME_NS = 12 * SECOND_NS
"""Within it is over what takes its time: a lease, an agent that is away, slots that are handed on."""
_FOR_EVER_NS = 1 << 60


def do(world: World, line: str) -> None:
    """One action.

    Raises:
        ActionError: there is no such action.
    """
    verb, *words = line.split()
    action = _ACTIONS.get(verb)
    if action is None:
        raise ActionError(f"an action: found {line!r}; allowed: {' '.join(_ACTIONS)}")
    if verb not in _PROMPT:
        world.checkers.promptness.happens(_SOME_TIME_NS)
    elif verb not in _NOTHING:
        world.checkers.promptness.happens(0)
    action(world, [_meant(world, word) for word in words])


def _meant(world: World, word: str) -> str:
    """The director is the one that receives now, or the first node."""
    director = world.holder(world.addresses[0]) or world.config.nodes[0]
    if word == "director":
        return director
    return next(n for n in world.config.nodes if n != director) if word == "other" else word


def _weigh(world: World, words: Words) -> None:
    world.weigh(words[0], int(words[1]))


def _stop(world: World, words: Words) -> None:
    world.part(*words)
    world.want(Run.STOPPED, *words)


def _start(world: World, words: Words) -> None:
    world.want(Run.STARTED, *words)


def _restart(world: World, words: Words) -> None:
    world.part(words[0])
    world.restart(words[0])


def _crash(world: World, words: Words) -> None:
    machine = world.machines[words[0]]
    if machine.agent is None or machine.agent.actor.frozen:  # Who was there without it a moment ago is not dead yet.
        world.checkers.promptness.happens(_SOME_TIME_NS)
    world.doubt(*words)
    world.note(f"{words[0]} crashes")
    machine.crash()


def _boot(world: World, words: Words) -> None:
    for name in words:
        world.machines[name].start()


def _kill(world: World, words: Words) -> None:
    """Its agent; and so long later there is a new one."""
    away_ns = span_ns(words[1])
    world.checkers.promptness.happens(away_ns + _SOME_TIME_NS)
    world.start_again(words[0], away_ns)


def _cut(world: World, words: Words) -> None:
    """``a store``, ``a b``, ``a > b``."""
    one, other = words[0], words[-1]
    world.checkers.promptness.happens(_FOR_EVER_NS)
    if other == STORE:
        world.cut_store(one)
    else:
        world.cut(one, other, one_way=">" in words)


def _isolate(world: World, words: Words) -> None:
    world.isolate(words[0])


def _deafen(world: World, words: Words) -> None:
    """Nothing comes to it any more; what it asks of etcd arrives, if there is a ``loud``."""
    world.deafen(words[0], is_loud="loud" in words)


def _heal(world: World, words: Words) -> None:
    world.checkers.promptness.heals(_SOME_TIME_NS)
    world.reach_all()


def _freeze(world: World, words: Words) -> None:
    spans_ns = span_ns(words[1])
    world.checkers.promptness.happens(spans_ns + _SOME_TIME_NS)
    world.doubt(words[0], for_ns=spans_ns)
    world.freeze(words[0], spans_ns)


def _late(world: World, words: Words) -> None:
    """The next that it asks of etcd to direct is executed so late, and its answer is lost."""
    agent = world.machines[words[0]].agent
    if agent is not None:
        agent.link.late_ns = span_ns(words[1])


def _link(world: World, words: Words) -> None:
    """``a ADDRESS gone``, or ``a ADDRESS carrier``: that alone is."""
    world.drop_link(words[0], words[1], gone=words[2] == "gone")


def _links(world: World, words: Words) -> None:
    for name in words or world.config.nodes:
        world.raise_links(name)


def _traffic(world: World, words: Words) -> None:
    world.switch_traffic(words[0], is_open=words[1] == "open")


def _die(world: World, words: Words) -> None:
    machine = world.machines[words[0]]
    if machine.agent is not None and machine.kernel.application:
        world.doubt(*words)
        machine.agent.application_died()


def _slow(world: World, words: Words) -> None:
    """Its kernel takes so long for rules."""
    most_ns = span_ns(words[1])
    world.machines[words[0]].load_ms = (most_ns / 2e6, most_ns / 1e6)


def _store(world: World, words: Words) -> None:
    etcd = world.clock.etcd
    world.note(f"store {' '.join(words)}")
    match words:
        case ["away" | "frozen" as how]:
            world.doubt_unready()
            etcd.go(frozen=how == "frozen")
            return
        case ["back", *leases]:
            world.store_back(leases=not leases)
        case ["backup"] if etcd.up:
            etcd.back_up()
        case ["restored"] if etcd.up and etcd.has_backup:
            world.doubt(*world.config.nodes, for_ns=_CALM_NS)
            world.doubt_leases()
            etcd.restore()
    world.checkers.promptness.happens(_SOME_TIME_NS)


_ACTIONS: dict[str, Callable[[World, Words], None]] = {
    "weigh": _weigh, "stop": _stop, "start": _start, "restart": _restart, "crash": _crash, "boot": _boot,
    "kill": _kill, "cut": _cut, "isolate": _isolate, "deafen": _deafen, "heal": _heal, "freeze": _freeze,
    "link": _link, "links": _links, "traffic": _traffic, "die": _die, "slow": _slow, "store": _store, "late": _late,
}  # fmt: skip
_PROMPT = frozenset({"crash", "boot", "deafen", "isolate", "heal", "store", "cut", "freeze", "kill"})
"""What disturbs nothing else, or says itself what it does."""
_NOTHING = frozenset({"heal", "store"})
