"""Each packet has one taker: in each phase of a slot, also where nodes are one table apart; no frame goes on twice."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.adapters.nft import COMMANDS_IN_A_SECOND, NFT_SECONDS, seconds_for
from agent.core.farm.hashing import slot_of
from agent.core.farm.nft_json import MARK
from agent.core.farm.nft_lasting import ENDED, preparing
from agent.core.farm.nft_ways import counter_name, way_chain
from agent.core.farm.nftables import loading, unloading
from agent.core.farm.ruleset import Here, Port, Ruleset, Way, ruleset
from manager.model.config.farm_config import Affinity, Protocol, RuleConfig
from manager.model.farm import NOBODY, SLOTS, SlotTable
from tests.support.packets import Delivery, Memory, Packet, Part, deliver, in_the_stack

NODES = ("a", "b", "c")
MACS = {node: f"02:00:00:00:00:0{place}" for place, node in enumerate(NODES, 1)}
ADDRESS, SEED = "10.99.0.100", 77
RULES = (
    RuleConfig(Protocol.TCP, 80, 90),
    RuleConfig(Protocol.TCP, 443, 443, Affinity.CONNECTION),
    RuleConfig(Protocol.UDP, 53, 53),
)
SETTLED, COMING, LEAVING = "settled", "coming", "leaving"


def table(phase: str, owner: str, other: str = "", number: int = 1) -> SlotTable:
    """All slots in the same phase; ``other``: who comes, or leaves."""

    def filled(node: str) -> str:
        return (str(NODES.index(node)) if node else NOBODY) * SLOTS

    coming, leaving = (other if phase == COMING else "", other if phase == LEAVING else "")
    return SlotTable(number, NODES, filled(owner), filled(coming), filled(leaving))


@cache
def rules_at(node: str, of: SlotTable, unreached: str = "") -> Ruleset:
    here = Here("web", node, SEED, RULES, {ADDRESS: Port("eth0", MACS[node])})
    return ruleset(here, {ADDRESS: of}, {ADDRESS: {n: mac for n, mac in MACS.items() if n != unreached}})


def send(
    at: Mapping[str, SlotTable], packet: Packet, enters: str, known_by: str = "", memory: Memory | None = None
) -> Delivery:
    """``at``: by node its table; a node that is not there is dead."""
    found = deliver({node: rules_at(node, of) for node, of in at.items()}, set(known_by), packet, enters, memory)
    senders = {mac: node for node, mac in MACS.items()}
    assert all(senders[frame.source] == enters for frame in found.forwarded), "what a member forwarded went on"
    return found


def of_client(port: int = 80, begins: bool = False, protocol: Protocol = Protocol.TCP) -> Packet:
    return Packet("192.0.2.7", 40001, ADDRESS, port, protocol, begins)


STEPS = {
    "comes to be settled on another": (table(SETTLED, "a"), table(COMING, "a", "b")),
    "is handed over": (table(COMING, "a", "b"), table(LEAVING, "b", "a")),
    "has no connections left": (table(LEAVING, "b", "a"), table(SETTLED, "b")),
}
each_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
tables_of = st.fixed_dictionaries({node: st.integers(0, 1) for node in NODES})
entry = st.sampled_from(NODES)
ports = st.sampled_from((85, 443))


@each_step
@settings(deadline=None, max_examples=30)
@given(which=tables_of, enters=entry, port=ports)
def test_what_begins_has_one_taker(
    step: tuple[SlotTable, SlotTable], which: dict[str, int], enters: str, port: int
) -> None:
    at = {node: step[chosen] for node, chosen in which.items()}
    takers = send(at, of_client(port, begins=True), enters).takers
    assert takers == (at[enters].owner(0),)


@each_step
@settings(deadline=None, max_examples=60)
@given(which=tables_of, enters=entry, port=ports, home=st.sampled_from("ab"))
def test_only_who_has_a_connection_answers_it(
    step: tuple[SlotTable, SlotTable], which: dict[str, int], enters: str, port: int, home: str
) -> None:
    at = {node: step[chosen] for node, chosen in which.items()}
    by = at[enters]
    reaches = {by.owner(0), by.leaver(0)}
    could_begin_there = home in reaches or any(home == t.owner(0) for t in step)
    gone_from_there = step[1].is_settled and home != step[1].owner(0)
    assume(could_begin_there and not gone_from_there)
    takers = send(at, of_client(port), enters, known_by=home).takers
    if home in reaches:
        assert takers == (home,)
    else:
        # It came by the former table of a node that does not direct any more: the client sends it again.
        assert takers == ()


@each_step
@settings(deadline=None, max_examples=30)
@given(which=tables_of, enters=entry, port=ports)
def test_no_two_answer_what_nobody_knows(
    step: tuple[SlotTable, SlotTable], which: dict[str, int], enters: str, port: int
) -> None:
    at = {node: step[chosen] for node, chosen in which.items()}
    assert len(send(at, of_client(port), enters).takers) <= 1


@each_step
@settings(deadline=None, max_examples=30)
@given(which=tables_of, enters=entry)
def test_a_datagram_has_one_taker(step: tuple[SlotTable, SlotTable], which: dict[str, int], enters: str) -> None:
    at = {node: step[chosen] for node, chosen in which.items()}
    assert send(at, of_client(53, protocol=Protocol.UDP), enters).takers == (at[enters].owner(0),)


@pytest.mark.parametrize(
    ("before", "after", "dead"),
    [
        (table(SETTLED, "a"), table(SETTLED, "b"), "a"),
        (table(COMING, "a", "b"), table(SETTLED, "b"), "a"),
        (table(COMING, "a", "b"), table(SETTLED, "a"), "b"),
        (table(LEAVING, "b", "a"), table(SETTLED, "b"), "a"),
        (table(LEAVING, "b", "a"), table(SETTLED, "a"), "b"),
    ],
)
@settings(deadline=None, max_examples=20)
@given(which=tables_of, enters=entry, begins=st.booleans())
def test_when_a_party_dies_no_two_take_and_in_the_end_the_other_does(
    before: SlotTable, after: SlotTable, dead: str, which: dict[str, int], enters: str, begins: bool
) -> None:
    living = [node for node in NODES if node != dead]
    enters = enters if enters != dead else "c"
    at = {node: (before, after)[which[node]] for node in living}
    assert len(send(at, of_client(begins=begins), enters).takers) <= 1
    for known_by in ("", after.owner(0)):
        everywhere = dict.fromkeys(living, after)
        assert send(everywhere, of_client(begins=begins), enters, known_by).takers == (after.owner(0),)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_no_frame_goes_in_a_circle_whatever_nodes_believe(data: st.DataObject) -> None:
    choices = st.sampled_from(NODES)
    phases = st.sampled_from((SETTLED, COMING, LEAVING))
    at = {}
    for node in NODES:
        owner, other = data.draw(st.permutations(NODES))[:2]
        phase = data.draw(phases)
        at[node] = table(phase, owner, "" if phase == SETTLED else other)
    send(at, of_client(begins=data.draw(st.booleans())), data.draw(choices), data.draw(st.sampled_from(("", *NODES))))


SHARED_PORTS = ((85, Protocol.TCP), (443, Protocol.TCP), (53, Protocol.UDP))
OTHER_PORTS = ((22, Protocol.TCP), (5353, Protocol.UDP))
any_port = st.sampled_from((*SHARED_PORTS, *OTHER_PORTS))


def whole_at(
    at: Mapping[str, SlotTable], packet: Packet, first: Delivery, later: Delivery, known_by: str
) -> tuple[str, ...]:
    """The nodes that got all fragments, and took what they are of."""
    got = (node for node in first.reached if node in later.reached)
    return tuple(node for node in got if in_the_stack(rules_at(node, at[node]), packet, node in known_by))


@each_step
@settings(deadline=None, max_examples=60)
@given(which=tables_of, enters=entry, port=any_port, begins=st.booleans(), home=st.sampled_from(("", "a", "b")))
def test_fragments_are_taken_by_who_would_take_the_whole(
    step: tuple[SlotTable, SlotTable],
    which: dict[str, int],
    enters: str,
    port: tuple[int, Protocol],
    begins: bool,
    home: str,
) -> None:
    at = {node: step[chosen] for node, chosen in which.items()}
    packet = of_client(port[0], begins and port[1] is Protocol.TCP, port[1])
    memory: Memory = {}
    first = send(at, replace(packet, part=Part.FIRST), enters, home, memory)
    later = send(at, replace(packet, part=Part.LATER), enters, home, memory)
    assert whole_at(at, packet, first, later, home) == send(at, packet, enters, home).takers


@each_step
@settings(deadline=None, max_examples=60)
@given(ways=st.tuples(tables_of, tables_of), entries=st.tuples(entry, entry), port=any_port, home=st.sampled_from("ab"))
def test_no_two_take_fragments_that_came_different_ways(
    step: tuple[SlotTable, SlotTable],
    ways: tuple[dict[str, int], dict[str, int]],
    entries: tuple[str, str],
    port: tuple[int, Protocol],
    home: str,
) -> None:
    """Another table is loaded in between, another node directs."""
    packet, memories = of_client(port[0], protocol=port[1]), {node: Memory() for node in NODES}
    tables = [{node: step[chosen] for node, chosen in which.items()} for which in ways]
    first = send(tables[0], replace(packet, part=Part.FIRST), entries[0], home, memories[entries[0]])
    later = send(tables[1], replace(packet, part=Part.LATER), entries[1], home, memories[entries[1]])
    assert len(whole_at(tables[1], packet, first, later, home)) <= 1


@pytest.mark.parametrize("port", (*SHARED_PORTS, *OTHER_PORTS))
@pytest.mark.parametrize("enters", NODES)
def test_a_fragment_before_the_first_one_goes_by_client_where_all_rules_do(
    port: tuple[int, Protocol], enters: str
) -> None:
    at = dict.fromkeys(NODES, table(SETTLED, "b"))
    packet = replace(of_client(port[0], protocol=port[1]), part=Part.LATER)
    assert send(at, packet, enters).reached == ("b" if port[1] is Protocol.UDP else enters,)


@each_step
@settings(deadline=None, max_examples=60)
@given(which=tables_of, enters=entry, port=st.sampled_from(SHARED_PORTS), home=st.sampled_from("ab"))
def test_an_error_about_an_answer_reaches_who_gave_it(
    step: tuple[SlotTable, SlotTable], which: dict[str, int], enters: str, port: tuple[int, Protocol], home: str
) -> None:
    at = {node: step[chosen] for node, chosen in which.items()}
    by = at[enters]
    found = send(at, replace(of_client(port[0], protocol=port[1]), is_error=True), enters, home)
    assert set(found.takers) == {by.owner(0), by.leaver(0)} - {""}
    assert len(found.takers) == len(set(found.takers))


@pytest.mark.parametrize("port", OTHER_PORTS)
def test_an_error_about_what_no_rule_shares_stays_where_it_came(port: tuple[int, Protocol]) -> None:
    at = dict.fromkeys(NODES, table(SETTLED, "b"))
    found = send(at, replace(of_client(port[0], protocol=port[1]), is_error=True), "c")
    assert (found.takers, found.forwarded) == (("c",), ())


def test_each_slot_goes_its_own_way() -> None:
    owners = "".join("01-"[slot % 3] for slot in range(SLOTS))
    of = replace(table(SETTLED, "a"), owners=owners)
    for i in range(60):
        packet = replace(of_client(begins=True), client=f"192.0.2.{i}")
        slot = slot_of(packet.client, packet.client_port, Affinity.CLIENT, SEED)
        expected = {"0": ("a",), "1": ("b",), "-": ()}[owners[slot]]
        assert send(dict.fromkeys(NODES, of), packet, "c").takers == expected


def test_what_no_rule_shares_stays_where_it_came() -> None:
    found = send(dict.fromkeys(NODES, table(SETTLED, "b")), of_client(port=22), "c")
    assert found.takers == ("c",)
    assert not found.forwarded


def test_a_node_whose_mac_is_not_known_gets_nothing() -> None:
    (settled,) = rules_at("c", table(SETTLED, "b"), "b").sharings
    (leaving,) = rules_at("c", table(LEAVING, "b", "a"), "b").sharings
    (left,) = rules_at("c", table(LEAVING, "a", "b"), "b").sharings
    assert settled.ways == {}
    assert leaving.ways[0] == Way("", ("a",))
    assert left.ways[0] == Way("a", ("a",))


def test_an_address_that_a_rule_does_not_name_is_not_shared_by_it() -> None:
    rule = RuleConfig(Protocol.TCP, 80, 80, addresses=("10.99.0.101",))
    here = Here("web", "a", SEED, (rule,), {ADDRESS: Port("eth0", MACS["a"])})
    assert ruleset(here, {ADDRESS: table(SETTLED, "b")}, {ADDRESS: MACS}).sharings[0].rules == ()


def test_a_transaction_defines_what_it_names_and_touches_only_its_own_tables() -> None:
    owners = "".join("012-"[slot % 4] for slot in range(SLOTS))
    leaving = "".join("1-1-"[slot % 4] for slot in range(SLOTS))
    made = rules_at("a", replace(table(SETTLED, "a"), owners=owners, leaving=leaving))
    commands = json.loads(json.dumps(loading(made)))["nftables"]
    lasting = [line.split() for line in preparing(made).splitlines()]
    assert {words[0] for words in lasting} == {"add"}
    assert all("mirrorfarm_web" in words[3:5] for words in lasting)
    sets = {words[4] for words in lasting if words[1] == "set"}
    assert any(words[1:3] == ["ct", "timeout"] and words[5] == ENDED for words in lasting)
    chains: set[str] = set()
    for command in commands:
        ((verb, what),) = command.items()
        ((kind, said),) = what.items()
        assert verb in ("add", "flush")
        assert (said["name"] if kind == "table" else said["table"]) == "mirrorfarm_web"
        if kind == "chain":
            chains.add(said["name"])
        if kind == "rule":
            targets = {words.split('"')[0] for words in json.dumps(said["expr"]).split('"target": "')[1:]}
            assert targets <= chains, "a chain is made before a rule goes to it"
            assert {words.split('"')[0] for words in json.dumps(said["expr"]).split('"@')[1:]} <= sets
            assert {statement.get("ct timeout", ENDED) for statement in said["expr"]} == {ENDED}
            assert len(said["comment"]) < 128
    deleted = [command for command in unloading("web")["nftables"] if "delete" in command]
    assert [c["delete"]["table"]["name"] for c in deleted] == ["mirrorfarm_web"] * 2


SIXTEEN = tuple(f"n{place:x}" for place in range(16))
SIXTEEN_MACS = {node: f"02:00:00:00:01:{place:02x}" for place, node in enumerate(SIXTEEN)}
Json = dict[str, Any]


def sixteen(
    rows: Callable[[int], tuple[str, str]], unreached: str = "", rules: tuple[RuleConfig, ...] = RULES
) -> Ruleset:
    """Of n0; ``rows``: a slot's owner and leaver, as digits."""
    owners, leaving = ("".join(digits) for digits in zip(*map(rows, range(SLOTS)), strict=True))
    of = SlotTable(1, SIXTEEN, owners, NOBODY * SLOTS, leaving)
    here = Here("web", "n0", SEED, rules, {ADDRESS: Port("eth0", SIXTEEN_MACS["n0"])})
    return ruleset(here, {ADDRESS: of}, {ADDRESS: {n: mac for n, mac in SIXTEEN_MACS.items() if n != unreached}})


