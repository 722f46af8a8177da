"""What a screen has to say, part by part, and how much each part matters where there is no room for all. Pure.

It knows the words of every display, and neither the size of the terminal nor what fits.
"""

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.text import Text

from manager.cli.asides import aside_lines
from manager.cli.comparisons import alarm_lines, comparison_lines
from manager.cli.farm_words import (
    generation_lines,
    running_in,
    table_lines,
    traffic_lines,
    unserved_lines,
    weight_lines,
)
from manager.cli.harmless import harmless
from manager.cli.level_words import level_lines
from manager.cli.progress import bytes_words, duration_words, progress_lines
from manager.cli.refused_words import refused_lines
from manager.cli.release_words import strange_lines
from manager.cli.render import store_lines, switch_lines, takeover_words
from manager.cli.unreadable_words import unreadable_lines
from manager.cli.watching.seen import Seen, clock_word
from manager.model.api import ModuleView, NodeState
from manager.model.api_around import NodePresence, TakeOver
from manager.model.states import ModuleKind, ModuleState, Readiness, Run


class Rank(enum.IntEnum):
    """What matters more, comes first."""

    ALARM = 0
    ILL = 1
    """A node on which a module is blocked, or unknown."""
    AWAY = 2
    UNSETTLED = 3
    """A node on which a module is not what it should be for long, or is the only copy."""
    PROGRESS = 4
    SWITCHED = 5
    WELL = 6
    PRESENT = 7
    RATE = 8
    REST = 9
    EVENT = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """What parts are counted as that are not shown."""

    one: str
    many: str

    def words(self, count: int) -> str:
        """So many."""
        return f"{count} {self.one if count == 1 else self.many}"


ALARM, ROW, LINE, EVENT = Kind("alarm", "alarms"), Kind("row", "rows"), Kind("line", "lines"), Kind("event", "events")


@dataclass(frozen=True, slots=True)
class Part:
    """What is shown together, or not at all."""

    rank: Rank
    kind: Kind
    full: RenderableType
    brief: RenderableType | None = None
    """Where there is little room; ``None``: the first line of ``full``."""


@dataclass(frozen=True, slots=True)
class Section:
    """Parts that stand together below a title; ``None``: they need none."""

    title: RenderableType | None
    parts: tuple[Part, ...]


def plain(text: str, style: str = "") -> Text:
    """``text`` of whoever's making, in one paragraph: no markup, and nothing that a terminal would obey."""
    return Text(harmless(text.replace("\n", " ")), style)


def concern(node: NodeState) -> Rank:
    """How much the state of a module on a node concerns whoever looks."""
    if node.state is None or node.readiness is Readiness.BLOCKED:
        return Rank.ILL
    is_short = node.state is ModuleState.STOP and node.wanted is Run.STARTED
    if is_short or node.state in (ModuleState.ALONE, ModuleState.WAIT) or node.readiness is not Readiness.READY:
        return Rank.UNSETTLED
    return Rank.WELL


def worst_first(modules: Iterable[ModuleView]) -> list[ModuleView]:
    """``modules``, those that are not well before the others; else in their order."""

    def matters(module: ModuleView) -> tuple[bool, Rank]:
        is_alarm = bool(alarm_lines(module) or unserved_lines(module) or unreadable_lines(module))
        return not is_alarm, min(map(concern, module.nodes), default=Rank.ILL)

    return sorted(modules, key=matters)


def head_lines(seen: Seen) -> list[Text]:
    """Of what the screen is, of when, and what makes it doubtful."""
    result, day = seen.result, seen.at[:10]
    head = Text().append(result.cluster, "bold").append(f"  seen from {result.node}  ")
    if seen.unknown_s is not None:
        head.append(f"UNKNOWN for {seen.unknown_s} s", "bold red")
        head.append(f"  last answer {day} {clock_word(seen.at)} UTC")
        why = f" {seen.trouble}" if seen.trouble else ""
        told = f"The agent of {result.node} has given no answer for {seen.unknown_s} s: what there is now is unknown."
        return [head, plain(f"{told}{why}", "bold red")]
    if result.store_reachable:
        head.append("etcd answers", "green")
    else:
        head.append(f"etcd silent for {duration_words(result.age_ms)}", "bold red")
    often = f", every {seen.every_s:g} s" if seen.every_s > 1 else ""
    head.append(f"  {day} {clock_word(seen.at)} UTC{often}")
    levels = [plain(line, "yellow") for line in level_lines(result.node, result.log_levels)]
    return [head, *store_lines(result.store_reachable, result.age_ms, result.told_by), *levels]


def _alarms(module: ModuleView, here: str) -> list[str]:
    lines = (unreadable_lines(module), alarm_lines(module), refused_lines(module, here), unserved_lines(module))
    return [line for each in lines for line in each]


def alarm_section(seen: Seen) -> Section:
    """What is wrong; when it is not known any more, what was wrong last."""
    result, here = seen.result, seen.result.node
    when = "" if seen.unknown_s is None else f"at {clock_word(seen.at)}: "
    strange = strange_lines(here, result.software, result.others)
    parts = [Part(Rank.ALARM, ALARM, plain(f"{when}{line}", "bold red")) for line in strange]
    parts += [
        Part(Rank.ALARM, ALARM, plain(f"{when}{line}", "bold red"))
        for module in worst_first(result.modules)
        for line in _alarms(module, here)
    ]
    return Section(None, tuple(parts))


