"""farm.show, farm.where, farm.weight: what is told from etcd alone, what is written, and what is refused."""

from dataclasses import replace

import pytest

from agent.core.farm.hashing import seed_of, slot_of
from agent.runtime.handlers_farm import FarmHandlers
from manager.model.api import ErrorKind
from manager.model.api_farm import (
    FarmPlace,
    FarmReport,
    FarmShowArguments,
    FarmTrafficArguments,
    FarmWeightArguments,
    FarmWeightResult,
    FarmWhereArguments,
    Way,
)
from manager.model.config.farm_config import Affinity, Protocol
from manager.model.farm import NOBODY, SLOTS, DirectorRecord, SlotsRecord, SlotTable
from manager.model.farm_resources import farm_resources
from manager.model.reasons import Reason
from manager.model.records import WEIGHT, DesiredRecord, MemberRecord, ModuleConfigRecord, NodeRecord
from manager.model.states import ModuleState, Readiness, Run
from manager.store.api import Put, Txn, TxnResult
from manager.store.fake_store import FakeStore, Link
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, refusal, toml

WEB = KEYS.module("web")
VIP, VIP6, OTHER = "10.77.0.110", "fd77::110", "10.77.0.111"
TOML = f"""name = "web"
kind = "farm"
nodes = ["a", "b", "c"]

[[address]]
ip = "{VIP}/24"

[[address]]
ip = "{VIP6}/64"

[[rule]]
protocol = "tcp"
ports = "80-90"

[[rule]]
protocol = "udp"
ports = "53"
addresses = ["{VIP}"]
"""
CLIENT = "10.0.0.5"
NODES = ("a", "b", "c")
SLOT = slot_of(CLIENT, 0, Affinity.CLIENT, seed_of("m"))


def one_slot(owner: str, coming: str = NOBODY, leaving: str = NOBODY) -> SlotTable:
    """A table in which only the client's slot is so; all others are c's."""

    def row(digit: str, others: str) -> str:
        return others * SLOT + digit + others * (SLOTS - SLOT - 1)

    return SlotTable(9, NODES, row(owner, "2"), row(coming, NOBODY), row(leaving, NOBODY))


def make(*registered: str, text: str = TOML, up: str = "abc", table: SlotTable | None = None) -> Bench:
    bench = Bench(*(registered or NODES))
    bench.put(WEB.config, ModuleConfigRecord("m", 1, text, {}, "", ""))
    bench.put(KEYS.module("db").config, ModuleConfigRecord("d", 1, toml(), {}, "", ""))
    bench.put(WEB.director(VIP), DirectorRecord("c", VIP))
    bench.put(WEB.slots(VIP), SlotsRecord(VIP, "c", table or one_slot("0")))
    for node in up:
        bench.put(WEB.member(node), MemberRecord(node, ModuleState.UP, Readiness.READY, "serving", "", "", None, None))
    return bench


async def where(bench: Bench, client: str = CLIENT, port: int = 0, **more: object) -> FarmPlace:
    arguments = FarmWhereArguments("web", client, port, **more)  # type: ignore[arg-type]
    return await FarmHandlers(bench.seat).where(arguments, ROOT, bench.report)


async def weight(bench: Bench, node: str, number: int | None, *, accept: bool = False) -> FarmWeightResult:
    return await FarmHandlers(bench.seat).weight(FarmWeightArguments("web", node, number, accept), ROOT, bench.report)


def test_a_client_gets_the_owner_of_its_slot() -> None:
    bench = make()

    async def story() -> None:
        place = await where(bench)
        assert (place.node, place.way, place.slot, place.other) == ("a", Way.SETTLED, SLOT, "")
        assert (place.address, place.director, place.number, place.registered) == (VIP, "c", 9, True)
        assert place.rule is not None and place.rule.first_port == 80 and place.store_reachable
        assert await where(bench, f"::ffff:{CLIENT}") == place

    bench.run(story)


