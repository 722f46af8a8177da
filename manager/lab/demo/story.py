"""The demonstration, act by act. It leaves nothing behind, and its exit code is 0 only if every check held."""

import json
import os
import re
import time
from pathlib import Path

from manager.lab.demo import client, database, ledger, servers, visitor, visits
from manager.lab.demo.ledger import Ledger, Said
from manager.lab.demo.speaker import Speaker
from manager.lab.demo.telling import Teaching
from manager.lab.demo.timeline import Farm, Timeline, of_take_over
from manager.lab.demo.visits import Visit, Visits
from manager.lab.errors import LabError
from manager.lab.lab import Lab
from manager.lab.layout import DEFAULT_LEASE_TTL_S, NAME_VARIABLE
from manager.lab.machine import RunningMachine, loops_below
from manager.model.farm import SLOTS

TTL_S = 600.0
"""The lab goes by itself after so long, should this process be killed."""
_CLIENT_COMMITS = 300
_MEANWHILE_COMMITS = 100
_VISITS = 100
_MEANWHILE_VISITS = 20
_SHARED_SECONDS = 30.0
_SLOW = "no answer"
"""So begins what the client says of one that took too long, not of a connection that broke."""
_WAIT = "60 s"
_KEPT_LINES = 25
_VALUE_COLUMNS = 96


def main(directory: str) -> int:
    """Run it in a lab of its own, with its disks in ``directory`` (empty: its default); returns the exit code."""
    os.environ.setdefault(NAME_VARIABLE, "demo")
    told = Teaching()
    error: LabError | None = None
    try:
        database.programs()
        servers.check_programs()
        told.act("A lab: nodes a and b, a witness and a client, and etcd on a, b and the witness.")
        lab = Lab.up(("a", "b"), directory, ttl_s=TTL_S)
    except LabError as failure:
        return told.conclude(failure)
    try:
        _Story(lab, told).play()
    except LabError as failure:
        error = failure
    finally:
        if error is not None or told.failed:
            _tell_logs(lab, told)
        told.act("The lab is taken down.")
        lab.down()
    _check_that_nothing_is_left(lab, told)
    return told.conclude(error)