def all_pairs(slot: int) -> tuple[str, str]:
    """Each node leaves slots to each other one; a slot that none leaves is its owner's, or nobody's."""
    owner, leaver = slot % 16, slot // 16 % 16
    return f"{owner:x}" if slot % 37 else NOBODY, f"{leaver:x}" if leaver != owner else NOBODY


def rules_by_chain(made: Ruleset) -> dict[str, list[list[Json]]]:
    """Those of the links, as their statements."""
    found: dict[str, list[list[Json]]] = {}
    for command in loading(made)["nftables"]:
        rule = command.get("add", {}).get("rule", {})
        if rule.get("family") == "netdev":
            found.setdefault(rule["chain"], []).append(rule["expr"])
    return found


def goes_to(chains: Mapping[str, list[list[Json]]], chain: str, slot: int) -> tuple[str, bool]:
    """Where a packet of a slot comes to from ``chain``, and whether it has no mark any more; empty: it is dropped."""
    mark = 0
    while chain.startswith(("slots/", "errors/plain/", "ways/")):
        for statements in chains[chain]:
            target, is_taken = "", True
            for statement in statements:
                if "match" in statement:
                    assert statement["match"]["left"] == MARK
                    is_taken = is_taken and mark in statement["match"]["right"]["set"]
                elif is_taken and "mangle" in statement:
                    written_to = statement["mangle"]
                    assert written_to["key"] == MARK
                    mark = slot if "jhash" in str(written_to["value"]) else written_to["value"]
                elif is_taken and "goto" in statement:
                    target = statement["goto"]["target"]
                elif is_taken and "drop" in statement:
                    return "", True
            if target:
                chain = target
                break
        else:
            raise AssertionError(f"slot {slot} comes to the end of {chain}")
    return chain, mark == 0


