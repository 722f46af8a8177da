"""The shells' completion and the page of the manual have every command and option there is."""

import argparse
import subprocess
from collections.abc import Iterator

import pytest

from manager.cli.main import build_parser
from manager.cli.pages import BASH, MANUAL, ZSH, pages


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """It, and those of its commands, and of theirs."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from parsers(one)


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages(build_parser(with_lab=True))


def test_nothing_that_can_be_typed_is_missing(made: dict[str, str]) -> None:
    manual = made[MANUAL].replace("\\-", "-")
    for parser in parsers(build_parser(with_lab=True)):
        assert parser.prog in manual
        for word in (word for action in parser._actions for word in action.option_strings):
            # That help is had by --help is said by the usage of each command, as [-h].
            assert word in manual or word == "--help", (parser.prog, word)
            assert word in made[BASH] and word in made[ZSH], (parser.prog, word)


def test_bash_understands_it(made: dict[str, str]) -> None:
    subprocess.run(["bash", "-n"], input=made[BASH], text=True, check=True, timeout=20)


def test_what_a_value_may_be_is_completed(made: dict[str, str]) -> None:
    assert "_boot_pos_0_choices=(on off prev)" in made[BASH]