@pytest.mark.parametrize(
    ("table", "node", "way", "other", "switched"),
    [
        (one_slot("0", coming="1"), "a", Way.COMING, "b", None),
        (one_slot("1", leaving="0"), "b", Way.LEAVING, "a", False),
        (replace(one_slot("1", leaving="0"), switched=True), "b", Way.LEAVING, "a", True),
        (one_slot(NOBODY), "", Way.NOBODY, "", None),
        (one_slot(NOBODY, leaving="0"), "", Way.NOBODY, "a", False),
    ],
)
def test_a_slot_on_its_way_is_told_as_such(
    table: SlotTable, node: str, way: Way, other: str, switched: bool | None
) -> None:
    bench = make(table=table)

    async def story() -> None:
        place = await where(bench)
        assert (place.node, place.way, place.other, place.switched) == (node, way, other, switched)

    bench.run(story)


def test_what_no_rule_shares_the_director_takes() -> None:
    bench = make()

    async def story() -> None:
        place = await where(bench, protocol=Protocol.TCP, service=91)
        assert (place.node, place.way, place.slot, place.rule) == ("c", Way.NO_RULE, None, None)
        shared = await where(bench, protocol=Protocol.UDP, service=53)
        assert shared.rule is not None and shared.rule.protocol is Protocol.UDP and shared.node == "a"

    bench.run(story)


@pytest.mark.parametrize(("up", "node", "way"), [("abc", "b", Way.OWN), ("ac", "a", Way.SETTLED)])
def test_a_node_that_holds_the_address_itself_gets_itself(up: str, node: str, way: Way) -> None:
    bench = make(up=up)
    bench.put(KEYS.node("b"), NodeRecord("b", ("10.77.0.2", CLIENT), "1", "boot-b", "i-b", 1))

    async def story() -> None:
        place = await where(bench)
        assert (place.node, place.way) == (node, way)

    bench.run(story)


def test_before_the_first_table_no_node_is_named() -> None:
    bench = make()

    async def story() -> None:
        place = await where(bench, "fd00::5")
        assert (place.address, place.node, place.way, place.director) == (VIP6, "", Way.NO_TABLE, "")

    bench.run(story)


def test_by_connection_the_port_counts_and_has_to_be_said() -> None:
    bench = make(text=TOML.replace('ports = "80-90"', 'ports = "80-90"\naffinity = "connection"').replace("53", "54"))

    async def story() -> None:
        differ = await refusal(where(bench))
        assert differ.kind is ErrorKind.BAD_REQUEST and "--rule tcp/80 (by connection)" in differ.remedy
        assert "--rule udp/54 (by client)" in differ.remedy
        no_port = await refusal(where(bench, protocol=Protocol.TCP, service=80))
        assert no_port.kind is ErrorKind.BAD_REQUEST and "CLIENT:PORT" in no_port.remedy
        place = await where(bench, port=40_000, protocol=Protocol.TCP, service=80)
        assert place.slot == slot_of(CLIENT, 40_000, Affinity.CONNECTION, seed_of("m"))

    bench.run(story)


def test_where_it_cannot_be_told_the_reason_is() -> None:
    bench = make(text=TOML + f'\n[[address]]\nip = "{OTHER}/24"\n')

    async def story() -> None:
        several = await refusal(where(bench))
        assert VIP in several.message and OTHER in several.message and "--address" in several.remedy
        assert (await where(bench, address=VIP)).node == "a"
        assert (await refusal(where(bench, address="10.9.9.9"))).kind is ErrorKind.NOT_FOUND
        assert "IPv4" in (await refusal(where(bench, address=VIP6))).message
        assert (await where(bench, "fd00::5", address="FD77:0::110")).address == VIP6
        for client, port in (("host", 0), ("", 0), (CLIENT, 65_536), (CLIENT, -1)):
            assert (await refusal(where(bench, client, port))).kind is ErrorKind.BAD_REQUEST

    bench.run(story)


def test_a_table_of_another_release_is_not_read() -> None:
    bench = make()

    async def story() -> None:
        bench.etcd.commit_now(Txn((), (Put(WEB.slots(VIP), '{"address": 5}'), Put(WEB.director(VIP), "{}"))))
        await bench.until(lambda: bench.view.kvs[WEB.director(VIP)].value == "{}")
        assert (await refusal(where(bench))).kind is ErrorKind.FAILED
        assert (await where(bench, protocol=Protocol.TCP, service=1)).director is None

    bench.run(story)


