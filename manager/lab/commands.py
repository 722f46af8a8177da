"""Runs commands of the host's system, each with a deadline; what goes wrong becomes one sentence."""

import shlex
import subprocess
import tempfile
from collections.abc import Sequence

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from manager.lab.errors import LabError
from manager.lab.host import PATH

SECONDS = 20.0
_ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8"}


def run(argv: Sequence[str], *, stdin: str = "", seconds: float = SECONDS, named: str = "") -> str:
    """The output of ``argv``, as soon as it has ended: what it leaves running in the background is not waited for.

    Args:
        argv: the command line.
        stdin: its input.
        seconds: how long it may take.
        named: what it is called when something goes wrong; empty: by its command line.

    Raises:
        LabError: it failed, or did not end in time; with its last words.
    """
    named = named or shlex.join(argv)
    # Files, since the end of a pipe comes only when every daemon that inherited it has ended.
    with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+", errors="replace") as err:
        try:
            done = subprocess.run(
                argv, input=stdin, stdout=out, stderr=err, text=True, timeout=seconds, env=_ENVIRONMENT, check=False
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"{named} did not end within {seconds:g} s") from None
        except OSError as error:
            raise LabError(f"{named}: {error}") from None
        out.seek(0)
        err.seek(0)
        said, complaints = out.read(), err.read()
    if done.returncode != 0:
        words = (complaints.strip() or said.strip()).splitlines()[-3:]
        raise LabError(f"{named} failed ({done.returncode}): {' | '.join(words)}")
    return said


def trying(seconds: float, pause_s: float) -> Retrying:
    """Makes a call again until it raises no :class:`LabError`; the last one goes on once ``seconds`` have passed."""
    return Retrying(
        retry=retry_if_exception_type(LabError), stop=stop_after_delay(seconds), wait=wait_fixed(pause_s), reraise=True
    )
