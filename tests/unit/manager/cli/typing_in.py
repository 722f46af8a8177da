"""An operator at the command line: what he types, what he is asked and answers, and what he is told."""

import io
from typing import Any

from manager.cli.main import build_parser, run
from manager.cli.seat import Seat, make_console

CTRL_C = "\x03"
"""An answer that is none."""
LATIN_1 = "\N{LATIN SMALL LETTER A WITH DIAERESIS} as latin-1 has it"
"""One that is no text, on a terminal of UTF-8."""


def typed(agent: Any, words: str, *answers: str, config_file: str = "") -> tuple[int, str]:
    """The exit code, and what was said; ``answers`` to the questions in turn: then there is nobody any more.

    ``config_file``: the machine's ``agent.toml``; it may have none.
    """
    said, left = io.StringIO(), list(answers)

    def ask(question: str) -> str:
        said.write(question)
        if not left:
            raise EOFError
        answer = left.pop(0)
        if answer == CTRL_C:
            raise KeyboardInterrupt
        return answer.encode("latin-1").decode() if answer == LATIN_1 else answer

    console = make_console(said)
    seat = Seat(agent, console, console, config_file, ask, ask)
    return run(build_parser(with_lab=False).parse_args(words.split()), seat), said.getvalue()