def test_without_etcd_it_is_told_how_old_the_answer_is() -> None:
    bench = make()

    async def story() -> None:
        bench.store.set_link(Link.DOWN)
        bench.etcd.advance(30)
        place = await where(bench)
        assert (place.node, place.store_reachable, place.age_ms, place.registered) == ("a", False, 30_000, None)

    bench.run(story)


def test_the_owner_may_be_one_whose_agent_is_gone() -> None:
    bench = make("b", "c")

    async def story() -> None:
        assert (await where(bench)).registered is False

    bench.run(story)


def test_show_has_the_tables_the_rules_and_the_chain() -> None:
    bench = make(table=one_slot("1", leaving="0"))

    async def story() -> None:
        report: FarmReport = await FarmHandlers(bench.seat).show(FarmShowArguments("web"), ROOT, bench.report)
        assert [t.address for t in report.tables] == [VIP, VIP6]
        assert report.tables[0].shares == {"b": 1, "c": 1023} and report.tables[0].moving[0].leaving == 1
        assert [r.protocol for r in report.rules] == [Protocol.TCP, Protocol.UDP] and report.chain == (NODES,)

    bench.run(story)


def test_a_mirror_shares_nothing() -> None:
    bench = make()

    async def story() -> None:
        handlers = FarmHandlers(bench.seat)
        for call in (
            handlers.show(FarmShowArguments("db"), ROOT, bench.report),
            handlers.where(FarmWhereArguments("db", CLIENT), ROOT, bench.report),
            handlers.weight(FarmWeightArguments("db", "a", 0), ROOT, bench.report),
        ):
            error = await refusal(call)
            assert error.kind is ErrorKind.REFUSED and "db is a mirror" in error.message
        none = handlers.show(FarmShowArguments("zz"), ROOT, bench.report)
        assert (await refusal(none)).kind is ErrorKind.NOT_FOUND

    bench.run(story)


def test_a_configuration_of_another_release_is_no_farm() -> None:
    bench = make(text=TOML + "colour = 1\n")

    async def story() -> None:
        assert "not understood" in (await refusal(where(bench))).message

    bench.run(story)


def test_a_weight_stands_beside_what_else_is_wanted_and_is_taken_back() -> None:
    bench = make()
    bench.put(WEB.desired("b"), DesiredRecord(Run.STARTED, {"boot": "off"}))

    async def story() -> None:
        assert await weight(bench, "b", 5) == FarmWeightResult("web", "b", 1, 5, switched=True)
        assert bench.view.keys.desired("web", "b") == DesiredRecord(Run.STARTED, {"boot": "off", WEIGHT: "5"})
        assert await weight(bench, "c", 100) == FarmWeightResult("web", "c", 1, 100, switched=True)
        assert bench.view.keys.desired("web", "c") == DesiredRecord(Run.STOPPED, {WEIGHT: "100"})
        assert await weight(bench, "b", None) == FarmWeightResult("web", "b", 5, 1, switched=False)
        assert bench.view.keys.desired("web", "b") == DesiredRecord(Run.STARTED, {"boot": "off"})
        before = bench.etcd.revision
        assert await weight(bench, "b", None) == FarmWeightResult("web", "b", 1, 1, switched=False)
        assert bench.etcd.revision == before

    bench.run(story)


def test_wrong_weights_and_nodes_are_refused_and_nothing_is_written() -> None:
    bench = make()

    async def story() -> None:
        before = bench.etcd.revision
        for number in (-1, 101):
            assert (await refusal(weight(bench, "b", number))).kind is ErrorKind.BAD_REQUEST
        assert (await refusal(weight(bench, "zz", 1))).kind is ErrorKind.NOT_FOUND
        assert bench.etcd.revision == before

    bench.run(story)


