"""Tables for people. It knows rich and the results of the API; it asks nobody for anything.

ALONE always says that there is one copy; what is not known says "unknown".
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from manager.cli.accepting import copy_words
from manager.cli.advice import refusal, remedy
from manager.cli.asides import aside_lines
from manager.cli.chain import chain_lines
from manager.cli.comparisons import alarm_lines, comparison_lines, count_words, remedy_of_alarm
from manager.cli.farm_words import (
    farm_facts,
    generation_lines,
    running_in,
    table_lines,
    traffic_lines,
    unserved_lines,
    weight_lines,
)
from manager.cli.harmless import harmless
from manager.cli.level_words import level_lines
from manager.cli.node_words import (
    UNKNOWN,
    node_word,
    state_word,
    style,
    takes_over,
    why_with_detail,
    why_words,
)
from manager.cli.preferences import preference_lines
from manager.cli.progress import bytes_words, duration_words, progress_lines
from manager.cli.refused_words import (
    UNTOLD,
    is_untold,
    refused_lines,
    refused_remedies,
    stranger_lines,
)
from manager.cli.release_words import different_lines, release_remedies, strange_lines
from manager.cli.render_farm import farm_paragraphs, farm_rows, readiness_text, state_head
from manager.cli.sentences import sentence
from manager.cli.unreadable_words import unreadable_lines, unreadable_remedies
from manager.model.api import ModuleView, NodeState, StateResult, WhyResult
from manager.model.api_requests import HistoryResult
from manager.model.reasons import Reason
from manager.model.records import HistoryRecord
from manager.model.reports import Difference, VerifyReport
from manager.model.resources import Unsteady, has_failed_application, unsteady_in
from manager.model.states import ModuleKind, Readiness, Run, Setting
from manager.model.unreadable import Kind

_FAILURES = frozenset(
    {
        Reason.APPLICATION_FAILED,
        Reason.REPLICATOR_FAILED,
        Reason.LEASE_LOST,
        Reason.ADDRESS_FAILED,
        Reason.INTERNAL_ERROR,
    }
)

_LONGEST_TIME = 20
"""Digits of nanoseconds that are still a date."""

_COPIES_DIFFER = frozenset({Reason.STORE_REPLACED, Reason.STORE_WENT_BACK})
"""Causes that say that etcd may not know which copy is the newest."""

LEAST_COLUMNS = 100
"""Of a terminal on which the table of states leaves room for its sentences."""


def data_word(node: NodeState) -> str:
    """Whether this node's copy has every completed write; without etcd that may have changed since."""
    if node.reason in _COPIES_DIFFER:
        return UNKNOWN  # etcd may not have the newest record.
    if node.listed is None:
        return UNKNOWN if node.state is None or node.registered is None else "not said yet"
    return "up to date" if node.listed else "may lack writes"


def state_table(result: StateResult) -> RenderableType:
    """All modules of ``result``, a row for each node; on a narrow terminal a few lines for each."""
    lines = store_lines(result.store_reachable, result.age_ms, result.told_by) + _releases(result)
    lines += [Text(f"{line}.", "yellow") for line in level_lines(result.node, result.log_levels)]
    if not result.modules:
        return Group(*lines, Text("No module has been applied yet."))
    return Group(*lines, _Modules(result))


def _releases(result: StateResult | WhyResult) -> list[Text]:
    here = result.node if isinstance(result, StateResult) else result.here
    strangers = [Text(f"{line}.", "bold red") for line in strange_lines(here, result.software, result.others)]
    return strangers + [Text(f"{line}.", "yellow") for line in different_lines(here, result.software, result.others)]


class _Modules:
    """The modules, in the shape for which the terminal has room."""

    def __init__(self, result: StateResult) -> None:
        self._result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        result = self._result
        farms = [m for m in result.modules if m.kind is ModuleKind.FARM]
        others = [m for m in result.modules if m.kind is not ModuleKind.FARM]
        if options.max_width >= LEAST_COLUMNS:
            yield from [_rows(others, result.node)] if others else []
            yield from [farm_rows(farms, result.node)] if farms else []
        else:
            yield from _paragraphs(others, result.node)
            yield from farm_paragraphs(farms, result.node)
        yield from (Text(line) for module in farms for line in (*traffic_lines(module), *table_lines(module)))
        yield from (Text(line, "bold red") for module in farms for line in unserved_lines(module))
        yield from (Text(line, "bold red") for module in result.modules for line in unreadable_lines(module))
        yield from (Text(line, "bold red") for module in result.modules for line in refused_lines(module, result.node))
        yield from (Text(line) for module in result.modules for line in progress_lines(module, result.node))
        yield from (Text(line, "bold yellow") for module in result.modules for line in switch_lines(module))
        yield from (Text(line, "bold yellow") for module in farms for line in weight_lines(module))
        yield from (Text(line, "bold yellow") for module in farms for line in _generations(module))
        yield from (Text(line, "dim") for module in result.modules for line in comparison_lines(module))
        yield from (Text(line, "bold red") for module in result.modules for line in alarm_lines(module))
        yield from (Text(line) for module in result.modules for line in aside_lines(module))


