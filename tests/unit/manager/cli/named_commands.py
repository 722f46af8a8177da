"""The commands that a text names, and whether the command line takes them as they stand there."""

import argparse
import contextlib
import io
import re
import shlex

from manager.cli.main import build_parser

_PARSER = build_parser(with_lab=False)
_BEGINS = re.compile(r"(?<![\w/.-])mirrorfarm (?=[a-z-])")
_ENDS = ',.;:)`"…\n'
_STANDS_FOR = {
    "NODE": "a", "N": "1", "DIR": "/etc/db", "WEIGHT": "1", "MODULE": "db", "IP": "10.0.0.1", "{module}": "db",
    "{node}": "a", "{shows}": "a", "{judges}": "b", "STATE": "SECOND", "FILE": "f",
}  # fmt: skip
_LONGEST = 12


def commands_in(text: str) -> list[list[str]]:
    """The words that follow each ``mirrorfarm``, to the end of what may be a command; what follows is prose."""
    found = []
    for match in _BEGINS.finditer(text):
        words: list[str] = []
        for word in text[match.end() :].replace("\n", " ").split(" ")[:_LONGEST]:
            bare = word.rstrip(_ENDS)
            if bare:
                node = bare == "N" and words[-1:] == ["--node"]
                words.append("a" if node else _STANDS_FOR.get(bare, bare))
            if bare != word or not bare:
                break
        found.append(words)
    return found


def wrong_commands(text: str, *, mentioned: bool = False) -> list[str]:
    """Those of ``commands_in`` that the command line does not take: no part of them, or not an option that follows.

    ``mentioned``: a page may also speak of a command by its name, without what has to follow it.
    """
    wrong = []
    for words in commands_in(text):
        if mentioned and _is_taken([*words, "--help"]):
            continue
        taken = next((n for n in range(len(words), 0, -1) if _is_taken(words[:n])), 0)
        left = words[taken:]
        if not taken or (left and left[0].startswith("-")):
            wrong.append(f"mirrorfarm {' '.join(words)}")
    return wrong


def _is_taken(words: list[str]) -> bool:
    quiet = io.StringIO()
    with contextlib.redirect_stderr(quiet), contextlib.redirect_stdout(quiet):
        try:
            _PARSER.parse_args(shlex.split(" ".join(words).replace("'", "")))
        except SystemExit as end:
            return not end.code
        except (argparse.ArgumentError, ValueError):
            return False
    return True
