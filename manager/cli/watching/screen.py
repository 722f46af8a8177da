"""A screen of whatever size, made of what was seen: all of it where there is room, else what matters most.

What is not shown is counted in the last line. It is drawn anew for each size, and keeps nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text

from manager.cli.watching.parts import (
    ALARM,
    EVENT,
    LINE,
    ROW,
    Kind,
    Part,
    Rank,
    alarm_section,
    event_section,
    head_lines,
    node_section,
    progress_section,
    rate_section,
    rest_section,
)
from manager.cli.watching.rows import module_sections
from manager.cli.watching.seen import Seen

LEAST_LINES = 4
"""Without so many there is no last line."""
_EVENTS_WITH_AIR, _EVENTS = 5, 3
"""So many events there shall be, before there are empty lines, or whole sentences for what is well."""

Lines = list[list[Segment]]


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A part as it would be on the screen."""

    part: Part
    section: int
    full: Lines
    brief: Lines


@dataclass(frozen=True, slots=True)
class _Fit:
    """What there is room for."""

    taken: dict[int, Lines]
    """Number of a part to its lines."""
    hidden: tuple[Part, ...]
    shortened: int

    @property
    def is_whole(self) -> bool:
        """All is there but for events."""
        return not self.shortened and all(part.kind is EVENT for part in self.hidden)


class Screen:
    """Renders ``seen`` to the terminal's size."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Its lines."""
        width, height = options.max_width, options.height or console.height
        lines = _screen_lines(self._seen, console, options.update(width=width, height=None), height)
        for number, line in enumerate(lines):
            yield from [Segment.line()] if number else []
            yield from line


def _screen_lines(seen: Seen, console: Console, options: ConsoleOptions, height: int) -> Lines:
    def draw(renderable: RenderableType) -> Lines:
        return console.render_lines(renderable, options, pad=False)

    sections = [
        alarm_section(seen),
        *module_sections(seen.now, options.max_width),
        progress_section(seen),
        rest_section(seen),
        node_section(seen),
        rate_section(seen),
        event_section(seen),
    ]
    titles = [draw(section.title) if section.title is not None else [] for section in sections]

    def drawn_of(part: Part, number: int) -> _Drawn:
        full = draw(part.full)
        return _Drawn(part, number, full, _first_line(full if part.brief is None else draw(part.brief)))

    drawn = [drawn_of(part, number) for number, section in enumerate(sections) for part in section.parts]
    head = [line for text in head_lines(seen) for line in draw(text)]
    has_foot = height >= LEAST_LINES
    room = height - len(head) - has_foot
    fit, has_air = _fitted(drawn, titles, room)
    body: Lines = []
    for number, title in enumerate(titles):
        lines = [line for i, d in enumerate(drawn) if d.section == number for line in fit.taken.get(i, [])]
        if lines:
            body += [[]] if has_air else []
            body += [*title, *lines]
    lines = [*head, *body][: height - has_foot]
    lines += [[] for _ in range(height - has_foot - len(lines))]
    return [*lines, *draw(_foot(fit))[:1]] if has_foot else lines


def _first_line(lines: Lines) -> Lines:
    """One line, which says whether there are more."""
    return lines if len(lines) <= 1 else [[*_cut(lines[0]), Segment(" ...")]]


def _cut(line: Sequence[Segment]) -> list[Segment]:
    """``line`` without the room that four characters take at its end."""
    return list(Segment.adjust_line_length(list(line), max(0, Segment.get_line_length(list(line)) - 4), pad=False))


def _fitted(drawn: Sequence[_Drawn], titles: Sequence[Lines], room: int) -> tuple[_Fit, bool]:
    """What there is room for, and whether there is some for empty lines, too."""
    events = sum(d.part.kind is EVENT for d in drawn)
    for has_air, least in ((True, _EVENTS_WITH_AIR), (False, _EVENTS)):
        fit = _fit(drawn, titles, room, air=int(has_air), is_brief=False)
        shown = events - sum(part.kind is EVENT for part in fit.hidden)
        if fit.is_whole and shown >= min(least, events):
            return fit, has_air
    return _fit(drawn, titles, room, air=0, is_brief=True), False


def _fit(drawn: Sequence[_Drawn], titles: Sequence[Lines], room: int, *, air: int, is_brief: bool) -> _Fit:
    taken: dict[int, Lines] = {}
    hidden: list[Part] = []
    opened: set[int] = set()
    shortened = 0
    for number in sorted(range(len(drawn)), key=lambda i: drawn[i].part.rank):
        one = drawn[number]
        cost = 0 if one.section in opened else len(titles[one.section]) + air
        wants_brief = is_brief and one.part.rank is Rank.WELL
        sizes = [one.brief] if wants_brief else [one.full, one.brief]
        lines = next((size for size in sizes if cost + len(size) <= room), None)
        if lines is None:
            hidden.append(one.part)
            continue
        taken[number] = lines
        shortened += lines is not one.full and lines != one.full
        opened.add(one.section)
        room -= cost + len(lines)
    return _Fit(taken, tuple(hidden), shortened)


def _foot(fit: _Fit) -> Text:
    """How to end it, and how much is not shown."""
    told = [_counted(kind, fit.hidden) for kind in (ALARM, ROW, LINE, EVENT)]
    told = [*filter(None, told), *([f"the rest of {fit.shortened} cut short"] if fit.shortened else [])]
    lacks = any(part.kind is ALARM or part.rank < Rank.WELL for part in fit.hidden)
    foot = Text("q ends it", no_wrap=True, overflow="ellipsis")
    return foot.append(f"; no room for {', '.join(told)}", "bold red" if lacks else "") if told else foot


def _counted(kind: Kind, hidden: Sequence[Part]) -> str:
    same = [part for part in hidden if part.kind is kind]
    if not same:
        return ""
    ill = sum(part.rank < Rank.WELL for part in same)
    return f"{kind.words(len(same))}{f' ({ill} not well)' if kind is ROW and ill else ''}"