def node_section(seen: Seen) -> Section:
    """Whose agents are there, of which version, and whose are not."""
    around, here = seen.now.around, seen.result.node
    if around is None:
        told = f"The agent of {here} does not tell of nodes and take-overs: it is of an older release."
        return Section(None, (Part(Rank.PRESENT, LINE, plain(told, "dim")),))
    away = [n for n in around.nodes if n.registered is False]
    unknown = [n for n in around.nodes if n.registered is None]
    present = [n for n in around.nodes if n.registered]
    parts = []
    if away:
        parts.append(Part(Rank.AWAY, LINE, plain(f"Not registered: {_listed(away, _away_word)}", "bold red")))
    if unknown:
        names = ", ".join(n.node for n in unknown)
        parts.append(Part(Rank.PRESENT, LINE, plain(f"Unknown whether registered: {names}", "bold red")))
    if present:

        def word(node: NodePresence) -> str:
            return f"{node.node}{' (here)' if node.node == here else ''} {node.software}"

        parts.append(Part(Rank.PRESENT, LINE, plain(f"Registered: {_listed(present, word)}")))
    return Section(None, tuple(parts))


def _listed(nodes: Sequence[NodePresence], word: Callable[[NodePresence], str]) -> str:
    return ", ".join(map(word, nodes))


def _away_word(node: NodePresence) -> str:
    return node.node if node.away_ms is None else f"{node.node} for {duration_words(node.away_ms)} or longer"


def progress_section(seen: Seen) -> Section:
    """What is being brought in sync or compared."""
    here = seen.result.node
    told = [progress_lines(module, here) for module in worst_first(seen.now.modules)]
    return Section(None, tuple(_lines(Rank.PROGRESS, LINE, lines) for lines in told if lines))


def rate_section(seen: Seen) -> Section:
    """What streams and clients' connections carry, and what is on its way in a farm."""
    parts = [
        Part(Rank.RATE, LINE, plain(line))
        for module in seen.now.modules
        for line in (*stream_lines(module, seen.result.node), *_farm_lines(module))
    ]
    return Section(None, tuple(parts))


def _farm_lines(module: ModuleView) -> list[str]:
    if module.kind is not ModuleKind.FARM:
        return []
    return [*traffic_lines(module), *table_lines(module)]


def stream_lines(module: ModuleView, here: str) -> list[str]:
    """What a mirror's stream carries, as the node ``here`` knows of its own end."""
    own = module.on(here)
    if own is None or own.stream is None or not own.state or own.state is ModuleState.STOP:
        return []
    rates = own.stream
    told = f"sent {bytes_words(rates.sent_bytes_s)}/s, received {bytes_words(rates.received_bytes_s)}/s"
    operations = f", {rates.operations_s:,} operations/s" if rates.operations_s is not None else ""
    return [f"{module.name}: stream of {here}: {told}{operations}"]


def rest_section(seen: Seen) -> Section:
    """What is switched off, and what else there is to know."""
    parts = []
    for module in seen.now.modules:
        lines = switch_lines(module)
        if module.kind is ModuleKind.FARM:
            lines += weight_lines(module)
            lines += generation_lines(module.name, module.generation, running_in(module))
        parts += [Part(Rank.SWITCHED, LINE, plain(line, "bold yellow")) for line in lines]
    for module in seen.now.modules:
        parts += [Part(Rank.REST, LINE, plain(line, "dim")) for line in comparison_lines(module)]
        parts += [Part(Rank.REST, LINE, plain(line)) for line in aside_lines(module)]
    return Section(None, tuple(parts))


def event_section(seen: Seen) -> Section:
    """What has happened, the newest first."""
    takeovers = () if seen.result.around is None else seen.result.around.takeovers
    events = [(note.at[:19], note.says) for note in seen.notes]
    events += [(one.entry.at[:19], takeover_sentence(one)) for one in takeovers]
    events.sort(key=lambda event: event[0], reverse=True)
    today = seen.at[:10]
    parts = (
        Part(Rank.EVENT, EVENT, plain(f"{at[11:] if at[:10] == today else at.replace('T', ' ')} {says}"))
        for at, says in events
    )
    return Section(Text("LATEST EVENTS (UTC)", "bold"), tuple(parts))


def takeover_sentence(one: TakeOver) -> str:
    """That a node became primary, after which one, and why."""
    entry = one.entry
    after = f" after {entry.previous}" if entry.previous and entry.previous != entry.node else ""
    detail = f" {entry.detail}" if entry.detail else ""
    says = takeover_words(one.module, entry)
    return f"{one.module}: {entry.node} became primary{after}, epoch {entry.epoch}. {says}{detail}"


def _lines(rank: Rank, kind: Kind, lines: Sequence[str]) -> Part:
    return Part(rank, kind, Text("\n").join(plain(line) for line in lines))