def _generations(module: ModuleView) -> list[str]:
    return generation_lines(module.name, module.generation, running_in(module))


def switch_lines(module: ModuleView) -> list[str]:
    """What is switched off of a module: each display of it says so."""
    lines = []
    if module.maintenance:
        lines.append(f"{module.name}: maintenance: no node takes over or hands over by itself")
    elif module.failover_off:
        lines.append(f"{module.name}: failover is off by its configuration: no node takes over or hands over by itself")
    held = [n.node for n in module.nodes if n.boot is Setting.OFF]
    if held:
        lines.append(f"{module.name}: boot off: it is not started with the agent of {', '.join(held)}")
    return lines


MIRROR_COLUMNS = ("NODE", "STATE", "READINESS", "DATA", "WHY")
"""Of the table of mirrors, after the module's name."""


def mirror_cells(module: ModuleView, node: NodeState, here: str) -> tuple[str | Text, ...]:
    """What stands in ``MIRROR_COLUMNS`` for ``node``; ``here``: the node that answers."""
    return (
        node_word(node, here),
        Text(state_word(node), style(node)),
        readiness_text(node),
        data_word(node),
        why_with_detail(module.name, node, failover=takes_over(module)),
    )


def mirror_head(node: NodeState, here: str) -> Text:
    """The same in a line for a terminal without room for a table, but for why."""
    return state_head(node, here).append(f"; data: {data_word(node)}")


