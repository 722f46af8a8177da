"""What a broken variant of the shell is, and how a rule is taken away from the code that is shipped.

A *cut* puts other words in the place of some of a function's, and has the function itself run by what is compiled of
them: whoever has it, by whatever name, has the broken one. All the rest is as it is shipped.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Cut:
    """One function, some of its words replaced."""

    function: Any
    """A function, method or property."""
    old: str
    """What stands there exactly once."""
    new: str

    @property
    def module(self) -> str:
        """Where the function is."""
        return str(_plain(self.function).__module__)


@dataclass(frozen=True, slots=True)
class Variant:
    """One rule taken away."""

    name: str
    """A rule's number first: ``s1-...``; ``r-...`` of the resync."""
    what: str
    cuts: tuple[Cut, ...]
    """None where nothing but an integration test can notice it."""
    noticed_by: str
    """The test that fails then: its file below ``tests``, and its name."""
    redundant: str = ""
    """Why nothing follows from it; ``noticed_by`` is then what would have to fail."""

    @property
    def file(self) -> Path:
        """Of the test."""
        return ROOT / "tests" / self.noticed_by.split("::")[0]

    @property
    def test(self) -> str:
        """The test's name."""
        return self.noticed_by.split("::")[1]


@contextmanager
def broken(cuts: Sequence[Cut]) -> Iterator[None]:
    """A context in which the functions are as they are cut. Raises LookupError where a cut does not fit any more."""
    functions = {_plain(cut.function): [each for each in cuts if each.function is cut.function] for cut in cuts}
    shipped = {function: function.__code__ for function in functions}
    others = {function: _compiled(function, its_cuts) for function, its_cuts in functions.items()}
    try:
        for function, code in others.items():
            function.__code__ = code
        yield
    finally:
        for function, code in shipped.items():
            function.__code__ = code


def _plain(function: Any) -> Any:
    return inspect.unwrap(getattr(function, "fget", function))


def _compiled(function: Callable[..., Any], cuts: Sequence[Cut]) -> CodeType:
    lines, first = inspect.getsourcelines(function)
    source = textwrap.dedent("".join(lines))
    for cut in cuts:
        if source.count(cut.old) != 1:
            raise LookupError(f"not once in {function.__qualname__}: {cut.old}")
        source = source.replace(cut.old, cut.new)
    module = compile("\n" * (first - 1) + source, inspect.getfile(function), "exec", dont_inherit=True)
    (code,) = (each for each in module.co_consts if isinstance(each, CodeType) and each.co_name == function.__name__)
    return code
