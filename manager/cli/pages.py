"""What a shell and ``man`` know of ``mirrorfarm``: made from the command line's own declarations, when it is installed.

``python -m manager.cli.pages DIR`` writes them below DIR, as below ``/usr/local/share``. It does not know where they go
from there. What it needs beside the command line is in the extra ``install``: nothing else loads it.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import shtab
from argparse_manpage.manpage import Manpage

import manager
from manager.cli import names
from manager.cli.commands.arguments import name, name_or_none
from manager.cli.main import build_parser

MANUAL = "man/man1/mirrorfarm.1"
BASH = "bash-completion/completions/mirrorfarm"
ZSH = "zsh/site-functions/_mirrorfarm"
_PURPOSE = "steer mirrors and farms of Mirrorfarm"
_NODES = ("node", "asked", "gone")
"""Where a node is named; not by ``--yes``, where the operator is to say which one he means."""

# The interpreter beside the program that is typed; isolated (-I), as nothing of the directory that somebody stands in
# may be run by a key that he presses.
_NAMES = f'python" -I -m {names.__name__}'
_BASH_NAMES = f"""\
_mirrorfarm_names() {{
  local home
  home=$(readlink -f "$(type -P mirrorfarm)" 2>/dev/null)
  compgen -W "$("${{home%/*}}/{_NAMES} "$1" "${{COMP_WORDS[@]}}" 2>/dev/null)" -- "$2"
}}
_mirrorfarm_modules() {{ _mirrorfarm_names modules "$1"; }}
_mirrorfarm_nodes() {{ _mirrorfarm_names nodes "$1"; }}"""
_ZSH_NAMES = f"""\
_mirrorfarm_names() {{
  local -a found
  found=(${{(f)"$("${{commands[mirrorfarm]:A:h}}/{_NAMES} $1 $words 2>/dev/null)"}})
  shift
  compadd "$@" -a found
}}
_mirrorfarm_modules() {{ _mirrorfarm_names modules "$@"; }}
_mirrorfarm_nodes() {{ _mirrorfarm_names nodes "$@"; }}"""


def pages(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Path below a ``share`` directory to text, for the whole of ``parser``."""
    _complete_names(parser)
    return {
        MANUAL: manual(parser),
        BASH: shtab.complete(parser, "bash", preamble=_BASH_NAMES),
        ZSH: shtab.complete(parser, "zsh", preamble=_ZSH_NAMES),
    }


def _complete_names(parser: argparse.ArgumentParser) -> None:
    """Where a module or a node is to be named, the shell asks which there are."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                _complete_names(one)
        elif action.type in (name, name_or_none):
            kind = "modules" if action.dest == "module" else "nodes" if action.dest in _NODES else ""
            if kind:
                # What shtab looks for.
                asking: Any = action
                asking.complete = dict.fromkeys(("bash", "zsh"), f"_mirrorfarm_{kind}")


def manual(parser: argparse.ArgumentParser) -> str:
    """The page of the manual: all commands in one, so that it can be searched."""
    data = {
        "project_name": "Mirrorfarm",
        "version": manager.__version__,
        "manual_title": "Mirrorfarm",
        "description": _PURPOSE,
    }
    return str(Manpage(parser, data, format="single-commands-section"))


def main() -> None:
    """Write them all."""
    top = Path(sys.argv[1])
    for place, text in pages(build_parser(with_lab=True)).items():
        (top / place).parent.mkdir(parents=True, exist_ok=True)
        (top / place).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