@pytest.mark.parametrize("unreached", ["", "n3"])
def test_whatever_a_slot_is_computed_of_it_is_found_and_leaves_no_mark(unreached: str) -> None:
    made = sixteen(all_pairs, unreached)
    (sharing,), chains = made.sharings, rules_by_chain(made)
    assert len(set(sharing.ways.values())) > 200
    begins = {way.begins for way in sharing.ways.values()}
    assert "" in begins and len(begins) == (16 if unreached else 17)
    starts = [f"{where}/{affinity}/{ADDRESS}" for where in ("slots", "errors/plain") for affinity in Affinity]
    for start in starts:
        for slot in range(SLOTS):
            way = sharing.ways.get(slot)
            assert goes_to(chains, start, slot) == ("" if way is None else way_chain(sharing, way), True)


def test_the_sets_to_look_through_are_few_though_every_node_leaves_slots_to_every_other_one() -> None:
    """A kernel needs seconds for some thousand of them, and while it does no slot of a dead node is another's."""
    by_client = sixteen(all_pairs, rules=RULES[:1])
    chains = rules_by_chain(by_client)
    looked_through = {
        chain: sum("set" in str(statement.get("match", {}).get("right")) for rule in rules for statement in rule)
        for chain, rules in chains.items()
        if "for/" not in chain
    }
    assert max(looked_through.values()) <= 17
    ways = len(set(by_client.sharings[0].ways.values()))
    assert sum(looked_through.values()) <= ways + 20 * 2


