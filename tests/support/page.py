"""A page with commands, as its reader types them: on which machine, and what each is said to answer. Pure.

A block of the page is fenced, and says what it is in its first line:

    ```console
    root@alpha:~# command          typed on the machine alpha, in root's home
    what it answers                line by line; ``...`` stands for what differs, and as a line of its own for any lines
    ```

    ```hand
    What is done by hand, as a whole line.
    ```

A command goes on in the next line after a ``\\``, and with ``<<'END'`` until the line ``END``: without the shell's own
prompts, so that it can be copied. Nothing else may be in a fence, since it would look like something to be typed and
nobody would run it. It does not know what the commands do.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PROMPT = re.compile(r"root@([a-z]+):~# (.+)")
_HERE_DOCUMENT = re.compile(r"<<'([A-Z]+)'")
_WRITES = re.compile(r"cat > (\S+) <<'([A-Z]+)'\n(.*)^\2\n?\Z", re.DOTALL | re.MULTILINE)
_ALONE = re.compile(r"(cd|export|set|source|\.|alias|umask)\b(?!.*&&)")
"""What is forgotten before the next command, where each has a shell of its own."""
_FENCE = "```"
_ANY = "..."


class PageError(Exception):
    """The page is not written as it has to be."""


@dataclass(frozen=True, slots=True)
class Command:
    """Typed on a machine."""

    line: int
    """Of the page, from 1."""
    machine: str
    text: str
    """With all its lines."""
    answer: tuple[str, ...]
    """What the page shows of it; none: nothing is said about it."""

    @property
    def written(self) -> tuple[str, str] | None:
        """The file that it writes, and with what, where it is nothing but that; the path may begin in root's home."""
        found = _WRITES.fullmatch(self.text)
        return (found[1], found[3]) if found else None


@dataclass(frozen=True, slots=True)
class ByHand:
    """Done by the reader's hands."""

    line: int
    words: str


Step = Command | ByHand


def steps_of(text: str) -> tuple[Step, ...]:
    """What there is to do, in the page's order.

    Raises:
        PageError: with the number of the line.
    """
    steps: list[Step] = []
    for number, info, lines in _blocks(text):
        if info == "console":
            steps += _commands(number, lines)
        elif info == "hand":
            steps += [ByHand(number + at, line) for at, line in enumerate(lines)]
        else:
            raise PageError(f"line {number - 1}: a block {info!r}; allowed: console, hand")
    return tuple(steps)


def difference(answer: tuple[str, ...], said: str) -> str:
    """How ``said`` is not what the page shows; empty: it is. How wide a gap is, and an empty end, are no difference."""
    lines = [_one_gap(line) for line in said.rstrip().splitlines()]
    whole = "".join(f"{line}\n" for line in lines)
    patterns = [_pattern(_one_gap(line)) for line in answer]
    if re.fullmatch("".join(patterns), whole):
        return ""
    good = max(n for n in range(len(patterns) + 1) if re.match("".join(patterns[:n]), whole))
    missing = (
        f"the page's line {answer[good]!r} was not"
        if good < len(answer)
        else "nothing more is shown on the page, and more was"
    )
    return f"{missing} said in:\n{said}"


def _blocks(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """The number of each block's first line, its info, and its lines."""
    info: str | None = None
    begun, lines = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(_FENCE):
            if info is None:
                info, begun, lines = line.removeprefix(_FENCE).strip(), number + 1, []
            else:
                yield begun, info, lines
                info = None
        elif info is not None:
            lines.append(line)
        elif line.startswith("    "):
            raise PageError(f"line {number}: a block by its indentation, which nobody would run; allowed: a fence")
    if info is not None:
        raise PageError(f"line {begun - 1}: a block without an end")


def _commands(number: int, lines: list[str]) -> Iterator[Command]:
    at = 0
    while at < len(lines):
        found = _PROMPT.fullmatch(lines[at])
        if found is None:
            raise PageError(f"line {number + at}: no prompt as in 'root@alpha:~# command'")
        begun, typed = number + at, [found[2]]
        if _ALONE.match(found[2]):
            raise PageError(f"line {begun}: {found[2]!r} would be forgotten before the next command")
        at += 1
        at += _continue(typed, lines[at:], begun)
        answer: list[str] = []
        while at < len(lines) and not _PROMPT.fullmatch(lines[at]):
            answer.append(lines[at])
            at += 1
        yield Command(begun, found[1], "\n".join(typed), tuple(answer))


def _continue(typed: list[str], rest: list[str], begun: int) -> int:
    """Take what belongs to the command whose first line was ``typed``; how many lines of ``rest`` that is."""
    taken = 0
    while typed[-1].endswith("\\"):
        if taken == len(rest):
            raise PageError(f"line {begun}: a command without an end")
        typed.append(rest[taken])
        taken += 1
    end = _HERE_DOCUMENT.search(typed[-1])
    while end is not None and typed[-1] != end[1]:
        if taken == len(rest):
            raise PageError(f"line {begun}: no line {end[1]}")
        typed.append(rest[taken])
        taken += 1
    return taken


def _one_gap(line: str) -> str:
    return re.sub(r"\s+", " ", line).strip()


def _pattern(line: str) -> str:
    if line == _ANY:
        return r"(?:[^\n]*\n)*?"
    return r"[^\n]*?".join(map(re.escape, line.split(_ANY))) + r"\n"
