"""Farms in a lab, loads on them, and what their clients see. It does not choose what happens to the nodes.

The clients' addresses are the lab's client's, all of a network: each connection has its own.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from manager.lab.errors import LabError
from manager.lab.lab import Lab
from manager.lab.machine import RunningMachine
from manager.model.farm import SLOTS
from tests.support.asking import tables_of
from tests.support.farm_client import OPEN, Seen
from tests.support.operators import operate
from tests.support.told_program import ROOT

SETTLED_S = 90.0
"""The table is as it is to be within this after anything: a node that was lost waits for some seconds by itself, and
connections that stay open for seconds are counted twice a minute at the least."""
_STARTED_S = 90.0
_ENDED_S = 60.0
_COMMAND_S = 100.0
_LOOK_S = 1.0
"""A question is a process of its own, on a machine that has to bear the load too."""


@dataclass(frozen=True, slots=True)
class Farm:
    """A module, on all nodes of the lab."""

    name: str
    addresses: tuple[str, ...]
    port: int


@dataclass(frozen=True, slots=True)
class Amount:
    """Of the connections to one address."""

    open: int
    """At a time, that stay open for a while."""
    rate: float
    """Of short ones, begun in a second."""
    lasting_s: float
    """The longest that one stays open: it holds its slot for so long where that is to move."""
    talk_every_s: float


class FarmCluster:
    """One farm of a lab."""

    def __init__(self, lab: Lab, farm: Farm, networks: Mapping[bool, str]) -> None:
        """``networks``: where its clients are, by whether it is of IPv6."""
        self.lab = lab
        self.farm = farm
        self._networks = networks
        self._names = [node.name for node in lab.nodes]

    def open(self) -> None:
        """Applies the module, starts it, and waits until all nodes have their shares."""
        first, directory = self.lab.nodes[0], f"/etc/mirrorfarm/modules/{self.farm.name}"
        first.run(["install", "-d", f"{directory}/scripts"])
        first.run(["tee", f"{directory}/module.toml"], stdin=self._toml())
        first.run(["tee", f"{directory}/scripts/start_both"], stdin=self._start_script())
        self.mirrorfarm("module", "apply", directory)
        # On a busy machine something may have to be tried again before it serves.
        self.mirrorfarm("start", self.farm.name, "--no-wait")
        self.shares_become(dict.fromkeys(self._names, 1), _STARTED_S)

    def route(self, *names: str) -> None:
        """What answers the clients of these nodes get finds its way; after each start of a machine."""
        client = self.lab.client.machine
        for name in names:
            for is_six, network in self._networks.items():
                gateway = client.ipv6 if is_six else client.ipv4
                self.lab.node(name).run(["ip", "route", "replace", network, "via", gateway])

    def mirrorfarm(self, *words: str) -> str:
        """The command's output, on a node that is up."""
        return operate(self._up(), *words, seconds=_COMMAND_S)

    def director(self, address: str) -> str:
        """The node that receives for it; empty: none does."""
        return next(str(table["director"] or "") for table in self._tables() if table["address"] == address)

    def shares_become(self, weights: Mapping[str, int], seconds: float = SETTLED_S) -> None:
        """Until no slot is on its way and the nodes have their shares of all addresses.

        Raises:
            AssertionError: they have not in time; says what they have.
        """
        end, total = time.monotonic() + seconds, sum(weights.values())
        wanted = {node: SLOTS * weight / total for node, weight in weights.items() if weight}
        while True:
            found = self._found()
            if isinstance(found, list) and all(_is_as(table, wanted) for table in found):
                return
            assert time.monotonic() < end, f"{self.farm.name}: {found}, not {wanted}, after {seconds:g} s"
            time.sleep(_LOOK_S)

    def load(self, address: str, amount: "Amount") -> "FarmLoad":
        """Clients of one address, from when it is entered on."""
        words = [
            address,
            str(self.farm.port),
            "--network",
            self._networks[":" in address],
            "--rate",
            f"{amount.rate:g}",
        ]
        words += ["--connections", str(amount.open), "--lasting", f"{amount.lasting_s:g}"]
        words += ["--talk-every", f"{amount.talk_every_s:g}"]
        program = [sys.executable, "-m", "tests.support.farm_client", *words]
        return FarmLoad(self.lab.client.command(["sh", "-c", 'cd "$0" && exec "$@"', str(ROOT), *program]))

    def _found(self) -> list[dict[str, object]] | str:
        """The tables, or why they are not told now: a node that was just started may have no answer yet."""
        try:
            return self._tables() or "no tables"
        except LabError as error:
            return str(error)

    def _tables(self) -> list[dict[str, object]]:
        return tables_of(self._up(), self.farm.name)

    def _up(self) -> RunningMachine:
        return next(node for node in self.lab.nodes if node.is_up)

    def _toml(self) -> str:
        addresses = "".join(f'\n[[address]]\nip = "{a}/{64 if ":" in a else 24}"\n' for a in self.farm.addresses)
        rule = f'\n[[rule]]\nprotocol = "tcp"\nports = "{self.farm.port}"\n'
        return f'name = "{self.farm.name}"\nkind = "farm"\nnodes = {json.dumps(self._names)}\n{addresses}{rule}'

    def _start_script(self) -> str:
        server = f"setsid {sys.executable} -m tests.support.farm_server $NODE {self.farm.port}"
        return f"#!/bin/sh\ncd {ROOT} && {server} >/dev/null 2>&1 &\n"


class FarmLoad:
    """Clients, from their beginning to their end; or for as long as a context lasts."""

    def __init__(self, command: list[str]) -> None:
        self.seen: list[Seen] = []
        self._command = command

    def begin(self) -> None:
        """Until all that stay open are open."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == OPEN, "the clients' connections did not come about"

    def end(self) -> None:
        """Then it is known what they saw."""
        told, _ = self._process.communicate(timeout=_ENDED_S)
        assert self._process.returncode == 0
        self.seen = [Seen(**json.loads(line)) for line in told.splitlines()]

    def __enter__(self) -> "FarmLoad":
        self.begin()
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()


def _is_as(table: Mapping[str, object], wanted: Mapping[str, float]) -> bool:
    shares = table["shares"]
    if table["moving"] or not table["director"] or not isinstance(shares, dict):
        return False
    return shares.keys() == wanted.keys() and all(abs(shares[node] - wanted[node]) <= 1 for node in wanted)
