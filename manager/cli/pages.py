"""What a shell and ``man`` know of ``mirrorfarm``: made from the command line's own declarations, when it is installed.

``python -m manager.cli.pages DIR`` writes them below DIR, as below ``/usr/local/share``. It does not know where they go
from there. What it needs beside the command line is in the extra ``install``: nothing else loads it.
"""

import argparse
import sys
from pathlib import Path

import shtab
from argparse_manpage.manpage import Manpage

import manager
from manager.cli.main import build_parser

MANUAL = "man/man1/mirrorfarm.1"
BASH = "bash-completion/completions/mirrorfarm"
ZSH = "zsh/site-functions/_mirrorfarm"
_PURPOSE = "steer mirrors and farms of Mirrorfarm"


def pages(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Path below a ``share`` directory to text, for the whole of ``parser``."""
    return {
        MANUAL: manual(parser),
        BASH: shtab.complete(parser, "bash"),
        ZSH: shtab.complete(parser, "zsh"),
    }


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
    for name, text in pages(build_parser(with_lab=True)).items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
