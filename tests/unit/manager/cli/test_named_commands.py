"""Every command that an operator is told to type is one that there is."""

import itertools
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


@pytest.mark.parametrize("page", ["operations.md", "SECURITY.md"])
def test_of_the_pages_for_operators(page: str) -> None:
    text = (_ROOT / "docs" / page).read_text()
    assert len(commands_in(text)) > 5
    assert not wrong_commands(text, mentioned=True)