def test_larger_rules_have_more_time_and_those_of_a_few_nodes_hardly_any() -> None:
    """Sixteen addresses of sixteen nodes take half a minute at the worst."""
    assert len(loading(sixteen(all_pairs))["nftables"]) * 16 / COMMANDS_IN_A_SECOND > 30
    assert seconds_for(loading(rules_at("a", table(LEAVING, "b", "a")))) < NFT_SECONDS + 1


def test_an_address_without_a_link_is_guarded_and_not_shared() -> None:
    other = "10.99.0.101"
    here = Here("web", "a", SEED, RULES, {other: Port("eth0", MACS["a"])})
    of = table(COMING, "a", "b", number=7)
    made = ruleset(here, {ADDRESS: of, other: of}, {other: MACS})
    assert made.numbers == {other: 7}
    rules = [c["add"]["rule"] for c in loading(made)["nftables"] if "rule" in c.get("add", {})]
    guards = {r["comment"] for r in rules if r["family"] == "inet"}
    assert {f"{ADDRESS} tcp 80-90 by client", f"{other} tcp 80-90 by client"} <= guards
    assert ADDRESS not in json.dumps([r for r in rules if r["family"] == "netdev"])
    assert ADDRESS not in preparing(made)


def test_names_of_counters_can_be_written_in_nfts_language() -> None:
    assert counter_name("a", "fd99::100") == "to/a/fd99..100"
    assert counter_name("", "10.99.0.100") == "nobody/10.99.0.100"