@pytest.mark.parametrize(
    ("up", "says"), [("ab", "c would have one, and takes nothing now"), ("b", "a and c would have one")]
)
def test_the_last_one_that_is_up_is_not_drained_without_a_word(up: str, says: str) -> None:
    bench = make(up=up)

    async def story() -> None:
        if "a" in up:
            await weight(bench, "a", 0)
        error = await refusal(weight(bench, "b", 0))
        assert (error.kind, error.reason) == (ErrorKind.REFUSED, Reason.NOBODY_LEFT) and says in error.message
        assert (await weight(bench, "b", 0, accept=True)).weight == 0

    bench.run(story)


def test_a_node_whose_traffic_is_closed_takes_nothing() -> None:
    bench = make()
    closed = MemberRecord(
        "b", ModuleState.UP, Readiness.TRANSIENT, "traffic_closed", "", "", None, None,
        resources=farm_resources({}, is_open=False),
    )  # fmt: skip
    bench.put(WEB.member("b"), closed)

    async def story() -> None:
        await weight(bench, "a", 0)
        refused = await refusal(weight(bench, "c", 0))
        assert refused.reason == Reason.NOBODY_LEFT and "b would have one, and takes nothing now" in refused.message

    bench.run(story)


def test_of_a_mirror_there_is_no_traffic_to_open() -> None:
    bench = make()

    async def story() -> None:
        refused = await refusal(FarmHandlers(bench.seat).traffic(FarmTrafficArguments("db", True), ROOT, bench.report))
        assert "db is a mirror" in refused.message

    bench.run(story)


def test_the_last_weight_of_all_is_not_taken_without_a_word_though_no_node_is_up() -> None:
    bench = make(up="")

    async def story() -> None:
        await weight(bench, "a", 0)
        await weight(bench, "b", 0)
        error = await refusal(weight(bench, "c", 0))
        assert error.reason == Reason.NOBODY_LEFT and error.message == "No node of web would have a weight above 0."
        assert (await weight(bench, "a", 0)).weight == 0, "what it is already is not asked about"

    bench.run(story)


def test_two_operators_at_once_cannot_drain_what_neither_would_have() -> None:
    bench = make(up="ab")
    bench.put(WEB.desired("c"), DesiredRecord(Run.STOPPED, {WEIGHT: "0"}))

    class Rival(FakeStore):
        """Another operator drains node a in between, once."""

        raced = False

        async def commit(self, txn: Txn) -> TxnResult:
            if not self.raced:
                self.raced = True
                bench.put(WEB.desired("a"), DesiredRecord(Run.STARTED, {WEIGHT: "0"}))
            return await super().commit(txn)

    rival = Rival(bench.etcd)
    bench.seat = type(bench.seat)("a", "1", bench.view, rival, bench.seat.modules)

    async def story() -> None:
        assert (await refusal(weight(bench, "b", 0))).reason == Reason.NOBODY_LEFT
        assert bench.view.keys.desired("web", "b") is None

    bench.run(story)


def test_what_another_release_wants_of_a_node_is_not_overwritten() -> None:
    bench = make()

    async def story() -> None:
        bench.etcd.commit_now(Txn((), (Put(WEB.desired("b"), '{"run": "hibernating"}'),)))
        await bench.until(lambda: WEB.desired("b") in bench.view.kvs)
        assert "not understood" in (await refusal(weight(bench, "b", 3))).message

    bench.run(story)


@pytest.mark.parametrize("client", [VIP, VIP6, OTHER])
def test_no_client_has_an_address_of_the_farm(client: str) -> None:
    bench = make()

    async def story() -> None:
        if client == OTHER:
            assert (await where(bench, client)).node
        else:
            refused = await refusal(where(bench, client))
            assert refused.kind is ErrorKind.BAD_REQUEST and f"{client} is an address of web itself" in refused.message

    bench.run(story)


def test_show_says_by_which_configuration_each_node_runs() -> None:
    bench = make()
    runs = MemberRecord(
        "b", ModuleState.UP, Readiness.READY, "serving", "", "", None, None,
        resources=farm_resources({}, generation=3),
    )  # fmt: skip
    bench.put(WEB.member("b"), runs)

    async def story() -> None:
        report = await FarmHandlers(bench.seat).show(FarmShowArguments("web"), ROOT, bench.report)
        assert (report.generation, report.running) == (1, {"a": None, "b": 3, "c": None})

    bench.run(story)
