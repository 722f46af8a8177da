"""``ssh`` and ``scp``, typed on a machine of a lab: no ``sshd`` runs there, and the lab does the same."""

import shlex
from collections.abc import Mapping

from manager.lab.machine import RunningMachine


def typed(line: str, here: RunningMachine, machines: Mapping[str, RunningMachine]) -> str:
    """What it says, typed on ``here`` by root, who may log in everywhere.

    Args:
        line: ``ssh root@PLACE COMMAND`` or ``scp -p FILES root@PLACE:DIRECTORY/``.
        here: where it is typed.
        machines: by each PLACE that may stand there.
    """
    command, *words = shlex.split(line)
    if command == "ssh":
        return machines[words[0].removeprefix("root@")].run(["sh", "-c", " ".join(words[1:])])
    assert (command, words[0]) == ("scp", "-p"), line
    target, directory = words[-1].removeprefix("root@").rsplit(":", 1)
    for source in here.run(["bash", "-c", f"ls {' '.join(words[1:-1])}"]).split():
        copy(here, source, machines[target], f"{directory}{source.rpartition('/')[2]}")
    return ""


def copy(here: RunningMachine, source: str, there: RunningMachine, target: str) -> None:
    """As ``scp -p``, of any bytes."""
    mode = here.run(["stat", "-c", "%a", source]).strip()
    content = here.run(["base64", source])
    there.run(["sh", "-c", f"umask 077; base64 -d > {target}; chmod {mode} {target}"], stdin=content)
