"""Text of others' making (applications, other nodes, files), without what a terminal would obey.

What a program writes into a log may tell a terminal to erase what stands on it, to name its window, or to type.
"""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment


def harmless(text: str) -> str:
    """``text``, of one line, with the escape in the place of each character that is not to be seen."""
    return text if text.isprintable() else "".join(map(_seen, text))


def harmless_lines(text: str) -> str:
    """As :func:`harmless`, of lines, which stay lines."""
    return "\n".join(map(harmless, text.split("\n")))


def _seen(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()


class Cleaning(RenderHook):
    """Makes harmless whatever a console prints; what the console itself tells the terminal stays."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """See rich."""
        return [_Clean(one) for one in renderables]


class _Clean:
    def __init__(self, inside: ConsoleRenderable) -> None:
        self._inside = inside

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _cleaned(console.render(self._inside, options))


def _cleaned(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        text = segment.text if segment.control else harmless_lines(segment.text)
        yield segment if text == segment.text else Segment(text, segment.style)
