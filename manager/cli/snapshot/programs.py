"""Programs of the system that only look, each with a deadline: one that hangs is left to itself."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Final

from manager.cli.snapshot.lacking import NotHad

END_S: Final = 1.0
MOST_BYTES: Final = 4 << 20
"""Of what one of them says, that is taken."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def output_of(argv: Sequence[str], seconds: float) -> str:
    """What ``argv`` writes, standard error included, when it ends well.

    Raises:
        NotHad: there is no such program, it ended otherwise, or not within ``seconds``.
    """
    with open(os.memfd_create(argv[0]), "rb") as said:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=said.fileno(),
                stderr=subprocess.STDOUT,
                env={"PATH": _PATH, "LC_ALL": "C"},
                start_new_session=True,
            )
        except FileNotFoundError:
            raise NotHad(f"there is no program {argv[0]}") from None
        except OSError as error:
            raise NotHad(f"{argv[0]}: {error.strerror}") from None
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            raise NotHad(f"{' '.join(argv)} did not end within {seconds:g} s") from None
        text = os.pread(said.fileno(), MOST_BYTES, 0).decode(errors="replace")
    if code:
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
        raise NotHad(f"{' '.join(argv)} ended with {code}: {last.strip()}")
    return text


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # It hangs in the kernel.
        process.wait(END_S)
