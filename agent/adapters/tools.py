"""Short programs of the system (umount, systemctl …), each with a deadline."""

import asyncio
import contextlib
import os
from dataclasses import dataclass

from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.time_limit import time_limit

END_SECONDS = 1.0
"""How long the end of a killed program is waited for."""
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

    Whatever ends the call ends the program too: it does nothing any more that would come after what is begun next.

    Raises:
        DefiniteFailure: it could not be started.
        IndefiniteFailure: it did not end within ``seconds``; it was sent SIGKILL.
    """
    stdin = _file_with(given, argv[0])
    try:
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
        async with time_limit(seconds):
            output, _ = await process.communicate()
    except TimeoutError:
        await _end(process)
        raise IndefiniteFailure(
            f"{' '.join(argv)}: did not end within {seconds:g} s; whether it has done its work is not known"
        ) from None
    except BaseException:
        await _end(process)
        raise
    assert process.returncode is not None
    return Ran(process.returncode, output.decode(errors="replace").strip())


def _file_with(text: str, name: str) -> int:
    """A descriptor of a file without a place. Raises DefiniteFailure.

    Instead of a pipe uvloop makes a socket, which a program cannot open by name (/dev/stdin, as nft does).
    """
    try:
        file = os.memfd_create(name)
    except OSError as error:
        raise DefiniteFailure(f"{name}: {error}") from None
    try:
        os.write(file, text.encode())
        os.lseek(file, 0, os.SEEK_SET)
    except OSError as error:
        os.close(file)
        raise DefiniteFailure(f"{name}: {error}") from None
    return file


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    # One that hangs in the kernel does not end even then.
    await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=END_SECONDS)
