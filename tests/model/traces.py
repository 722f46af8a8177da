"""The shortest way to each violation, kept in ``traces/``: a change of the model, or of a rule, shows there."""

from pathlib import Path
from typing import Final

from tests.model.breaking import Broken
from tests.model.search import Result

DIRECTORY: Final = Path(__file__).parent / "traces"


def text_of(broken: Broken, result: Result) -> str:
    """What is kept of one."""
    return f"{broken.rule}: {broken.says}\n{result}\n"


def path_of(name: str) -> Path:
    """Where it is kept."""
    return DIRECTORY / f"{name}.txt"


def kept(name: str) -> str:
    """As it was when it was found last; empty: never."""
    path = path_of(name)
    return path.read_text() if path.exists() else ""


def steps_of(text: str) -> tuple[str, ...]:
    """The steps in a kept trace."""
    return tuple(line[5:] for line in text.splitlines()[2:])
