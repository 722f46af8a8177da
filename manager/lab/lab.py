"""A lab as a whole: made, found again, steered, taken down. The command line and the tests both use this.

There is one lab of a name at a time (manager.lab.record). Everything in it is below one cgroup, one directory and one
record; :meth:`Lab.down` and :func:`remove_leftovers` need no more than that to leave nothing.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from manager.lab import filling
from manager.lab import host as hosts
from manager.lab.agents import ask_agent
from manager.lab.cgroup import Cgroup, read_process
from manager.lab.commands import trying
from manager.lab.errors import LabError
from manager.lab.etcd import Etcd
from manager.lab.files import AGENT_INIT_SCRIPT
from manager.lab.layout import (
    CLIENT,
    DEFAULT_LEASE_TTL_S,
    Layout,
    Machine,
    make_layout,
)
from manager.lab.machine import RunningMachine, What, launch, loops_below
from manager.lab.record import Record, Records
from manager.lab.states import MachineState, state_of
from manager.lab.switch import Cut, Lost, Switch, write_plan
from manager.model.api import StateArguments

_SWITCH = "switch"
_AGENT_SECONDS = 20.0
_LOOK_S = 0.1


class Lab:
    """A lab that is up."""

    def __init__(self, record: Record, records: Records) -> None:
        """Use :meth:`up` or :meth:`find`."""
        self.record = record
        self.layout: Layout = record.layout
        self._records = records
        self._base = os.path.join(hosts.cgroup_root(), records.label)
        self.switch = Switch(Cgroup(os.path.join(self._base, _SWITCH)))
        self.machines = tuple(self._running(m) for m in self.layout.machines)
        self.etcd = Etcd(tuple(self._running(m) for m in self.layout.etcd_members))

    @classmethod
    def up(
        cls,
        nodes: Sequence[str] = ("a", "b"),
        directory: str = "",
        *,
        ttl_s: float | None = None,
        lease_ttl_s: int = DEFAULT_LEASE_TTL_S,
        agents: bool = True,
        records: Records | None = None,
    ) -> "Lab":
        """Make a lab: machines, network, etcd and, with ``agents``, the agents. A failure leaves nothing.

        Args:
            nodes: their names.
            directory: for the disks and logs; it does not exist, or is empty. Left out: the lab's default.
            ttl_s: after so many seconds the lab is taken down, whatever becomes of whoever made it.
            lease_ttl_s: of the agents' leases.
            agents: whether to start them.
            records: where to write down that it is up.

        Raises:
            LabError: there is a lab already, something is missing, or something did not start.
        """
        records = records or Records()
        layout = make_layout(tuple(nodes), directory or records.default_directory)
        record = Record(
            nodes=tuple(nodes), directory=layout.directory, directory_made=not os.path.exists(layout.directory),
            lease_ttl_s=lease_ttl_s, since_s=time.clock_gettime(time.CLOCK_BOOTTIME),
            by=f"process {os.getpid()} ({' '.join(sys.argv)[:200]})",
        )  # fmt: skip
        records.refuse_if_taken()
        hosts.check(layout.directory)
        records.claim(record)
        lab = cls(record, records)
        try:
            if record.directory_made:
                _make_directory(layout.directory)
            lab._build(agents)
            if ttl_s is not None:
                lab._watch(ttl_s)
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def find(cls, records: Records | None = None) -> "Lab":
        """The lab that is up.

        Raises:
            LabError: none is.
        """
        records = records or Records()
        record = records.read()
        if record is None:
            raise LabError("no lab is up: mirrorfarm lab up makes one")
        return cls(record, records)

    def __getitem__(self, name: str) -> RunningMachine:
        """The machine of that name.

        Raises:
            LabError: there is none.
        """
        return self._running(self.layout.machine(name))

    @property
    def traces(self) -> tuple[str, ...]:
        """What is on the host while the lab is there, and not after it: its cgroup, its directory, its record."""
        return (self._base, self.layout.directory, self._records.directory)

    @property
    def nodes(self) -> tuple[RunningMachine, ...]:
        """Those that run an agent."""
        return tuple(self._running(m) for m in self.layout.nodes)

    @property
    def client(self) -> RunningMachine:
        """Where the clients of applications run."""
        return self[CLIENT]

    def node(self, name: str) -> RunningMachine:
        """The node of that name.

        Raises:
            LabError: there is none, or it is no node.
        """
        return self._running(self.layout.node(name))

    def start(self, name: str, *, agents: bool = True) -> None:
        """Start a machine that is down, with what starts there at boot.

        Raises:
            LabError: it is up, or something did not start.
        """
        machine = self[name]
        self._boot([machine])
        if machine.machine in self.layout.nodes and agents:
            self.start_agents([machine])

    def start_agents(self, nodes: Sequence[RunningMachine]) -> None:
        """Start the agents of these nodes by their init script, and wait until they answer.

        Raises:
            LabError: one did not.
        """
        for node in nodes:
            node.run([AGENT_INIT_SCRIPT, "start"])
        answering = trying(_AGENT_SECONDS, _LOOK_S)
        for node in nodes:
            try:
                answering(ask_agent, node, StateArguments())
            except LabError as error:
                log = f"{self.layout.logs(node.machine)}/mirrorfarm/agent.log"
                raise LabError(f"the agent does not answer: {error}; see {log}") from None

    def crash(self, name: str, *, power: bool = False) -> int:
        """End a machine at one moment, see :meth:`RunningMachine.crash`; etcd's member on it dies with it."""
        return self[name].crash(self.switch, power=power)

    def cut(self, name: str, other: str | None = None, *, lost: Lost = Lost.ALL, etcd_alone: bool = False) -> Cut:
        """No frame passes between ``name`` and ``other``, or all others; what :meth:`mend` undoes.

        Args:
            name: the machine.
            other: another one; left out: all others.
            lost: of what passes between them.
            etcd_alone: only what etcd is asked and says. The member on ``name`` itself, if it has one, still answers.

        Raises:
            LabError: there is no such machine.
        """
        machine = self.layout.machine(name)
        if other == name:
            raise LabError(f"{name} cannot be cut from itself")
        others = [self.layout.machine(other)] if other else [m for m in self.layout.machines if m != machine]
        sent = [(machine.name, one.name) for one in others]
        received = [(one.name, machine.name) for one in others]
        pairs = {Lost.ALL: sent + received, Lost.SENT: sent, Lost.RECEIVED: received}[lost]
        cut = Cut(tuple(pairs), etcd_alone)
        self.switch.cut(cut)
        return cut

    def mend(self, cut: Cut) -> None:
        """Undo one cut; what another one has in common with it passes again, too."""
        self.switch.mend(cut)

    def heal(self) -> None:
        """Every frame passes again, and every cable is quick."""
        self.switch.heal()
        for name in self.switch.slowed():
            self.hurry(name)

    def slow(self, name: str, rate: str) -> None:
        """No more than ``rate`` passes the machine's cable, as in ``2mbit``, until it is started anew.

        Raises:
            LabError: it is down, or that is no rate.
        """
        machine = self[name]
        self.switch.slow(machine.machine, machine.pid, rate)

    def hurry(self, name: str) -> None:
        """Undo :meth:`slow`.

        Raises:
            LabError: the machine is down.
        """
        machine = self[name]
        self.switch.hurry(machine.machine, machine.pid)

    def fill(self, name: str, leave_bytes: int = 0) -> None:
        """The node's /srv runs full, but for ``leave_bytes``.

        Raises:
            LabError: it is down, or no node.
        """
        filling.fill(self[name], leave_bytes)

    def free(self, name: str) -> None:
        """Undo :meth:`fill`.

        Raises:
            LabError: the node is down, or was not filled.
        """
        filling.free(self[name])

    def kill(self, name: str, what: What) -> None:
        """SIGKILL to a part of a machine.

        Raises:
            LabError: it is down, or there is no such process.
        """
        self[name].kill(what)

    def freeze(self, name: str, what: What | None = None) -> None:
        """Stop a machine, or a part of it, without it noticing."""
        self[name].freeze(what)

    def thaw(self, name: str | None = None, what: What | None = None) -> None:
        """Go on with what was frozen: everywhere, on one machine, or with a part of it.

        Raises:
            LabError: there is no such process, or it is stopped with all of its machine.
        """
        for machine in [self[name]] if name else self.machines:
            machine.thaw(what)

    def states(self) -> list[MachineState]:
        """How all machines are."""
        cuts, slowed = self.switch.cuts(), self.switch.slowed()
        etcd = self.etcd.states(self.client)
        return [state_of(m, cuts, slowed.get(m.name, 0), etcd.get(m.name)) for m in self.machines]

    def down(self) -> None:
        """End and remove all of it.

        Raises:
            LabError: something does not go; then what is left is still recorded.
        """
        self._end_watchdog()
        _clear(self._base, self.layout.directory)
        _remove_directory(self.layout, whole=self.record.directory_made)
        self._records.remove()

    def _build(self, agents: bool) -> None:
        self.switch.cgroup.make()
        launch(write_plan(self.layout.directory, self.switch.cgroup), f"{self.layout.directory}/switch.log", "switch")
        self.switch.configure()
        for machine in self.machines:
            machine.make_disks()
        self._boot(self.machines)
        if agents:
            self.start_agents(self.nodes)

    def _boot(self, machines: Sequence[RunningMachine]) -> None:
        host = hosts.look()
        for machine in machines:
            machine.boot(host, self.switch, self.record.lease_ttl_s)
        members = [m for m in machines if m.machine.has_etcd]
        self.etcd.start(members)
        # One that returns waits for nobody: whether a majority is there is not its business.
        if len(members) == len(self.etcd.members):
            for member in members:
                self.etcd.wait_until_ready(member)

    def _running(self, machine: Machine) -> RunningMachine:
        return RunningMachine(self.layout, machine, Cgroup(os.path.join(self._base, machine.name)))

    def _watch(self, ttl_s: float) -> None:
        """Start the process that takes the lab down in ``ttl_s`` seconds, whatever has become of us by then."""
        script = 'echo $$; exec >/dev/null; sleep "$1"; shift; exec "$@"'
        down = [os.path.join(sys.prefix, "bin", "mirrorfarm"), "lab", "down"]
        started = subprocess.run(
            ["setsid", "--fork", "sh", "-c", script, "lab", f"{ttl_s:g}", *down],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", text=True, timeout=10,
            check=True,
        )  # fmt: skip
        pid = int(started.stdout)
        self.record = replace(self.record, watchdog_pid=pid)
        self._records.write(self.record)

    def _end_watchdog(self) -> None:
        """End the watchdog with its ``sleep``; it may be what calls us."""
        pid = self.record.watchdog_pid
        process = read_process(pid) if pid and pid != os.getpid() else None
        if process is not None and "lab down" in process.command:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def remove_leftovers(records: Records | None = None) -> bool:
    """Take down whatever lab there is, whole or not; whether there was any.

    Raises:
        LabError: something does not go.
    """
    records = records or Records()
    base = os.path.join(hosts.cgroup_root(), records.label)
    record: Record | None = None
    with contextlib.suppress(LabError):  # A damaged record: then the default directory is all that can be known.
        record = records.read()
    if record is not None:
        Lab(record, records).down()
        return True
    there = os.path.isdir(base) or os.path.isdir(records.directory)
    if there:
        _clear(base, records.default_directory)
        records.remove()
    return there


def _clear(base: str, directory: str) -> None:
    """Kill all at once, and wait for the kernel to have taken it apart."""
    cgroup = Cgroup(base)
    if cgroup.exists:
        cgroup.kill()
        cgroup.remove()
    end = time.monotonic() + 20
    while busy := loops_below(directory):
        if time.monotonic() >= end:
            raise LabError(f"all processes are dead, but disks are still in use: {', '.join(busy)}")
        time.sleep(0.01)


def _make_directory(directory: str) -> None:
    try:
        os.mkdir(directory, 0o755)
    except OSError as error:
        raise LabError(f"{directory} cannot be made: {error.strerror}") from None


def _remove_directory(layout: Layout, *, whole: bool) -> None:
    if not os.path.isdir(layout.directory):
        return
    if whole:
        shutil.rmtree(layout.directory)
        return
    for name in os.listdir(layout.directory):
        path = os.path.join(layout.directory, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
