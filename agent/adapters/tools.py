"""Short programs of the system (umount, systemctl …), each with a deadline."""

import asyncio
import os
from dataclasses import dataclass

from manager.model.errors import DefiniteFailure, IndefiniteFailure

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Ran:
    """What a program that ended left."""

    exit_code: int
    """Negative: the signal that ended it."""
    output: str
    """Standard output and error together."""


async def run(argv: tuple[str, ...], seconds: float, given: str = "") -> Ran:
    """Runs ``argv`` to its end, with ``given`` as its standard input; its messages are in the C locale.

    Raises:
        DefiniteFailure: it could not be started.
        IndefiniteFailure: it did not end within ``seconds``; it was sent SIGKILL.
    """
    # A file: instead of a pipe uvloop makes a socket, which a program cannot open by name (/dev/stdin, as nft does).
    stdin = os.memfd_create(argv[0])
    try:
        os.write(stdin, given.encode())
        os.lseek(stdin, 0, os.SEEK_SET)
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": _PATH, "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError as error:
        raise DefiniteFailure(f"{argv[0]}: {error}") from None
    finally:
        os.close(stdin)
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise IndefiniteFailure(f"{' '.join(argv)}: did not end within {seconds:g} s") from None
    assert process.returncode is not None
    return Ran(process.returncode, output.decode(errors="replace").strip())
