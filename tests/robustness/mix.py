"""Two farms and three mirrors on the same three nodes, each mirror on two of them, so that every node is the primary of
one and the secondary of another: what schedules of faults are run on, and what must hold of all of it.

It does not choose what fails when. All modules are to heal by themselves: nobody is there to start one again.
"""

import contextlib
import ipaddress
import time
from pathlib import Path

from manager.lab.errors import LabError
from manager.lab.lab import Lab
from tests.robustness.farm_cluster import Amount, Farm, FarmCluster, FarmLoad
from tests.support.client_history import Call
from tests.support.moments import Moments
from tests.support.operators import operate
from tests.support.recorded_cluster import Recorded, RecordedCluster

NODES = ("a", "b", "c")
MIRRORS = (
    Recorded("orders", ("a", "b"), "10.77.0.101", 7771),
    Recorded("stock", ("b", "c"), "10.77.0.102", 7772),
    Recorded("bills", ("c", "a"), "10.77.0.103", 7773),
)
FARMS = (Farm("shop", ("10.77.0.111",), 8081), Farm("site", ("10.77.0.112", "fd77::112"), 8082))
NETWORKS = {False: "10.77.0.128/26", True: "fd77::1:0/122"}
"""Of the lab's own: a node that was started anew needs no route to them."""
_AMOUNT = Amount(open=10, rate=10.0, lasting_s=5.0, talk_every_s=0.5)
_LOOKED_S = 2.0


class Mix:
    """All five modules of a lab of three nodes."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._mirrors = [RecordedCluster(lab, module) for module in MIRRORS]
        self._farms = [FarmCluster(lab, farm, NETWORKS) for farm in FARMS]
        self._loads: list[FarmLoad] = []
        self._wrong: list[str] = []
        """Of the farms' clients."""

    def open(self) -> None:
        """Applies all modules, and waits until they serve."""
        # Those of IPv6 one by one: for a network that is local as a whole the kernel answers ARP, but no neighbours.
        added = [f"address add {host}/128 dev eth0 nodad" for host in ipaddress.ip_network(NETWORKS[True]).hosts()]
        self.lab.client.run(["ip", "-batch", "-"], stdin="\n".join(added))
        self.lab.client.run(["ip", "route", "add", "local", NETWORKS[False], "dev", "lo"])
        for mirror in self._mirrors:
            mirror.open()
        for farm in self._farms:
            farm.open()

    @property
    def mirrors(self) -> list[RecordedCluster]:
        """All three."""
        return self._mirrors

    @property
    def power_losses(self) -> int:
        """Of all mirrors."""
        return sum(mirror.power_losses for mirror in self._mirrors)

    def start(self) -> None:
        """The mirrors, which alone are stopped between schedules."""
        for mirror in self._mirrors:
            mirror.start()
        self._farms_settle(60.0)

    def start_clients(self, count: int) -> None:
        """So many of each mirror, and of each farm's addresses some that look at who answers."""
        for mirror in self._mirrors:
            mirror.start_clients(count)
        self._loads = [farm.load(address, _AMOUNT) for farm in self._farms for address in farm.farm.addresses]
        for load in self._loads:
            load.begin()

    def wait_for_answers(self, count: int = 20, seconds: float = 60.0) -> None:
        """Of each mirror."""
        end = time.monotonic() + seconds
        for mirror in self._mirrors:
            mirror.wait_for_answers(count, max(1.0, end - time.monotonic()))

    def mirrorfarm(self, node: str, *words: str, seconds: float = 150.0) -> str:
        """The command's output there."""
        return operate(self.lab.node(node), *words, seconds=seconds)

    def note_power_loss(self, node: str, moment_ns: int) -> None:
        """To the mirrors that are on it."""
        for mirror in self._mirrors:
            mirror.note_power_loss(node, moment_ns)

    def repair(self) -> None:
        """Undoes whatever was done to the lab."""
        self._mirrors[0].repair()

    def recover(self, seconds: float) -> None:
        """Until each mirror has two copies and each farm its shares, by themselves; or LabError."""
        end = time.monotonic() + seconds
        for mirror in self._mirrors:
            mirror.wait_for_two_copies(end - time.monotonic())
        self._farms_settle(end - time.monotonic())

    def verify(self) -> list[str]:
        """Of the mirrors, and whether all are served who come to the farms now."""
        wrong = [f"{m.module.name}: {words}" for m in self._mirrors for words in m.verify()]
        loads = [farm.load(address, _AMOUNT) for farm in self._farms for address in farm.farm.addresses]
        with contextlib.ExitStack() as stack:
            for load in loads:
                stack.enter_context(load)
            time.sleep(_LOOKED_S)
        broken = [one for load in loads for one in load.seen if one.how]
        return wrong + [f"a farm that has healed: {one}" for one in broken[:3]]

    def end_clients(self) -> None:
        """They send no more, and have an outcome for each call."""
        for load in self._loads:
            load.end()
        mixed = [one for load in self._loads for one in load.seen if one.how.startswith("answered by")]
        self._wrong += [f"a farm's connection went over to another node: {one}" for one in mixed[:3]]
        self._loads = []
        for mirror in self._mirrors:
            mirror.end_clients()

    def stop(self) -> None:
        """The mirrors."""
        for mirror in self._mirrors:
            mirror.stop()

    def calls(self) -> list[Call]:
        """Of all mirrors' clients."""
        return [call for mirror in self._mirrors for call in mirror.calls()]

    def serving_at(self, at_ns: int) -> str:
        """Each node is the primary of something."""
        del at_ns
        return ""

    def violations(self, moments: Moments | None = None, *, whole: bool = True) -> list[str]:
        """What is wrong."""
        found = [(mirror.module.name, mirror.violations(moments, whole=whole)) for mirror in self._mirrors]
        return self._wrong + [f"{name}: {words}" for name, wrong in found for words in wrong]

    def lost(self) -> int:
        """Completed writes of all mirrors."""
        return sum(mirror.lost() for mirror in self._mirrors)

    def operations(self) -> int:
        """Of all mirrors' applications."""
        return sum(mirror.operations() for mirror in self._mirrors)

    def keep(self, directory: Path) -> None:
        """Copies all that the lab's machines wrote down."""
        self._mirrors[0].keep(directory)

    def forget(self) -> None:
        """So that a new history begins."""
        self._wrong = []
        for mirror in self._mirrors:
            mirror.forget()

    def _farms_settle(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        try:
            for farm in self._farms:
                farm.shares_become(dict.fromkeys(NODES, 1), max(1.0, end - time.monotonic()))
        except AssertionError as error:
            raise LabError(str(error)) from None
