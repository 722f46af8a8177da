"""What a program in a lab prints is read line by line, each once, and never a half one."""

from pathlib import Path
from typing import cast

from manager.lab.machine import RunningMachine
from tests.support.told_program import ToldProgram


class Machine:
    """On which nothing is run."""

    def command(self, _: list[str]) -> list[str]:
        return ["true"]


def test_a_line_is_news_once_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "told"
    program = ToldProgram(cast(RunningMachine, Machine()), "none", (), out)
    program.end()
    heard = []
    for text in ("one\ntw", "", "o\nthree\n", "fo"):
        with out.open("a") as file:
            file.write(text)
        heard.append(program.news())
    assert heard == [["one"], [], ["two", "three"], []]
    assert program.lines() == ["one\n", "two\n", "three\n"]
