"""A process in a replicator's place: takes the agent's connection, greets, and does as its spec's module name says.

It is the program that the adapter's tests start, not a stand-in for the replicator in anything else.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from manager.model.codec import decode
from manager.model.control import Command, Event, Hello, Idled, Quit, Sync, Synced
from manager.model.replicator_spec import ReplicatorSpec
from replicator.control_server import ControlServer


async def run(spec: ReplicatorSpec) -> None:
    """Answer Sync; end on Quit, unless the module is called deaf."""
    end = asyncio.Event()

    def on_command(command: Command) -> None:
        if isinstance(command, Sync):
            server.send(Synced())
        elif isinstance(command, Quit) and spec.module != "deaf":
            server.send(Idled())
            end.set()

    def greet() -> list[Event]:
        return [Hello(os.getpid(), "i", 7, "primary" if spec.module == "serving" else "idle", 0, None)]

    server = ControlServer(greet, on_command)
    await server.listen(spec.control_socket)
    await end.wait()
    server.close()


def main() -> int:
    """As replicator.main: ``--spec FILE``."""
    spec = decode(ReplicatorSpec, Path(sys.argv[2]).read_text())
    if spec.module == "broken":
        sys.stderr.write("its directory is not there\n")
        return 3
    if spec.module == "mute":
        signal.pause()
    asyncio.run(run(spec))
    return 0


if __name__ == "__main__":
    sys.exit(main())