class _Story:
    """The acts, in order; each stands on what the former ones have left."""

    def __init__(self, lab: Lab, told: Teaching) -> None:
        self._lab = lab
        self._told = told
        self._a, self._b = lab.node("a"), lab.node("b")
        # As its clients do: by the web servers' address.
        self._database = database.Database(lab.client, servers.ADDRESS, servers.DATABASE_PORT)

    def play(self) -> None:
        """All acts."""
        self._start_the_database()
        self._start_the_servers()
        where = f"{servers.ADDRESS}:{servers.DATABASE_PORT}"
        self._told.act(f"A client commits numbered transfers at {where}, and remembers each that it is told is done.")
        self._told.show("A visitor asks for the page again and again, each time on a new connection.")
        self._database.open_bank()
        words = [client.__name__, servers.ADDRESS, str(servers.DATABASE_PORT)]
        teller = Speaker(self._lab.client, words, ledger.parse)
        guest = Speaker(self._lab.client, [visitor.__name__, servers.ADDRESS], visits.parse)
        try:
            self._commit_and_look(teller, guest)
            self._lose_power(teller, guest)
            self._return(teller, guest)
            self._swap_back(teller)
            guest.end()
            teller.end()
        finally:
            guest.kill()
            teller.kill()
        self._check_the_end(Ledger(teller.lines))

    def _start_the_database(self) -> None:
        told, a = self._told, self._a
        told.act("PostgreSQL's data in /srv/db on a; a module that mirrors it, with a virtual address.")
        database.initialise(a)
        database.write_module(a)
        self._mirrorfarm(a, "module", "apply", database.FOLDER)
        self._mirrorfarm(a, "start", database.MODULE, "--timeout", _WAIT)
        told.act("It is the first start: the operator says that a has the good data. b copies it.")
        self._mirrorfarm(a, "prim", database.MODULE, "--yes", a.name, "--timeout", _WAIT)
        self._wait(a, "PRIM", a)

    def _start_the_servers(self) -> None:
        told, a, b = self._told, self._a, self._b
        told.act(f"nginx on both nodes, a farm at {servers.ADDRESS}: a page, and the way to the database.")
        self._mirrorfarm(a, "module", "apply", servers.FOLDER)
        # a first, so that it directs: all that can be lost at once is lost with it.
        for node in (a, b):
            self._mirrorfarm(a, "start", servers.MODULE, "--node", node.name, "--timeout", _WAIT)
        self._check_the_halves(a)
        told.show(a.run(["mirrorfarm", "state"]))
        who, facts = servers.page(self._lab.client)
        told.show(f"The page at http://{servers.ADDRESS}/ as the client gets it:")
        told.show("\n".join(f"    {name}: {fact}" for name, fact in {"This answer is from node": who, **facts}.items()))
        told.check(who in ("a", "b"), "the page says who answered", who)

    def _commit_and_look(self, teller: Speaker[Said], guest: Speaker[Visit]) -> None:
        told = self._told
        teller.wait_for(_CLIENT_COMMITS, _is_done, 60)
        guest.wait_for(_VISITS, _is_answered, 60)
        told.show(f"{len(Ledger(teller.lines).done)} commits")
        self._check_that_all_answer(Visits(guest.lines))
        told.act("The cluster as etcd has it (etcdctl get --prefix /mirrorfarm/lab/):")
        told.show(_abridged(self._etcdctl("get", "--prefix", "/mirrorfarm/lab/")))
        holders = self._insync_holders()
        told.check(holders == {"a", "b"}, "the in-sync record lists both nodes", ", ".join(sorted(holders)))

    def _lose_power(self, teller: Speaker[Said], guest: Speaker[Visit]) -> None:
        told, lab, b = self._told, self._lab, self._b
        leader, director = lab.etcd.leader(lab.client), servers.director(b)
        teller.wait_for(1, _is_done, 10)
        told.act(
            f"Node a loses its power in mid-commit. It is the database's primary, {director} directs the farm "
            f"(etcd was led by {leader})."
        )
        crash_ns = lab.crash("a", power=True)
        crash = time.time() - (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - crash_ns) / 1e9
        self._wait(b, "ALONE", b)
        teller.wait_for(_MEANWHILE_COMMITS, _is_done, 60)
        guest.wait_for(_MEANWHILE_VISITS, _is_answered, 60)
        book, seen = Ledger(teller.lines), Visits(guest.lines)
        in_flight = len(book.in_flight_at(crash))
        told.check(in_flight > 0, "it was in mid-commit", f"{in_flight} transfers were never answered")
        log = Path(lab.layout.logs(b.machine), "mirrorfarm", "agent.log").read_text().splitlines()
        farm = Farm(servers.MODULE, lost_director=director == "a")
        timeline = of_take_over(crash, log, book, database.MODULE, farm)
        told.timeline(timeline)
        told.show(f"(A lease lasts {DEFAULT_LEASE_TTL_S} s here.)")
        self._check_who_answers_alone(timeline, seen)
        newest = json.loads(b.run(["mirrorfarm", "history", database.MODULE, "--json"]))["entries"][0]
        told.check(
            (newest["node"], newest["previous"], newest["reason"]) == ("b", "a", "primary_lost"),
            "the history says who took over, from whom and why",
            f"{newest['node']} from {newest['previous']}, {newest['reason']}",
        )
        told.show(b.run(["mirrorfarm", "state"]))
        self._check_the_book(book)

    def _check_who_answers_alone(self, timeline: Timeline, seen: Visits) -> None:
        """From the moment in which all slots are b's."""
        told, serves = self._told, timeline.farm_serves
        told.show(f"The page before that: {seen.between(timeline.crash, serves).told()}.")
        after = seen.between(serves)
        told.check(
            set(after.answered_by()) == {"b"} and not after.unanswered, "from then on b answers all", after.told()
        )

    def _return(self, teller: Speaker[Said], guest: Speaker[Visit]) -> None:
        told, lab = self._told, self._lab
        told.act("Node a returns, and catches up while the client goes on.")
        begun = time.time()
        lab.start("a")
        self._wait(self._b, "SECOND", self._a)
        self._check_the_halves(self._b)
        ended = time.time()
        book, seen = Ledger(teller.lines), Visits(guest.lines).between(begun, ended)
        meanwhile = [s for s in book.done if begun < s.at < ended]
        silence_ms = round(book.longest_silence(begun, ended) * 1000)
        told.show(f"{ended - begun:.1f} s, {len(meanwhile)} commits meanwhile, the longest wait {silence_ms} ms")
        told.check(bool(meanwhile), "the client committed all the while")
        broken = [s for s in book.unknown if begun < s.at < ended and not s.why.startswith(_SLOW)]
        told.check(not broken and not seen.unanswered, "and nobody was cut off by what moved back", seen.told())
        guest.wait_for(_VISITS, _is_answered, 60)
        self._check_that_all_answer(Visits(guest.lines).between(ended))
        told.show(self._b.run(["mirrorfarm", "state"]))

    def _swap_back(self, teller: Speaker[Said]) -> None:
        told = self._told
        told.act(f"One command swaps the nodes: mirrorfarm swap {database.MODULE}.")
        begun = time.time()
        self._mirrorfarm(self._b, "swap", database.MODULE, "--timeout", _WAIT)
        self._wait(self._a, "PRIM", self._a)
        teller.wait_for(_MEANWHILE_COMMITS, _is_done, 60)
        silence_ms = round(Ledger(teller.lines).longest_silence(begun, time.time()) * 1000)
        told.show(f"The client went without a commit for {silence_ms} ms at the longest.")
        told.show(self._a.run(["mirrorfarm", "state"]))

    def _check_the_end(self, book: Ledger) -> None:
        told = self._told
        told.act("The client has ended. What it remembers, against what the database has:")
        self._check_the_book(book)
        told.act(f"Both copies, compared online: mirrorfarm verify {database.MODULE}.")
        self._wait(self._a, "PRIM", self._a)
        report = json.loads(self._a.run(["mirrorfarm", "verify", database.MODULE, "--json"], seconds=120))
        told.check(
            not report["error"] and report["differences_total"] == 0,
            "both copies are equal",
            f"{report['entries']} entries, {report['bytes_compared'] >> 20} MiB, "
            f"{report['differences_total']} differences{report['error']}",
        )
        told.act("Both modules are stopped on both nodes.")
        for module in (servers.MODULE, database.MODULE):
            self._mirrorfarm(self._a, "stop", module, "--timeout", _WAIT)
        told.check(self._insync_holders() == {"a", "b"}, "both nodes are still listed as in sync")

    def _check_the_book(self, book: Ledger) -> None:
        """``book`` was read before the database: what it has must be there."""
        told = self._told
        stored = self._database.stored_transfers()
        missing = book.missing_from(stored)
        told.check(not missing, f"all {len(book.done)} commits that the client remembers are there", _some(missing))
        told.check(self._database.money() == database.MONEY, "no money was made or lost")

    def _check_the_halves(self, asked: RunningMachine) -> None:
        shares = servers.wait_for_halves(asked, ("a", "b"), _SHARED_SECONDS)
        found = ", ".join(f"{node} {slots}" for node, slots in sorted(shares.items()))
        self._told.check(shares == dict.fromkeys(("a", "b"), SLOTS // 2), "each node has half of the slots", found)

    def _check_that_all_answer(self, seen: Visits) -> None:
        both = set(seen.answered_by()) == {"a", "b"}
        self._told.check(both and not seen.unanswered, "both nodes answer, and all is answered", seen.told())

    def _insync_holders(self) -> set[str]:
        key = f"/mirrorfarm/lab/modules/{database.MODULE}/insync"
        return {h["node"] for h in json.loads(self._etcdctl("get", "--print-value-only", key))["holders"]}

    def _etcdctl(self, *words: str) -> str:
        endpoints = ",".join(f"http://{e}" for e in self._lab.layout.endpoints())
        return self._lab.client.run(["etcdctl", f"--endpoints={endpoints}", *words])

    def _mirrorfarm(self, node: RunningMachine, *words: str) -> None:
        """One command, as an operator types it on ``node``."""
        self._told.show(f"{node.name}# mirrorfarm {' '.join(words)}")
        node.run(["mirrorfarm", *words], seconds=120)

    def _wait(self, asked: RunningMachine, state: str, node: RunningMachine) -> None:
        words = ["wait", database.MODULE, state, "--node", node.name, "--timeout", _WAIT]
        asked.run(["mirrorfarm", *words], seconds=120)


def _is_done(said: Said) -> bool:
    return said.kind == "done"


def _is_answered(visit: Visit) -> bool:
    return bool(visit.node)


def _abridged(text: str) -> str:
    """Keys and values in turn, each value on one short line."""
    lines = text.splitlines()
    shown = []
    for line in lines:
        indent = "" if re.match(r"/mirrorfarm/[\w/.:-]+$", line) else "    "
        shown.append(indent + (line if len(line) <= _VALUE_COLUMNS else line[: _VALUE_COLUMNS - 3] + "..."))
    return "\n".join(shown)


def _some(numbers: list[int]) -> str:
    return f"{len(numbers)} missing, as {', '.join(map(str, numbers[:5]))}" if numbers else ""


def _tell_logs(lab: Lab, told: Teaching) -> None:
    """The ends of all logs: they go with the lab."""
    for log in sorted(Path(lab.layout.directory).glob("*/log/mirrorfarm/**/*")):
        if log.is_file():
            told.act(f"{log.relative_to(lab.layout.directory)} ends so:")
            told.show("\n".join(log.read_text(errors="replace").splitlines()[-_KEPT_LINES:]))


def _check_that_nothing_is_left(lab: Lab, told: Teaching) -> None:
    directory = lab.layout.directory
    left = [path for path in lab.traces if os.path.exists(path)] + loops_below(directory)
    if f"{directory}/" in Path("/proc/self/mountinfo").read_text():
        left.append("mounts")
    told.check(not left, "nothing is left behind", ", ".join(left))
