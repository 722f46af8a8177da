"""The agent's process: what it takes before it runs, how its signals reach it, and with which exit code it ends."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvloop

from agent.adapters import scripts
from agent.adapters.orphans import adopt_orphans
from agent.runtime.log import LogFile, begin
from agent.runtime.pid_file import PidFile
from agent.runtime.places import Places
from agent.runtime.uncaught import Uncaught
from manager.logs.levels import Levels
from manager.model.config import AgentConfig
from manager.model.errors import ConfigError, MirrorfarmError

if TYPE_CHECKING:
    from agent.runtime.agent import Agent

EXIT_BROKEN = 70
"""EX_SOFTWARE (sysexits.h): an error of its own; init starts it again."""
OOM_SCORE = "-900"

_STOPPING = (signal.SIGTERM, signal.SIGINT)
_SIGNALS = frozenset({*_STOPPING, signal.SIGHUP})


def run(config: AgentConfig, config_file: str) -> int:
    """Run the agent until it is told to stop, or cannot go on; the exit code.

    Raises:
        ConfigError: nothing that starting it again would change.
    """
    places = _make_places(config)
    pid_file = PidFile(places.pid_file)
    _spare_from_oom_killer()
    # A signal that comes before there is somebody to take it waits: the default would end a half-made agent.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid_file.take()
    _remove_stale(places.socket)
    log_file, log, levels = _begin_log(config, places)
    if not adopt_orphans():
        log.warning("orphans.left", meaning="with which status an application's processes end is not known")
    life = _Life(config, os.path.abspath(config_file), places, log_file, log, levels)
    try:
        return outcome(lambda: uvloop.run(life.live()), log)
    finally:
        pid_file.release()


def outcome(live: Callable[[], None], log: Any) -> int:
    """The exit code of what ``live`` lives. The log has why it has ended: with init.d nobody reads standard error.

    Raises:
        ConfigError: nothing that starting it again would change.
    """
    try:
        live()
    except ConfigError as error:
        log.error("agent.refused", error=str(error))
        raise
    except MirrorfarmError as error:
        log.error("agent.ended", error=str(error))
        sys.stderr.write(f"mirrorfarm-agent: {error}\n")
        return EXIT_BROKEN
    except Exception as error:  # the root of the process
        log.critical("agent.broken", what="agent", exc_info=error)
        sys.stderr.write(f"mirrorfarm-agent: {error!r}\n")
        return EXIT_BROKEN
    return 0


@dataclass(frozen=True, slots=True)
class _Life:
    """From the first turn of the loop to the last."""

    config: AgentConfig
    config_file: str
    places: Places
    log_file: LogFile
    log: Any
    levels: Levels

    async def live(self) -> None:
        """Make the agent and run it, until a signal ends either."""
        asyncio.get_running_loop().set_exception_handler(Uncaught(self.log))
        told_to_stop = self._take_signals()
        agent = await self._assembled(told_to_stop)
        if agent is None:
            return
        gc.freeze()
        gc.enable()
        await agent.run(told_to_stop, lambda: _notify("READY=1"))

    def _take_signals(self) -> asyncio.Event:
        """Set by those that end it."""
        loop = asyncio.get_running_loop()
        told_to_stop = asyncio.Event()
        for number in _STOPPING:
            loop.add_signal_handler(number, told_to_stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reopen_log)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return told_to_stop

    async def _assembled(self, told_to_stop: asyncio.Event) -> "Agent | None":
        """``None``: it was told to stop before; it may have to wait for an address of this machine."""
        from agent.runtime.assembly import assemble  # Most of the agent: by now its signals wait, and its log is there.

        coming = assemble(self.config, self.places, self._end_broken, config_file=self.config_file, levels=self.levels)
        assembling = asyncio.create_task(coming)
        stopping = asyncio.create_task(told_to_stop.wait())
        await asyncio.wait({assembling, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not assembling.done():
            assembling.cancel()
            return None
        return assembling.result()

    def _reopen_log(self) -> None:
        try:
            self.log_file.reopen()
        except ConfigError as error:
            self.log.error("log.unopened", error=str(error))

    def _end_broken(self, what: str, error: BaseException) -> None:
        """Nothing is known for sure any more: end, now. The warden and init do the rest."""
        try:
            self.log.critical("agent.broken", what=what, exc_info=error)
        finally:
            os._exit(EXIT_BROKEN)


def _make_places(config: AgentConfig) -> Places:
    for directory, mode in ((config.paths.run, 0o755), (config.paths.state, 0o700), (config.paths.log, 0o750)):
        _make_directory(directory, mode)
    return Places(config.paths, runs_scripts=scripts.executes(config.paths.run))


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


def _begin_log(config: AgentConfig, places: Places) -> tuple[LogFile, Any, Levels]:
    log_file = LogFile(places.agent_log)
    log, levels = begin(log_file, config.log, config.node, console=sys.stderr.isatty())
    if log_file.problem:
        log.error("log.unopened", error=log_file.problem)
    return log_file, log, levels


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
