"""``mirrorfarm-agent``: reads this node's configuration, puts the agent together, and ends it on a signal.

SIGTERM and SIGINT end it in order: every module is stopped here, with a hand-over where that can be, and the lease is
revoked. SIGHUP opens the log anew. Whatever it did not expect ends the process at once: its replicators live on until
the lease's deadline, and init starts it again.
"""

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence

import manager
from manager.config_files import AGENT_CONFIG, load_agent_config
from manager.model.config import AgentConfig
from manager.model.errors import ConfigError, MirrorfarmError

OOM_SCORE = "-900"
EXIT_OK = 0
EXIT_BROKEN = 70
"""EX_SOFTWARE (sysexits.h): an error of its own; init starts it again."""
EXIT_CONFIG = 78
"""EX_CONFIG: nothing that starting it again would change."""

_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent; the exit code."""
    parser = argparse.ArgumentParser(prog="mirrorfarm-agent", description="The agent of a Mirrorfarm cluster's node.")
    parser.add_argument("--config", metavar="FILE", default=AGENT_CONFIG, help=f"default: {AGENT_CONFIG}")
    parser.add_argument("--check", action="store_true", help="only say what is wrong with the configuration")
    parser.add_argument("--version", action="version", version=f"mirrorfarm-agent {manager.__version__}")
    args = parser.parse_args(argv)
    try:
        config = load_agent_config(args.config)
        return EXIT_OK if args.check else _run(config, args.config)
    except ConfigError as error:
        sys.stderr.write(f"mirrorfarm-agent: {error}\n")
        return EXIT_CONFIG


def _run(config: AgentConfig, config_file: str) -> int:
    # gRPC would meddle with each fork, and say so on standard error; what is forked here executes another program.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    # Some seven hundred modules are loaded from here on, which nothing ever frees: the collector would go through them
    # again and again, for a fifth of the time until the agent is there.
    gc.disable()
    # Imported here: a check of the configuration must not wait for all of it.
    import uvloop

    from agent.adapters import scripts
    from agent.adapters.orphans import adopt_orphans
    from agent.runtime.log import LogFile, begin
    from agent.runtime.pid_file import PidFile
    from agent.runtime.places import Places

    for directory, mode in ((config.paths.run, 0o755), (config.paths.state, 0o700), (config.paths.log, 0o750)):
        _make_directory(directory, mode)
    places = Places(config.paths, runs_scripts=scripts.executes(config.paths.run))
    pid_file = PidFile(places.pid_file)
    _spare_from_oom_killer()
    # A signal that comes before there is somebody to take it waits: the default would end a half-made agent.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid_file.take()
    _remove_stale(places.socket)
    log_file = LogFile(places.agent_log)
    log, levels = begin(log_file, config.log, config.node, console=sys.stderr.isatty())
    if log_file.problem:
        log.error("log.unopened", error=log_file.problem)
    if not adopt_orphans():
        log.warning("orphans.left", meaning="with which status an application's processes end is not known")

    def on_fatal(what: str, error: BaseException) -> None:
        """Nothing is known for sure any more: end, now. The warden and init do the rest."""
        log.critical("agent.broken", what=what, exc_info=error)
        os._exit(EXIT_BROKEN)

    def reopen() -> None:
        try:
            log_file.reopen()
        except ConfigError as error:
            log.error("log.unopened", error=str(error))

    async def life() -> None:
        from agent.runtime.assembly import assemble

        loop = asyncio.get_running_loop()
        told_to_stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told_to_stop.set)
        loop.add_signal_handler(signal.SIGHUP, reopen)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        # It may have to wait for an address of this machine.
        coming = assemble(config, places, on_fatal, config_file=os.path.abspath(config_file), levels=levels)
        assembling = asyncio.create_task(coming)
        stopping = asyncio.create_task(told_to_stop.wait())
        await asyncio.wait({assembling, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not assembling.done():
            assembling.cancel()
            return
        agent = assembling.result()
        gc.freeze()
        gc.enable()
        await agent.run(told_to_stop, lambda: _notify("READY=1"))

    try:
        uvloop.run(life())
    except ConfigError as error:
        log.error("agent.refused", error=str(error))
        raise
    except MirrorfarmError as error:
        log.error("agent.ended", error=str(error))
        sys.stderr.write(f"mirrorfarm-agent: {error}\n")
        return EXIT_BROKEN
    finally:
        pid_file.release()
    return EXIT_OK


def _make_directory(path: str, mode: int) -> None:
    try:
        os.makedirs(path, mode=mode, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"agent.toml: paths: found {path}: {error}; allowed: directories that can be made") from None


def _spare_from_oom_killer() -> None:
    """Its favour, which what the agent starts does not keep; without the right to ask for it, it goes without."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(OOM_SCORE)


def _remove_stale(path: str) -> None:
    """What is there is a killed agent's, since the pid file is ours: nobody shall take it for a sign of life."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _notify(state: str) -> None:
    """Tell systemd, if it has started this process (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.settimeout(1.0)
        channel.connect(address)
        channel.send(state.encode())


if __name__ == "__main__":
    sys.exit(main())
