"""Runs commands of the host's system, each with a deadline; what goes wrong becomes one sentence."""

import subprocess
from collections.abc import Sequence

from manager.lab.errors import LabError
from manager.lab.host import PATH

SECONDS = 20.0
_ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8"}


def run(argv: Sequence[str], *, stdin: str = "", seconds: float = SECONDS) -> str:
    """The output of ``argv``.

    Raises:
        LabError: it failed, or did not end in time; with its last words.
    """
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, errors="replace", timeout=seconds, env=_ENVIRONMENT,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise LabError(f"{_named(argv)} did not end within {seconds:g} s") from None
    except OSError as error:
        raise LabError(f"{_named(argv)}: {error}") from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise LabError(f"{_named(argv)} failed ({done.returncode}): {' | '.join(words)}")
    return done.stdout


def _named(argv: Sequence[str]) -> str:
    return " ".join(argv[:12])