def _rows(modules: Sequence[ModuleView], here: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("MODULE", *MIRROR_COLUMNS):
        table.add_column(title, no_wrap=title != "WHY")
    for module in modules:
        for index, node in enumerate(module.nodes):
            table.add_row(module.name if index == 0 else "", *mirror_cells(module, node, here))
    return table


def _paragraphs(modules: Sequence[ModuleView], here: str) -> list[Text]:
    lines: list[Text] = []
    for module in modules:
        lines.append(Text(module.name, "bold"))
        for node in module.nodes:
            lines.append(Text("  ").append_text(mirror_head(node, here)))
            lines.append(Text(f"    {why_with_detail(module.name, node, failover=takes_over(module))}"))
    return lines


def store_lines(reachable: bool, age_ms: int, told_by: Sequence[str] = ()) -> list[Text]:
    """A warning when etcd is not heard, so that what is shown is old, but for what nodes have said of themselves."""
    if reachable:
        return []
    old = f"etcd does not answer this node: what follows is {duration_words(age_ms)} old"
    but = f", but for what the agent of {' and of '.join(told_by)} has just said of itself" if told_by else ""
    return [Text(f"{old}{but}.", "bold red")]


def node_line(module: str, node: NodeState, *, failover: bool | None = None) -> str:
    """One node in one line, for progress; ``failover``: whether nodes take over by themselves, ``None``: not known."""
    readiness = f", {node.readiness}" if node.readiness not in (None, Readiness.READY) else ""
    return f"{node.node}: {state_word(node)}{readiness} - {why_with_detail(module, node, failover=failover)}"


def why_text(result: WhyResult) -> RenderableType:
    """What makes the module what it is on one node, and what to do."""
    module, node = result.module, result.module.on(result.node)
    lines: list[Text] = store_lines(result.store_reachable, result.age_ms, result.told_by) + _releases(result)
    if node is None:
        return Group(*lines, *_without_nodes(result))
    head = f"{module.name} on {node.node}: {state_word(node)}"
    lines.append(Text(head if node.readiness is None else f"{head}, {node.readiness}", "bold"))
    if node.state is None:
        lines.append(Text(f"  Nothing is known of it: {why_words(module.name, node)}."))
    else:
        lines.append(Text(f"  {why_words(module.name, node, failover=takes_over(module))}"))
        lines += [Text(f"  {node.detail}")] if node.detail else []
    lines += [Text(f"  Why that: {line}") for line in chain_lines(result)]
    lines += _of_keys(module)
    lines += [Text(f"  {line}", "bold red") for line in refused_lines(module, result.here)]
    lines += [Text(f"  {line}") for line in progress_lines(module, result.here)]
    todo = remedy(module, node, here=result.here, store_reachable=result.store_reachable, waited=result.waited)
    lines += [Text(f"  What to do: {todo}")] if todo else []
    about = [text for text in refused_remedies(module, result.here) if text not in todo]
    lines += [Text(f"  What to do about the stream: {text}") for text in about]
    lines += [Text(f"  {line}", "bold red") for line in (*alarm_lines(module), *unserved_lines(module))]
    lines += [Text(f"  What to do about the releases: {text}") for text in release_remedies(result.here, result.others)]
    of_alarm = remedy_of_alarm(module)
    lines += [Text(f"  What to do about it: {of_alarm}")] if of_alarm else []
    lines += [Text(f"  {fact}", "dim") for fact in _facts(result, module, node)]
    return Group(*lines)


def _without_nodes(result: WhyResult) -> list[Text]:
    """Of a module whose configuration nobody here has ever understood."""
    module = result.module
    return [
        Text(f"{module.name} on {result.node}: {UNKNOWN}", "bold"),
        Text("  No configuration of it has been understood here: on which nodes it is to run is not known."),
        *_of_keys(module),
    ]


def _of_keys(module: ModuleView) -> list[Text]:
    """Those that are not understood."""
    lines = [Text(f"  {line}", "bold red") for line in unreadable_lines(module)]
    return lines + [Text(f"  What to do about the key: {text}") for text in unreadable_remedies(module)]


def _facts(result: WhyResult, module: ModuleView, node: NodeState) -> list[str]:
    wanted = {None: "never started", Run.STARTED: "started", Run.STOPPED: "stopped"}[node.wanted]
    if any(each.kind is Kind.DESIRED and each.node == node.node for each in module.unreadable):
        wanted = "not known"
    if node.farm is not None:
        facts = [f"Wanted here: {wanted}.", *farm_facts(module, node, store_reachable=result.store_reachable)]
        return [
            *facts,
            *(f"{line}." for line in (*switch_lines(module), *_generations(module))),
            *_asked(result, module, node),
        ]
    primary = module.primary or "none"
    if not result.store_reachable:
        primary = f"unknown ({primary}, when etcd was last heard)"
    facts = [f"Wanted here: {wanted}. Primary: {primary}."]
    doubtful = any(n.reason in _COPIES_DIFFER for n in module.nodes) and not module.primary
    if doubtful:
        facts.append("Which node holds every completed write is not known: etcd may not have the newest record.")
    elif module.holders is None:
        facts.append("No node has been named to have the good data yet.")
    else:
        copies = "one copy" if len(module.holders) == 1 else f"{len(module.holders)} copies"
        tense = "is" if result.store_reachable else "was, when etcd was last heard,"
        facts.append(
            f"Every completed write {tense} on: {', '.join(module.holders)} ({copies}). "
            f"Epoch {module.epoch}, last primary {module.last_primary}."
        )
    facts += [f"{line}." for line in (*switch_lines(module), *preference_lines(module), *comparison_lines(module))]
    facts += aside_lines(module)
    facts += [f"{line}." for line in stranger_lines(module, result.here)]
    facts += [UNTOLD] if is_untold(module, result.here) else []
    facts += [_unsteady_words(one) for n in module.nodes for one in unsteady_in(n.resources)]
    facts += [_COULD_NOT_RUN.format(module=module.name, node=n.node) for n in _where_it_failed(module, node)]
    if doubtful:
        facts += [f"{copy_words(n)}." for n in module.nodes]
    if result.last_takeover is not None:
        last = result.last_takeover
        facts.append(f"Last take-over: {last.node} at {last.at}. {takeover_words(module.name, last)}")
    return facts + _asked(result, module, node)


def _where_it_failed(module: ModuleView, node: NodeState) -> list[NodeState]:
    """Nodes whose application could not run; of ``node`` itself its state may say so already."""
    failed = [n for n in module.nodes if has_failed_application(n.resources)]
    return [n for n in failed if n is not node or n.reason != Reason.APPLICATION_FAILED]


_COULD_NOT_RUN = (
    "On {node} the application could not run when it was tried last: mirrorfarm logs {module} --script start_prim "
    "there. When the cause is gone: mirrorfarm restart {module} --node {node}"
)


def _asked(result: WhyResult, module: ModuleView, node: NodeState) -> list[str]:
    if not result.last_request:
        return []
    action, _, rest = result.last_request.partition(" ")
    status, _, reason = rest.partition(" ")
    at = f", at {result.last_request_at}" if result.last_request_at else ""
    by = f", by {result.last_request_by}" if result.last_request_by else ""
    told = f"Last request to {node.node}{at}{by}: {action}: {status}."
    if not reason:
        return [told]
    known = refusal(reason, module.name, node.node, module.primary)
    detail = f" {result.last_request_detail}" if result.last_request_detail else ""
    todo = f" What to do: {known.remedy}" if known.remedy else ""
    return [f"{told} {known.says}{detail}{todo}"]


def _unsteady_words(one: Unsteady) -> str:
    again = f"it counts as up to date again once it has been connected for {one.stable_s} s"
    return f"{one.node} was lost {one.losses} times: {again}."


def takeover_words(module: str, entry: HistoryRecord) -> str:
    """Why a node became primary; what had failed, had failed on the one before it."""
    says = sentence(entry.reason, module, entry.node).says
    return f"On {entry.previous}: {says}" if entry.reason in _FAILURES and entry.previous else says


def history_table(result: HistoryResult) -> RenderableType:
    """Who took over, the newest first."""
    old = store_lines(result.store_reachable, result.age_ms)
    if not result.entries:
        return Group(*old, Text(f"{result.module} has had no primary yet."))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("WHEN (UTC)", "EPOCH", "NODE", "FROM", "WHY"):
        table.add_column(title, no_wrap=title != "WHY", justify="right" if title == "EPOCH" else "left")
    for entry in result.entries:
        says = takeover_words(result.module, entry)
        why = f"{says} {entry.detail}" if entry.detail else says
        table.add_row(entry.at, str(entry.epoch), entry.node, entry.previous or "-", why)
    return Group(*old, table)


def verify_text(module: str, report: VerifyReport) -> RenderableType:
    """Whether the copies are equal, and in what they differ."""
    compared = f"{report.entries} entries and {bytes_words(report.bytes_compared)} compared"
    if report.error:
        return Text(f"{module}: the comparison was not carried through: {report.error} ({compared}).", "bold red")
    repaired: list[RenderableType] = []
    if report.repaired_total:
        number = count_words(report.repaired_total)
        repaired = [Text(f"{module}: {number} repaired: THERE is what is HERE again."), *_differing(report.repaired)]
        repaired += _more(report.repaired_total - len(report.repaired))
    if report.differences_total == 0:
        return Group(*repaired, Text(f"{module}: the copies are equal: {compared}.", "green"))
    head = Text(f"{module}: {count_words(report.differences_total)}: {compared}.", "bold red")
    more = _more(report.differences_total - len(report.differences))
    return Group(*repaired, head, *_differing(report.differences), *more, Text(_UNEQUAL.format(module=module)))


def _differing(differences: Sequence[Difference]) -> list[RenderableType]:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("PATH", "WHAT", "HERE", "THERE"):
        table.add_column(title, overflow="fold")
    for difference in differences:
        values = (_value_words(difference.what, v) for v in (difference.here, difference.there))
        table.add_row(_plain(difference.path), _plain(difference.what), *map(_plain, values))
    return [table] if differences else []


def _more(count: int) -> list[RenderableType]:
    return [Text(f"... and {count} more")] if count else []


_UNEQUAL = """\
  The application works on what is HERE, on the primary. The copy THERE differs: something has changed files below
  the mount on one of the nodes, or a disk gives back what was not written to it. Which copy is wrong cannot be told
  by comparing: find it out, then, on the primary:
    THERE is wrong: mirrorfarm verify {module} --repair   makes it equal to HERE, while the application runs
    HERE is wrong:  mirrorfarm swap {module}              first; then the same on the other node, the primary by then"""


def _value_words(what: str, value: str) -> str:
    """A time in nanoseconds as people read it; everything else as it is."""
    if what != "mtime" or not value.isdigit() or len(value) > _LONGEST_TIME:
        return value
    seconds, rest_ns = divmod(int(value), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"


def _plain(text: str) -> Text:
    """``text`` of the application's own making: no markup, and nothing that a terminal would obey."""
    return Text(harmless(text))
