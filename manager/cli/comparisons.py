"""What is known of the comparisons of a module's copies, in words: an alarm while they were found to differ.

Differences are named by what the application calls its files: no word of it may be obeyed by a terminal.
"""

from manager.cli.harmless import harmless
from manager.cli.progress import bytes_words
from manager.model.api import ModuleView
from manager.model.reports import Difference
from manager.model.verify_record import OPERATOR, Compared, Differing, Unfinished

_NAMED = 2
"""Of the examples, in a line."""


def alarm_lines(module: ModuleView) -> list[str]:
    """That the copies differ; each display says it until they were found equal."""
    if module.verify is None or module.verify.alarm is None:
        return []
    alarm = module.verify.alarm
    named = ", ".join(_example(each) for each in alarm.examples[:_NAMED])
    more = ", ..." if named and alarm.total > min(len(alarm.examples), _NAMED) else ""
    return [f"{module.name}: the copies differ: {_differing(alarm)}{': ' if named else ''}{named}{more}"]


def remedy_of_alarm(module: ModuleView) -> str:
    """What to do about it; empty: there is nothing to do."""
    if not alarm_lines(module):
        return ""
    name = module.name
    where = f"on the primary, {module.primary}," if module.primary else "on the primary"
    swap = f"mirrorfarm swap {name} --node {module.primary}" if module.primary else f"mirrorfarm swap {name}"
    return (
        f"Find out which copy is wrong: mirrorfarm verify {name} {where} names what differs; what it means is in "
        f"docs/operations.md. If it is the other node's: mirrorfarm verify {name} --repair, there too, makes it "
        f"equal to the primary's while the application runs. If it is the primary's: first {swap}, then the same on "
        "the node that is the primary by then. The alarm ends when a comparison of everything finds no difference."
    )


def comparison_lines(module: ModuleView) -> list[str]:
    """When the copies were compared, and how far a comparison of the schedule is; none: they never were."""
    record = module.verify
    if record is None:
        return []
    lines = [f"{module.name}: {_compared(record.last)}"] if record.last is not None else []
    if record.unfinished is not None:
        lines.append(f"{module.name}: {_unfinished(record.unfinished)}")
    return lines


def _differing(alarm: Differing) -> str:
    return f"{count_words(alarm.total)} found on {alarm.at} by {alarm.node}"


def _compared(last: Compared) -> str:
    result = "equal" if not last.differences else count_words(last.differences)
    who = "an operator on" if last.by == OPERATOR else "the schedule on"
    parts = f", in {last.parts} parts since {last.began_at}" if last.parts > 1 else ""
    size = f"{last.entries:,} entries, {bytes_words(last.bytes)}"
    return f"compared until {last.ended_at} by {who} {last.node}: {result} ({size}{parts})"


def _unfinished(it: Unfinished) -> str:
    found = f", {count_words(it.differences)}" if it.differences else ""
    size = f"{it.entries:,} entries, {bytes_words(it.bytes)}{found}"
    if it.stopped:
        return f"compared since {it.began_at}, not all of it yet ({size}); stopped on {it.node}: {it.stopped}"
    return f"compared since {it.began_at}, not all of it yet ({size}, on {it.node} at {it.noted_at})"


def _example(difference: Difference) -> str:
    return f"{harmless(difference.path)} ({harmless(difference.what)})"


def count_words(count: int) -> str:
    """How many differences."""
    return "1 difference" if count == 1 else f"{count:,} differences"
