"""Every command that an operator is told to type is one that there is."""

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.cli.farm_sentences import farm_sentence
from manager.cli.refused_words import _WORDS
from manager.cli.sentences import SENTENCES, sentence
from manager.model.reasons import Reason
from tests.unit.manager.cli.named_commands import commands_in, wrong_commands

_ROOT = Path(__file__).parents[4]


def test_what_is_no_command_is_found() -> None:
    assert wrong_commands("Run mirrorfarm farm weight and look.") == ["mirrorfarm farm weight and look"]
    assert wrong_commands("mirrorfarm prim db --node b --forced, which") == ["mirrorfarm prim db --node b --forced"]
    assert wrong_commands("mirrorfarm whither db") and not wrong_commands("mirrorfarm why db --node NODE says more.")
    assert commands_in("(mirrorfarm check); /opt/mirrorfarm x") == [["check"]]


@pytest.mark.parametrize("reason", Reason)
def test_of_each_cause(reason: Reason) -> None:
    for told in (sentence(reason, "db", "a"), farm_sentence(reason, "db", "a")):
        assert not wrong_commands(f"{told.says} {told.remedy}")


def test_a_cause_of_each_kind_names_some() -> None:
    assert len(list(itertools.chain(*(commands_in(s.remedy) for s in SENTENCES.values())))) > 40


@pytest.mark.parametrize("kind", _WORDS)
def test_of_each_refused_stream(kind: str) -> None:
    assert not wrong_commands(f"{_WORDS[kind].says} {_WORDS[kind].remedy}")


def _texts(source: str) -> Iterator[str]:
    """The strings of a module, with a name in the place of each value that is put in as a word."""
    tree = ast.parse(source)
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    within = {id(part) for node in joined for part in node.values}
    for one in joined:
        text = ""
        for p in one.values:
            text += str(p.value) if isinstance(p, ast.Constant) else "" if text[-1:].isalnum() else "a"
        yield text
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in within:
            yield node.value


_NO_COMMANDS = frozenset(
    {
        "mirrorfarm command of the agent's own version on this node",
        "mirrorfarm farm weight a a N|a",
        "mirrorfarm a",
        "mirrorfarm --node a does not work here",
    }
)
"""What only looks like one, and what is said of the program itself."""


@pytest.mark.parametrize("part", ["manager", "agent", "replicator"])
def test_of_all_that_is_said_anywhere(part: str) -> None:
    wrong = {
        command
        for path in (_ROOT / part).rglob("*.py")
        if "lab" not in path.parts
        for text in _texts(path.read_text())
        for command in wrong_commands(text, mentioned=True)
    }
    assert wrong <= _NO_COMMANDS


@pytest.mark.parametrize("page", ["operations.md", "SECURITY.md"])
def test_of_the_pages_for_operators(page: str) -> None:
    text = (_ROOT / "docs" / page).read_text()
    assert len(commands_in(text)) > 5
    assert not wrong_commands(text, mentioned=True)
