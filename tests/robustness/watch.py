"""Looks on while a schedule is suffered: whether each mirror is served, and how the lab is while it is not.

It decides when is looked, and at what; not what that means (``tests.robustness.progress``).
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from manager.lab import filling
from manager.lab.cgroup import Process
from manager.lab.errors import LabError
from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine, What
from tests.robustness.progress import Judge
from tests.robustness.sufferer import Sufferer
from tests.support import etcd_polling
from tests.support.chances import Pairs, Seen, Sight
from tests.support.common_clock import now_ns
from tests.support.etcd_events import PREFIX
from tests.support.moments import Json, Moments
from tests.support.told_program import ToldProgram

_EVERY_S = 0.2


class Watch:
    """Of the mirrors of a lab, while the context lasts. What is wrong with them is in :attr:`wrong` after it."""

    def __init__(self, cluster: Sufferer) -> None:
        """From now on; the clients of its mirrors are served."""
        self.moments = Moments()
        """Of what happened in etcd meanwhile."""
        self.wrong: list[str] = []
        self._lab = cluster.lab
        self._begun_ns = now_ns()
        self._judges = {mirror: Judge(mirror.module.name, self._lab.record.lease_ttl_s) for mirror in cluster.mirrors}
        self._over = threading.Event()
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        """Begins to look."""
        words = [PREFIX, *self._lab.layout.endpoints()]
        out = Path(self._lab.layout.directory, "etcd.answers")
        self._asking = ToldProgram(self._lab.client, etcd_polling.__name__, words, out)
        self._looking: Future[None] = self._thread.submit(self._look_on)
        return self

    def __exit__(self, *_: object) -> None:
        """Looks no more; raises what went wrong with looking."""
        self._over.set()
        self._thread.shutdown()
        self._asking.end()
        self.moments.take(self._asking.news())
        self._looking.result()
        if not self.moments.keys:
            self.wrong.append("etcd has never answered who looks on")

    @property
    def longest_ns(self) -> int:
        """For how long nobody served a mirror although one could."""
        return max(judge.longest_ns for judge in self._judges.values())

    def _look_on(self) -> None:
        while not self._over.wait(_EVERY_S):
            self.moments.take(self._asking.news())
            # Served is one of whose clients' writes one was completed since the last look.
            silent = [mirror for mirror in self._judges if not any(call.wrote for call in mirror.new_calls())]
            sight = see(self._lab, self.moments.keys) if silent else None
            at_ns = now_ns()
            for mirror, judge in self._judges.items():
                found = judge.look(at_ns, self._begun_ns, sight if mirror in silent else None)
                self.wrong += [f"{mirror.module.name}: {words}" for words in found]


def see(lab: Lab, keys: dict[str, Json]) -> Sight:
    """The lab now, with what etcd has told."""
    cuts: dict[bool, Pairs] = {cut.etcd_alone: frozenset(cut.pairs) for cut in lab.switch.cuts()}
    seen = {machine.name: found for machine in lab.machines if (found := _seen(machine)) is not None}
    members = frozenset(member.name for member in lab.etcd.members)
    nothing: Pairs = frozenset()
    return Sight(seen, members, lab.client.name, cuts.get(False, nothing), cuts.get(True, nothing), keys)


def _seen(machine: RunningMachine) -> Seen | None:
    """``None``: it is down, or frozen as a whole."""
    parts = machine.parts()
    if parts is None or machine.cgroup.frozen:
        return None
    return Seen(
        etcd=_works(parts[What.ETCD]),
        agent=_works(parts[What.AGENT]),
        frozen_replicator=any(map(_is_stopped, parts[What.REPLICATOR])),
        frozen_application=any(map(_is_stopped, parts[What.APPLICATION])),
        full=machine.machine.file_system is not None and _is_full(machine),
        boot_id=machine.boot_id,
    )


def _is_full(machine: RunningMachine) -> bool:
    try:
        return filling.is_full(machine)
    except LabError:
        return False  # It went down at this very moment.


def _works(processes: Sequence[Process]) -> bool:
    return bool(processes) and not any(map(_is_stopped, processes))


def _is_stopped(process: Process) -> bool:
    return process.state == "T"
