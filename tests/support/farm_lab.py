"""A farm in a lab, for tests: three nodes that share the connections to one address, its clients, and who has what."""

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import pytest

from manager.lab.commands import trying
from manager.lab.errors import LabError
from manager.lab.lab import Lab
from manager.lab.layout import DEFAULT_LEASE_TTL_S
from manager.lab.machine import RunningMachine
from manager.model.farm import SLOTS
from tests.support.asking import tables_of
from tests.support.farm_client import OPEN, Seen
from tests.support.lab import LogKeeper, lab_directory, make_lab
from tests.support.operators import operate
from tests.support.slow_handshakes import BEGUN, Handshake
from tests.support.told_program import ROOT
from tests.support.two_disks import is_soak

T = TypeVar("T")
NODES = ("a", "b", "c")
ADDRESS = "10.77.0.110"
PORT = 8080
CLIENTS = "10.78.0.0/16"
LATER_CLIENTS = "10.78.128.0/17"
"""A part of them that one load after the other does not get to by itself."""
SECOND_NS = 1_000_000_000
BACK_S = 2.0
"""A dead node's share is served by others within this."""
_OPEN = 2_000 if is_soak() else 150
_MODULE = f"""\
name = "web"
kind = "farm"
nodes = ["a", "b", "c"]

[[address]]
ip = "{ADDRESS}/24"

[[rule]]
protocol = "tcp"
ports = "{PORT}"
"""
_START = f"""\
#!/bin/sh
cd {ROOT} && setsid {sys.executable} -m tests.support.farm_server $NODE {PORT} >/dev/null 2>&1 &
"""
_DIRECTORY = "/etc/mirrorfarm/modules/web"
_SETTLE_S = 30.0
_SLOW_MS = 300
"""A handshake that took longer says nothing: a node that stops waits for half a second."""
_LOOK_S = 0.1

Shares = Mapping[str, float]
EVEN: Shares = dict.fromkeys(NODES, SLOTS / len(NODES))


@contextlib.contextmanager
def farm_lab(directory: Path, request: pytest.FixtureRequest, lease_ttl_s: int = DEFAULT_LEASE_TTL_S) -> Iterator[Lab]:
    """Three nodes that run the farm, and a client that has all addresses of a network."""
    logs = LogKeeper(request)
    made = make_lab(lab_directory(directory), NODES, lease_ttl_s=lease_ttl_s)
    try:
        made.client.run(["ip", "route", "add", "local", CLIENTS, "dev", "lo"])
        for node in made.nodes:
            _route(made, node)
        a = made.node("a")
        a.run(["install", "-d", f"{_DIRECTORY}/scripts"])
        a.run(["tee", f"{_DIRECTORY}/module.toml"], stdin=_MODULE)
        a.run(["tee", f"{_DIRECTORY}/scripts/start_both"], stdin=_START)
        operate(a, "module", "apply", _DIRECTORY)
        operate(a, "start", "web")
        yield made
    finally:
        logs.tell(made)
        made.down()


def _route(lab: Lab, node: RunningMachine) -> None:
    """What answers its clients get finds its way."""
    node.run(["ip", "route", "replace", CLIENTS, "via", lab.client.machine.ipv4])


def restored(lab: Lab) -> Lab:
    """All nodes up, whatever the test before did, and every slot where it belongs."""
    revive(lab)
    # An agent that has just begun may not be registered yet.
    trying(_SETTLE_S, _LOOK_S)(operate, lab.node("a"), "start", "web")
    shares_become(lab, EVEN)
    return lab


def revive(lab: Lab) -> None:
    """All nodes up, and nothing between them."""
    lab.heal()
    lab.thaw()
    for node in lab.nodes:
        if not node.is_up:
            lab.start(node.name)
            _route(lab, node)


