"""An operator in a lab: ``mirrorfarm`` on a node, and what came of it."""

import subprocess
from dataclasses import dataclass

from manager.lab.machine import RunningMachine


@dataclass(frozen=True)
class Told:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def ask(node: RunningMachine, *words: str) -> Told:
    """``mirrorfarm`` with these words, whatever comes of it; nobody is there to be asked, and never a traceback."""
    ran = subprocess.run(
        node.command(["mirrorfarm", *words]), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return Told(ran.returncode, ran.stdout, ran.stderr)


def done(node: RunningMachine, *words: str) -> str:
    """As :func:`ask`, which has to go well; what it printed."""
    told = ask(node, *words)
    assert told.code == 0, told
    return told.out
