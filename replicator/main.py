"""``mirrorfarm-replicator --spec FILE``: one module's replicator, started by its agent.

Puts the parts together. Exit codes: 0 after Quit or SIGTERM, 2 for a bad call or spec, 3 when a directory cannot be
replicated or the control socket or the stream's port cannot be had, 70 when an invariant was broken.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

import uvloop

from manager.capabilities import keep_only
from manager.logs.levels import Levels
from manager.logs.pipeline import configure, syslog_tees, to_standard_error
from manager.model.codec import DecodeError, decode
from manager.model.log_words import LogLevel
from manager.model.replicator_spec import ReplicatorSpec
from replicator import process
from replicator.disk import linux
from replicator.disk.inodes import DEFAULT_MAX_OPEN
from replicator.disk.limits import UnfitDirectory
from replicator.disk.volume import Volume
from replicator.fuse import mounting
from replicator.join_receiver import JoinReceiver
from replicator.occupied import why_occupied
from replicator.rights import needed
from replicator.runtime import Runtime
from replicator.verifier_factory import begin_verification

PROGRAM: Final = "mirrorfarm-replicator"
"""As the syslog has it."""
EXIT_USAGE: Final = 2
EXIT_UNFIT: Final = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="mirrorfarm-replicator", description="Started by mirrorfarm-agent.")
    parser.add_argument("--spec", required=True, help="file with what to replicate (JSON)")
    path = parser.parse_args(arguments).spec
    log, _ = begin_log()
    try:
        with open(path, encoding="utf-8") as file:
            spec = decode(ReplicatorSpec, file.read())
    except (OSError, DecodeError) as error:
        log.error("spec.refused", path=path, error=str(error))
        return EXIT_USAGE
    refused = keep_only(needed(spec))
    log, levels = begin_log(spec)
    linux.set_process_name(f"mf-{spec.module}")
    refused += process.protect()
    if refused:
        log.warning("protection.refused", what=refused)
    try:
        volumes = _open_volumes(spec)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(spec, volumes, log, levels))
    except (UnfitDirectory, OSError) as error:
        log.error("replicator.refused", error=str(error))
        return EXIT_UNFIT
    for volume in volumes:
        volume.close()
    return 0


def _open_volumes(spec: ReplicatorSpec) -> list[Volume]:
    """Raises UnfitDirectory, OSError."""
    most = process.raise_files(len(spec.directories), DEFAULT_MAX_OPEN)
    for path in spec.directories:
        mounting.clear(path)
    volumes = [Volume.open(path, index, most) for index, path in enumerate(spec.directories)]
    occupied = why_occupied(spec.directories)
    if occupied:
        raise UnfitDirectory(occupied)
    return volumes


async def _run(spec: ReplicatorSpec, volumes: Sequence[Volume], log: Any, levels: Levels) -> None:
    loop = asyncio.get_running_loop()
    runtime = Runtime(loop, spec, volumes, log, levels, begin_verification, JoinReceiver)
    loop.add_signal_handler(signal.SIGTERM, runtime.quit)
    await runtime.run()


def begin_log(spec: ReplicatorSpec | None = None) -> tuple[Any, Levels]:
    """The log, one JSON object a line on standard error, which its agent sends to the log file; and its levels.

    Of a ``spec`` also where else it wants it.
    """
    levels = Levels(LogLevel.INFO if spec is None else spec.log_level)
    tees = [] if spec is None else syslog_tees(spec.log_to, spec.syslog_socket, PROGRAM, spec.node, to_standard_error)
    log = configure(levels, to_standard_error, tees).bind(pid=os.getpid())
    return log if spec is None else log.bind(module=spec.module), levels


if __name__ == "__main__":
    sys.exit(main())