class _Program(Generic[T]):
    """One of tests/support at the client's machine, for as long as the context lasts; then what it saw."""

    def __init__(self, lab: Lab, kind: type[T], begun: str, *words: str) -> None:
        """``words``: the module and what it is given; it says ``begun``, and at its end a ``kind`` a line, in JSON."""
        self.seen: list[T] = []
        self._kind = kind
        self._begun = begun
        self._command = lab.client.command(
            ["sh", "-c", 'cd "$0" && exec "$@"', str(ROOT), sys.executable, "-m", *words]
        )

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == self._begun
        return self

    def __exit__(self, *raised: object) -> None:
        told, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        self.seen = [self._kind(**json.loads(line)) for line in told.splitlines()]


class Clients(_Program[Seen]):
    """A load from the client's machine, for as long as the context lasts; then what it saw."""

    def __init__(self, lab: Lab, connections: int = _OPEN, rate: float = 0.0, network: str = CLIENTS) -> None:
        """``connections`` stay open; ``rate``: so many short ones are begun a second, else one after the other.

        They come from ``network``, a part of CLIENTS: those of several loads from other addresses each.
        """
        words = ("tests.support.farm_client", ADDRESS, str(PORT), "--network", network)
        super().__init__(lab, Seen, OPEN, *words, "--connections", str(connections), "--rate", str(rate))

    def answered_by(self) -> Counter[str]:
        """How many connections each node has answered."""
        return Counter(one.node for one in self.seen if one.node)

    def broken(self) -> list[Seen]:
        """Those with which something went wrong."""
        return [one for one in self.seen if one.how]

    def waited(self) -> list[Seen]:
        """Those that were not served, or whose first segment was lost: that a program was run late is neither."""
        return [one for one in self.seen if one.how or one.again]

    def out_s(self, moment_ns: int) -> float:
        """For how long after that moment what began was not all served at once; for a load with a rate."""
        late = [one.began_ns for one in self.waited() if one.began_ns >= moment_ns]
        return (max(late) - moment_ns) / SECOND_NS if late else 0.0


class Beginners(_Program[Handshake]):
    """Clients whose handshakes take a tenth of a second, for as long as the context lasts; then what became of them."""

    def __init__(self, lab: Lab) -> None:
        words = ("tests.support.slow_handshakes", ADDRESS, str(PORT), "--network", CLIENTS)
        super().__init__(lab, Handshake, BEGUN, *words)

    def broken(self) -> list[Handshake]:
        """Those that were refused or reset before anybody had answered, by no fault of a client that was not run."""
        return [one for one in self.seen if one.how and one.waited_ms <= _SLOW_MS]


def tables(node: RunningMachine) -> list[dict[str, Any]]:
    """Of all addresses, as ``farm show`` says it on ``node``."""
    return tables_of(node, "web")


def shares_become(lab: Lab, wanted: Shares, of: RunningMachine | None = None, seconds: float = _SETTLE_S) -> None:
    """Until the table is settled and each node has about that many slots, as node ``of`` or any has it."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = tables(of or next(n for n in lab.nodes if n.is_up))
        except LabError as error:
            found, words = [], str(error)  # Its agent has no answer yet.
        else:
            words = str(found)
        if found and not found[0]["moving"]:
            shares = found[0]["shares"]
            assert isinstance(shares, dict)
            if shares.keys() == wanted.keys() and all(abs(shares[n] - wanted[n]) <= 1 for n in wanted):
                return
        assert time.monotonic() < end, f"{words}, not {wanted}"
        time.sleep(_LOOK_S)


def director(lab: Lab) -> RunningMachine:
    """The node that receives for the address, as etcd has it."""
    return lab.node(str(tables(next(n for n in lab.nodes if n.is_up))[0]["director"]))


def receivers(lab: Lab) -> list[str]:
    """The nodes that have the address on their links: each of them answers for it."""
    return [
        node.name for node in lab.nodes if node.is_up and ADDRESS in node.run(["ip", "-o", "address", "show", "eth0"])
    ]
