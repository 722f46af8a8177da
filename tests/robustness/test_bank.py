"""A bank on PostgreSQL on a mirror, under faults in an order that a seed gives; every commit that a client was told of
is in the end there, and both copies are equal.

``MIRRORFARM_SEED=N`` repeats a run; a failure prints its N.
"""

import json
import os
import random
import time
from collections.abc import Callable

import pytest

from manager.lab.demo import client, database, ledger
from manager.lab.demo.database import Database
from manager.lab.demo.ledger import Ledger, Said
from manager.lab.demo.speaker import Speaker
from manager.lab.lab import Lab
from manager.lab.layout import VIRTUAL_ADDRESS
from manager.lab.machine import What
from tests.support.asking import state_of
from tests.support.operators import operate

SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"
FAULTS = 40 if SOAK else 3
SEED = int(os.environ.get("MIRRORFARM_SEED", str(time.time_ns() % 1_000_000) if SOAK else "135"))
"""The short run freezes and cuts: ``test_history`` kills."""
_WAIT = "90 s"
_COMMITS = 40
_FROZEN_S = 8.0

Fault = Callable[[Lab, str, str], None]
"""Given the lab, the primary's name and the other node's."""


def crash_primary(lab: Lab, primary: str, _: str) -> None:
    lab.crash(primary)


def power_off_primary(lab: Lab, primary: str, _: str) -> None:
    lab.crash(primary, power=True)


def power_off_secondary(lab: Lab, _: str, secondary: str) -> None:
    lab.crash(secondary, power=True)


def cut_primary_off(lab: Lab, primary: str, _: str) -> None:
    lab.cut(primary)


def cut_nodes_apart(lab: Lab, primary: str, secondary: str) -> None:
    lab.cut(primary, secondary)


def freeze_primary(lab: Lab, primary: str, _: str) -> None:
    lab.freeze(primary)


def freeze_agent(lab: Lab, primary: str, _: str) -> None:
    lab.freeze(primary, What.AGENT)


def freeze_replicator(lab: Lab, primary: str, _: str) -> None:
    lab.freeze(primary, What.REPLICATOR)


def freeze_an_etcd_member(lab: Lab, *_: str) -> None:
    lab.freeze("witness", What.ETCD)


ALL: tuple[Fault, ...] = (
    crash_primary, power_off_primary, power_off_secondary, cut_primary_off, cut_nodes_apart, freeze_primary,
    freeze_agent, freeze_replicator, freeze_an_etcd_member,
)  # fmt: skip

TAKEN_OVER = (crash_primary, power_off_primary, cut_primary_off, freeze_primary, freeze_agent, freeze_replicator)
"""After these the other node is the primary."""


def chosen(seed: int, count: int) -> list[Fault]:
    """Each fault before any of them comes again, in an order that the seed gives."""
    chance = random.Random(seed)
    faults: list[Fault] = []
    while len(faults) < count:
        faults += chance.sample(ALL, len(ALL))
    return faults[:count]


def mirrorfarm(lab: Lab, node: str, *words: str) -> str:
    return operate(lab.node(node), *words)


def primary_of(lab: Lab, asked: str) -> str:
    """As ``asked`` has it."""
    return str(state_of(lab.node(asked), database.MODULE)["primary"])


def heal(lab: Lab) -> None:
    """Undo the fault, and wait until there are two copies again."""
    lab.thaw()
    lab.heal()
    for machine in lab.nodes:
        if not machine.is_up:
            lab.start(machine.name)
    for node in ("a", "b"):
        mirrorfarm(lab, node, "wait", database.MODULE, "SECOND", "--timeout", _WAIT)
        mirrorfarm(lab, node, "wait", database.MODULE, "PRIM", "--timeout", _WAIT)


def open_the_bank(lab: Lab) -> None:
    a = lab.node("a")
    database.initialise(a)
    database.write_module(a)
    mirrorfarm(lab, "a", "module", "apply", database.FOLDER)
    mirrorfarm(lab, "a", "start", database.MODULE, "--timeout", _WAIT)
    mirrorfarm(lab, "a", "prim", database.MODULE, "--yes", "a", "--timeout", _WAIT)
    mirrorfarm(lab, "a", "wait", database.MODULE, "PRIM", "--timeout", _WAIT)
    Database(lab.client, VIRTUAL_ADDRESS).open_bank()


def _is_done(said: Said) -> bool:
    return said.kind == "done"


@pytest.mark.timeout(4000 if SOAK else 420)
def test_no_commit_is_lost_whatever_fails(lab: Lab) -> None:
    print(f"MIRRORFARM_SEED={SEED}")
    open_the_bank(lab)
    bank = Database(lab.client, VIRTUAL_ADDRESS)
    for fault in chosen(SEED, FAULTS):
        teller = Speaker(lab.client, [client.__name__, bank.host, str(bank.port)], ledger.parse)
        try:
            teller.wait_for(_COMMITS, _is_done, 60)
            primary = primary_of(lab, asked="a")
            print(f"{fault.__name__}: primary {primary}", flush=True)
            other = "a" if primary == "b" else "b"
            fault(lab, primary, other)
            time.sleep(_FROZEN_S)
            teller.wait_for(_COMMITS, _is_done, 60)
            if fault in TAKEN_OVER:
                assert primary_of(lab, asked=other) == other, fault.__name__
            heal(lab)
            teller.wait_for(_COMMITS, _is_done, 60)
            teller.end()
        finally:
            teller.kill()
        stored, book = bank.stored_transfers(), Ledger(teller.lines)
        assert book.missing_from(stored) == [], fault.__name__
        assert book.never_sent(stored) == [], fault.__name__
        assert bank.money() == database.MONEY, fault.__name__
        report = json.loads(mirrorfarm(lab, primary_of(lab, asked="a"), "verify", database.MODULE, "--json"))
        assert (report["error"], report["differences"]) == ("", []), fault.__name__
        bank.ask("TRUNCATE transfer;")
