"""Services of the system: whether they exist, their command lines, and that they do not start at boot.

With systemd as PID 1, a service's processes are systemd's children, not ours. So each unit is put into the module's
slice (a drop-in under ``/run``), whose cgroup holds all of them and can be killed as one.

Which units a service consists of may be found by a generator (systemd.generator(7)) in the application's own
configuration, as PostgreSQL's are, and that may be mirrored: it is the other node's until this one takes over.
"""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import Protocol

from agent.adapters import tools
from agent.adapters.cgroups import Cgroup, unified_mount
from manager.model.errors import ConfigError, DefiniteFailure, IndefiniteFailure

SYSTEM_SECONDS = 20.0
"""For what asks or tells the system, without starting anything."""
TRIES = 3
AGAIN_S = 1.0
"""Between two of them, of what systemd is asked."""
SYSTEMD_RUNS = "/run/systemd/system"
"""There when systemd is PID 1 (sd_booted(3))."""
_INIT_SCRIPTS = "/etc/init.d"
DROP_IN = "zz-mirrorfarm.conf"
"""Of a unit's drop-ins the one with the last name counts: after ``override.conf``, as ``systemctl edit`` names it."""


class ServiceManager(Protocol):
    """What starts and stops services here."""

    async def prepare(self, names: Sequence[str]) -> None:
        """See that all exist, belong to the module, and do not start at boot.

        Raises:
            ConfigError: one does not exist.
            DefiniteFailure, IndefiniteFailure: the system refused, or did not answer.
        """

    async def look_again(self, names: Sequence[str]) -> None:
        """Before a start: see to what they consist of now, which may be another than when they were prepared.

        Raises:
            As :meth:`prepare`.
        """

    def command(self, name: str, action: str) -> tuple[str, ...]:
        """The command line for ``action`` (``start`` or ``stop``); it returns when that is done."""

    def home(self) -> Cgroup | None:
        """The cgroup that has the services' processes; ``None``: the one in which the command ran."""


def service_manager(module: str) -> "SysvServices | SystemdServices":
    """The one for this machine."""
    return SystemdServices(module) if os.path.isdir(SYSTEMD_RUNS) else SysvServices()


class SysvServices:
    """Init scripts, through service(8)."""

    def __init__(self, init_scripts: str = _INIT_SCRIPTS) -> None:
        """``init_scripts``: the directory that has them."""
        self._init_scripts = init_scripts

    async def prepare(self, names: Sequence[str]) -> None:
        """See :class:`ServiceManager`."""
        for name in names:
            script = os.path.join(self._init_scripts, name)
            if "/" in name or not os.access(script, os.X_OK):
                raise ConfigError(f"services: found {name}; allowed: a service of this node: no {script} to run")
        for name in names:
            ran = await tools.run(("update-rc.d", name, "disable"), SYSTEM_SECONDS)
            if ran.exit_code != 0:
                raise DefiniteFailure(f"switching off the start of {name} at boot: {ran.output}")

    async def look_again(self, names: Sequence[str]) -> None:
        """See :class:`ServiceManager`: an init script itself finds what it starts."""

    def command(self, name: str, action: str) -> tuple[str, ...]:
        """See :class:`ServiceManager`."""
        return ("/usr/sbin/service", name, action)

    def home(self) -> Cgroup | None:
        """See :class:`ServiceManager`."""
        return None


class SystemdServices:
    """Units of systemd, in the module's slice."""

    def __init__(self, module: str, drop_ins: str = SYSTEMD_RUNS) -> None:
        """``drop_ins``: the directory of units that live until the next boot."""
        self._module = module
        self._drop_ins = drop_ins

    @property
    def slice(self) -> str:
        """The module's slice; ``-`` would nest it, so that is escaped (systemd.unit(5))."""
        return f"mirrorfarm-{self._module.replace('-', chr(92) + 'x2d')}.slice"

    async def prepare(self, names: Sequence[str]) -> None:
        """See :class:`ServiceManager`."""
        await self.look_again(names)
        await self._systemctl("disable", "--quiet", "--", *map(unit_name, names))

    async def look_again(self, names: Sequence[str]) -> None:
        """See :class:`ServiceManager`."""
        # Generators run now. What they have found is in the slice only after a second time, if it was not there before.
        await self._systemctl("daemon-reload")
        units: list[str] = []
        for name in names:
            unit = unit_name(name)
            shown = await self._systemctl("show", "-p", "LoadState,ConsistsOf", "--", unit)
            properties = parse_properties(shown)
            if properties.get("LoadState") != "loaded":
                state = properties.get("LoadState", "nothing")
                raise ConfigError(f"services: found {name} ({state}); allowed: a service of this node")
            units += [unit, *(u for u in properties.get("ConsistsOf", "").split() if u.endswith(".service"))]
        if any([self._put_in_slice(unit) for unit in dict.fromkeys(units)]):
            await self._systemctl("daemon-reload")

    def command(self, name: str, action: str) -> tuple[str, ...]:
        """See :class:`ServiceManager`."""
        return ("/usr/bin/systemctl", action, "--", unit_name(name))

    def home(self) -> Cgroup | None:
        """See :class:`ServiceManager`; it is there while something runs in it."""
        return Cgroup(os.path.join(unified_mount(), "mirrorfarm.slice", self.slice))

    def _put_in_slice(self, unit: str) -> bool:
        """Whether that is news to systemd."""
        directory = os.path.join(self._drop_ins, f"{unit}.d")
        # What was killed at the deadline must not be started again by another than us.
        text = f"[Service]\nSlice={self.slice}\nRestart=no\n"
        try:
            os.makedirs(directory, exist_ok=True)
            with open(os.path.join(directory, DROP_IN), "a+", encoding="utf-8") as file:
                file.seek(0)
                if file.read() == text:
                    return False
                file.truncate(0)
                file.write(text)
        except OSError as error:
            raise DefiniteFailure(f"putting {unit} into {self.slice}: {error}") from None
        return True

    async def _systemctl(self, *arguments: str) -> str:
        """What it says; asked again if it fails: systemd may be busy, or executed anew as by an upgrade of its own.

        A failure would count as the application's, which is not started again before an operator says so.
        """
        for _ in range(TRIES - 1):
            with contextlib.suppress(DefiniteFailure, IndefiniteFailure):
                return await self._asked(*arguments)
            await asyncio.sleep(AGAIN_S)
        return await self._asked(*arguments)

    async def _asked(self, *arguments: str) -> str:
        ran = await tools.run(("systemctl", "--no-pager", *arguments), SYSTEM_SECONDS)
        if ran.exit_code != 0:
            raise DefiniteFailure(f"systemctl {' '.join(arguments)}: {ran.output}")
        return ran.output


def unit_name(name: str) -> str:
    """A service's unit."""
    return name if name.endswith(".service") else f"{name}.service"


def parse_properties(text: str) -> dict[str, str]:
    """What ``systemctl show`` prints."""
    return {key: value for key, found, value in (line.partition("=") for line in text.splitlines()) if found}
