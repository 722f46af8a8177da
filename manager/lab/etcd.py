"""The lab's etcd: Debian's, three members, started by its own init script on the machines that have one."""

import enum
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from manager.lab.commands import trying
from manager.lab.errors import LabError
from manager.lab.machine import RunningMachine, What

_INIT_SCRIPT = "/etc/init.d/etcd"
READY_SECONDS = 30.0
_LOOK_S = 0.05
_ASK_SECONDS = 10.0


class MemberState(enum.StrEnum):
    """What one member does."""

    LEADER = "leader"
    FOLLOWER = "follower"
    SILENT = "silent"
    """It runs, and does not answer, or knows no leader."""
    FROZEN = "frozen"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Etcd:
    """All members."""

    members: tuple[RunningMachine, ...]

    def start(self, members: Sequence[RunningMachine]) -> None:
        """Start these members; each machine is up.

        Raises:
            LabError: the init script failed.
        """
        for member in members:
            member.run([_INIT_SCRIPT, "start"])

    def stop(self, members: Sequence[RunningMachine]) -> None:
        """Stop these members, as an administrator does.

        Raises:
            LabError: the init script failed.
        """
        for member in members:
            member.run([_INIT_SCRIPT, "stop"])

    def freeze(self, members: Sequence[RunningMachine]) -> None:
        """Stop these members without them noticing.

        Raises:
            LabError: one is not running.
        """
        for member in members:
            member.freeze(What.ETCD)

    def wait_until_ready(self, member: RunningMachine, seconds: float = READY_SECONDS) -> None:
        """Until ``member`` answers, which it does only when a majority is there.

        Raises:
            LabError: it did not in time.
        """
        health = ["etcdctl", "--endpoints=http://127.0.0.1:2379", "--command-timeout=1s", "endpoint", "health"]
        try:
            trying(seconds, _LOOK_S)(member.run, health, seconds=_ASK_SECONDS)
        except LabError as error:
            log = f"{member.layout.logs(member.machine)}/etcd/etcd.log"
            raise LabError(f"etcd on {member.name} is not ready after {seconds:g} s: {error}; see {log}") from None

    def states(self, asker: RunningMachine) -> dict[str, MemberState]:
        """What each member does, as ``asker`` hears it."""
        answered = {e: state for e, _, state in self._ask(asker)} if asker.is_up else {}
        return {m.name: self._state(m, answered) for m in self.members}

    def leader(self, asker: RunningMachine) -> str | None:
        """The machine whose member leads; ``None``: none does, as far as ``asker`` hears."""
        return next((n for n, s in self.states(asker).items() if s is MemberState.LEADER), None)

    def lead(self, name: str, asker: RunningMachine) -> None:
        """Make the member on the machine ``name`` the leader.

        Raises:
            LabError: it does not become it.
        """
        ids = {e: member for e, member, _ in self._ask(asker)}
        wanted, leader = f"http://{asker.layout.etcd_member(name).ipv4}:2379", self.leader(asker)
        if leader is None or wanted not in ids:
            raise LabError(f"etcd has no leader, or {name} does not answer")
        if leader != name:
            at = f"http://{asker.layout.machine(leader).ipv4}:2379"
            asker.run(["etcdctl", f"--endpoints={at}", "move-leader", f"{ids[wanted]:x}"])

    @staticmethod
    def _state(member: RunningMachine, answered: dict[str, MemberState]) -> MemberState:
        processes = member.processes(What.ETCD)
        if not processes:
            return MemberState.STOPPED
        if member.cgroup.frozen or any(p.state == "T" for p in processes):
            return MemberState.FROZEN
        return answered.get(f"http://{member.machine.ipv4}:2379", MemberState.SILENT)

    def _ask(self, asker: RunningMachine) -> list[tuple[str, int, MemberState]]:
        """Endpoint, id and state of each member that answers ``asker``."""
        endpoints = [f"http://{m.machine.ipv4}:2379" for m in self.members]
        argv = asker.command(
            ["etcdctl", "--command-timeout=1s", "--dial-timeout=1s", f"--endpoints={','.join(endpoints)}",
             "endpoint", "status", "-w", "json"]
        )  # fmt: skip
        # It fails when one of them does not answer, and still prints what the others said.
        asked = subprocess.run(argv, capture_output=True, text=True, timeout=_ASK_SECONDS, check=False)
        return _parse_status(asked.stdout)


def _parse_status(text: str) -> list[tuple[str, int, MemberState]]:
    try:
        listed = json.loads(text)
    except ValueError:
        return []
    states = []
    for entry in listed:
        status = entry["Status"]
        leader, own = status.get("leader", 0), status["header"]["member_id"]
        state = MemberState.SILENT if not leader else MemberState.LEADER if leader == own else MemberState.FOLLOWER
        states.append((entry["Endpoint"], own, state))
    return states
