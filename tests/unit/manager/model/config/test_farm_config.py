"""A farm's module.toml and scripts: the least module, what may be added to it, and every mistake named."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.config import (
    AddressConfig,
    Affinity,
    FarmConfig,
    InvalidConfig,
    Protocol,
    RuleConfig,
    Traffic,
    directories_of,
    parse_module,
    refuse_conflicts,
)
from manager.model.config.findings import Findings
from manager.model.config.parse_farm import parse_farm
from manager.model.config.parse_rules import HIGHEST_PORT, MOST_RULES
from manager.model.config.tables import Table
from manager.model.states import ModuleKind
from tests.support.configurations import farm, mirror

LEAST = """name = "web"
kind = "farm"
nodes = ["a", "b"]

[[address]]
ip = "10.77.0.100/24"

[[rule]]
protocol = "tcp"
ports = "80"
"""
SIX = '\n[[address]]\nip = "fd77::100/64"\n'
SH = "#!/bin/sh\n"


def top(*lines: str) -> str:
    """The least module with these keys at its top."""
    return LEAST.replace("\n\n[[address]]", "".join(f"\n{line}" for line in lines) + "\n\n[[address]]", 1)


def rules(*more: str) -> str:
    """The least module, and another rule of port 443 with these keys."""
    return LEAST + '\n[[rule]]\nprotocol = "tcp"\nports = "443"\n' + "".join(f"{line}\n" for line in more)


def named(count: int) -> str:
    return "nodes = [" + ", ".join(f'"n{i}"' for i in range(count)) + "]"


def findings(text: str, scripts: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InvalidConfig) as raised:
        parse_module(text, scripts or {})
    lines = str(raised.value).splitlines()
    for line in lines:
        assert line.startswith("module.toml: ")
        assert ": found " in line
        assert "; allowed: " in line
    return lines


def test_the_least_module_works_as_it_stands() -> None:
    config = farm(LEAST)
    assert config == FarmConfig(
        "web",
        ModuleKind.FARM,
        ("a", "b"),
        (AddressConfig("10.77.0.100", 24, reset_connections=False),),
        (RuleConfig(Protocol.TCP, 80, 80),),
    )
    assert config.groups == (("a", "b"),) and config.weight("b") == 1 and config.traffic is Traffic.READY
    assert directories_of(config) == ()


def test_everything_that_may_be_said_is_understood() -> None:
    text = top('nodes = ["a", "b", "c"]', 'chain = [["a", "b"], ["c"]]', 'traffic = "ready"', 'services = ["nginx"]')
    text = text.replace('nodes = ["a", "b"]\n', "", 1)
    text += 'affinity = "connection"\naddresses = ["10.77.0.100"]\n' + SIX
    text += '[[rule]]\nprotocol = "udp"\nports = "8000-8010"\n'
    text += '[weights]\na = 0\nc = 100\n[scripts]\nstart_timeout = "2 s"\n[env]\nPORT = "80"\n'
    config = farm(text, {"prestart": SH, "poststop": SH})
    assert [a.cidr for a in config.addresses] == ["10.77.0.100/24", "fd77::100/64"]
    assert config.rules == (
        RuleConfig(Protocol.TCP, 80, 80, Affinity.CONNECTION, ("10.77.0.100",)),
        RuleConfig(Protocol.UDP, 8000, 8010),
    )
    assert (config.weights, config.groups) == ({"a": 0, "c": 100}, (("a", "b"), ("c",)))
    assert (config.services, config.limits.start_timeout_ms, config.env) == (("nginx",), 2000, {"PORT": "80"})
    assert config.scripts == {"prestart": SH, "poststop": SH}


def test_an_address_in_a_rule_may_be_written_in_any_way() -> None:
    text = LEAST + SIX + '[[rule]]\nprotocol = "tcp"\nports = "80"\naddresses = ["FD77:0::0100"]\n'
    config = farm(text.replace('ports = "80"\n', 'ports = "80"\naddresses = ["10.77.0.100"]\n', 1))
    assert config.rules[1].addresses == ("fd77::100",)


@pytest.mark.parametrize("count", [2, 16])
def test_two_to_sixteen_nodes(count: int) -> None:
    assert len(farm(LEAST.replace('nodes = ["a", "b"]', named(count))).nodes) == count


@pytest.mark.parametrize(
    ("text", "where", "found", "allowed"),
    [
        (LEAST.replace('["a", "b"]', '["a"]'), "nodes", "one node", "2 to 16"),
        (LEAST.replace('nodes = ["a", "b"]', named(17)), "nodes", "17 nodes", "2 to 16"),
        (LEAST.replace('nodes = ["a", "b"]\n', ""), "nodes", "nothing", "a list"),
        (LEAST.replace('["a", "b"]', '"a"'), "nodes", '"a"', "a list"),
        (LEAST.replace('"web"', '"1"'), "name", '"1"', "a letter"),
        (LEAST.partition("[[")[0] + "[[rule" + LEAST.partition("[[rule")[2], "address", "nothing", "[[address]]"),
        (LEAST.partition("[[rule")[0], "rule", "nothing", "one [[rule]] at least"),
        (LEAST.partition("[[rule")[0] + "[rule]\n", "rule", "an empty table", "[[rule]]"),
        (LEAST.replace("100/24", "100"), "address[0].ip", '"10.77.0.100"', "prefix length"),
        # What a mirror has.
        (top('directories = ["/srv/web"]'), "directories", '["/srv/web"]', "no such key in a farm"),
        (top("exclude = []"), "exclude", "[]", "it belongs to a mirror"),
        (top('initial_primary = "a"'), "initial_primary", '"a"', "it belongs to a mirror"),
        (top('failover = "off"'), "failover", '"off"', "it belongs to a mirror"),
        (LEAST + "[replication]\nport = 0\n", "replication", "a table with port", "it belongs to a mirror"),
        (LEAST + "[resync]\n", "resync", "an empty table", "it belongs to a mirror"),
        (LEAST + "[verify]\n", "verify", "an empty table", "it belongs to a mirror"),
        (top("chains = []"), "chains", "an unknown key", '"chain" is the nearest'),
        (
            LEAST.replace("/24\"\n", "/24\"\nreset_connections = true\n"),
            "address[0].reset_connections", "true", "no such key in a farm",
        ),
        # Rules.
        (rules("protocols = 1"), "rule[1].protocols", "an unknown key", '"protocol" is the nearest'),
        (rules('affinity = "node"'), "rule[1].affinity", '"node"', '"client" or "connection"'),
        (rules('addresses = ["10.77.0.9"]'), "rule[1].addresses[0]", '"10.77.0.9"', '"10.77.0.100"'),
        (rules('addresses = ["10.77.0.100/24"]'), "rule[1].addresses[0]", '/24"', "without its prefix length"),
        (rules('addresses = ["x"]'), "rule[1].addresses[0]", '"x"', "an address of the module"),
        (LEAST.replace('"tcp"', '"sctp"'), "rule[0].protocol", '"sctp"', '"tcp" or "udp"'),
        (LEAST.replace('protocol = "tcp"\n', ""), "rule[0].protocol", "nothing", '"tcp" or "udp"'),
        (LEAST.replace('ports = "80"\n', ""), "rule[0].ports", "nothing", '"8000-8010"'),
        (LEAST.replace('"80"', "80"), "rule[0].ports", "80", "in quotes"),
        (rules().replace("443", "80"), "rule[1].ports", "tcp 80, of which another rule shares 80", "no other rule"),
        (rules().replace("443", "1-80"), "rule[1].ports", "another rule shares 80 of 10.77.0.100", "no other rule"),
        (rules().replace("443", "80-90"), "rule[1].ports", "tcp 80-90", "no other rule"),
        (rules('addresses = ["10.77.0.100"]').replace("443", "80"), "rule[1].ports", "tcp 80", "no other rule"),
        (
            LEAST + 'addresses = ["10.77.0.100"]\n' + SIX, "address[1].ip",
            "fd77::100, which no [[rule]] shares", "addresses that one shares",
        ),
        # Weights.
        (LEAST + "[weights]\nc = 1\n", "weights.c", 'a weight of "c"', '"a" or "b"'),
        (LEAST + "[weights]\na = 101\n", "weights.a", "101", "from 0 to 100"),
        (LEAST + "[weights]\na = -1\n", "weights.a", "-1", "from 0 to 100"),
        (LEAST + '[weights]\na = "1"\n', "weights.a", '"1"', "a whole number"),
        (LEAST + "[weights]\na = 0\nb = 0\n", "weights", "0 for each node", "above 0"),
        (top("weights = 1"), "weights", "1", "[weights]"),
        # The chain.
        (top('chain = [["a"]]'), "chain", "no group with b", "each node in one group"),
        (top('chain = [["a", "b"], ["a"]]'), "chain[1]", '"a" again', "each node in one group"),
        (top('chain = [["a", "a"], ["b"]]'), "chain[0][1]", '"a" again', "once"),
        (top('chain = [["a"], ["b", "c"]]'), "chain[1]", '"c", which is not in nodes', '"a" or "b"'),
        (top('chain = [["a", "b"], []]'), "chain[1]", "[]", "at least one entry"),
        (top('chain = [["a", "b"], "c"]'), "chain[1]", '"c"', "a list in [ ]"),
        (top('chain = [["a", 1]]'), "chain[0][1]", "1", "a name"),
        (top('chain = "a"'), "chain", '"a"', "a list"),
        # The rest.
        (top('traffic = "open"'), "traffic", '"open"', '"ready" or "script"'),
        (top('services = ["../x"]'), "services[0]", '"../x"', "the name of a service"),
        (LEAST + "[env]\nNODE = 'x'\n", "env.NODE", "a name that the agent sets itself", "any but"),
        (LEAST + "[scripts]\nstop_timeout = 1\n", "scripts.stop_timeout", "1", "from 1 s"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_and_alone(text: str, where: str, found: str, allowed: str) -> None:
    [line] = findings(text)
    assert line.startswith(f"module.toml: {where}: found ")
    assert found in line.partition("; allowed: ")[0]
    assert allowed in line.partition("; allowed: ")[2]


@pytest.mark.parametrize(
    "ports", ["", "0", "00", "080", "65536", "80-", "-80", "90-80", "80-65536", "0-1", "80,81", "80 - 81", "http", "٨"]
)
def test_no_ports(ports: str) -> None:
    [line] = findings(LEAST.replace('"80"', f'"{ports}"'))
    assert line.startswith(f'module.toml: rule[0].ports: found "{ports}"; allowed: a port or a range')


@given(st.integers(1, HIGHEST_PORT), st.integers(1, HIGHEST_PORT))
def test_ports_are_read_back(one: int, other: int) -> None:
    first, last = sorted((one, other))
    [rule] = farm(LEAST.replace('"80"', f'"{first}-{last}"')).rules
    assert (rule.first_port, rule.last_port) == (first, last)


def test_the_same_port_of_another_protocol_or_address_is_another_one() -> None:
    assert len(farm(rules().replace("443", "80").replace('"tcp"', '"udp"', 1)).rules) == 2
    one = 'addresses = ["10.77.0.100"]\n' + SIX
    other = '[[rule]]\nprotocol = "tcp"\nports = "80"\naddresses = ["fd77::100"]\n'
    assert len(farm(LEAST + one + other).rules) == 2
    assert len(farm(rules().replace("443", "81-90")).rules) == 2


ADDRESSES = ("10.77.0.100", "fd77::100")
PORTS = st.tuples(st.integers(1, 5), st.integers(0, 2)).map(lambda drawn: (drawn[0], drawn[0] + drawn[1]))
DRAWN_RULES = st.lists(
    st.tuples(st.sampled_from(Protocol), PORTS, st.lists(st.sampled_from(ADDRESSES), unique=True)),
    min_size=1,
    max_size=4,
)


@given(DRAWN_RULES)
def test_each_address_is_shared_and_no_port_of_it_twice(
    drawn: list[tuple[Protocol, tuple[int, int], list[str]]],
) -> None:
    shared = [
        (protocol, port, address)
        for protocol, (first, last), named in drawn
        for port in range(first, last + 1)
        for address in named or ADDRESSES
    ]
    right = len(shared) == len(set(shared)) and {address for _, _, address in shared} == set(ADDRESSES)
    text = LEAST.partition("[[rule")[0] + SIX
    for protocol, (first, last), named in drawn:
        text += f'[[rule]]\nprotocol = "{protocol}"\nports = "{first}-{last}"\naddresses = {json.dumps(named)}\n'
    if right:
        assert len(farm(text).rules) == len(drawn)
    else:
        assert all(" rule shares " in line or "no [[rule]] shares" in line for line in findings(text))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a", "80", "tcp", "10.77.0.100/24"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "ip", "ports"]), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = ("nodes", "address", "rule", "weights", "chain", "traffic", "services", "scripts", "env", "directories", "other")


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, min_size=1))
def test_whatever_stands_there_is_told_and_breaks_nothing(drawn: dict[str, object]) -> None:
    told = Findings("module.toml")
    plain = tomllib.loads(LEAST)
    config = parse_farm(Table({**plain, **drawn}, "", told), "web", {}, told)
    assert told.count or set(drawn) <= set(plain) | {"weights", "chain", "traffic", "services", "scripts", "env"}
    assert told.count or (len(config.nodes) >= 2 and config.addresses and config.rules)


def test_of_an_address_that_is_wrong_nothing_more_is_said() -> None:
    [line] = findings(rules('addresses = ["10.77.0.100"]').replace("100/24", "0/24"))
    assert "address[0].ip" in line
    [again] = findings(LEAST + SIX.replace("fd77::100/64", "10.77.0.100/25"))
    assert "address[1].ip: found 10.77.0.100 again" in again


def test_there_is_a_most_of_rules_and_addresses() -> None:
    more = "".join(f'[[rule]]\nprotocol = "tcp"\nports = "{1000 + i}"\n' for i in range(MOST_RULES - 1))
    assert len(farm(LEAST + more).rules) == MOST_RULES
    [line] = findings(LEAST + more + '[[rule]]\nprotocol = "udp"\nports = "1"\n')
    assert "rule: found 65 rules; allowed: at most 64" in line
    addresses = "".join(f'[[address]]\nip = "10.77.1.{i}/16"\n' for i in range(1, 16))
    assert len(farm(LEAST + addresses).addresses) == 16
    [line] = findings(LEAST + addresses + SIX)
    assert "address: found 17 addresses; allowed: at most 16" in line


@pytest.mark.parametrize(
    ("scripts", "what"),
    [
        ({"start_prim": SH}, "scripts/start_prim: found a script that a farm does not run"),
        ({"fence": SH}, "scripts/fence: found a script that a farm does not run"),
        ({"start_boht": SH}, "scripts/start_boht: found a script that this release does not run"),
        ({"start_both": "echo"}, "scripts/start_both: found no interpreter in its first line"),
        ({"stop_both": SH + "\0"}, "scripts/stop_both: found the character NUL"),
        ({"start_both": SH + "x" * (512 << 10)}, "KiB of module.toml and scripts together"),
    ],
)
def test_scripts_are_checked(scripts: dict[str, str], what: str) -> None:
    [line] = findings(LEAST, scripts)
    assert what in line


def test_services_and_scripts_that_start_exclude_one_another() -> None:
    [line] = findings(top('services = ["nginx"]'), {"start_both": SH, "stop_both": SH})
    assert "found services, and scripts/start_both and scripts/stop_both too" in line
    assert "either services, or start_both and stop_both" in line


def test_a_mirror_has_none_of_a_farms_keys_or_scripts() -> None:
    text = (
        'name = "db"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/db"]\nchain = []\ntraffic = "ready"\n'
    )
    lines = findings(text + '[[rule]]\nports = "1"\n[weights]\n', {"start_both": SH})
    assert [line.split(": ")[1] for line in lines] == ["scripts/start_both", "rule", "weights", "chain", "traffic"]
    assert all("no such key in a mirror: it belongs to a farm" in line for line in lines[1:])
    assert "a script that a mirror does not run" in lines[0]


def db(ip: str, nodes: str = '["a", "b"]') -> str:
    text = f'name = "db"\nkind = "mirror"\nnodes = {nodes}\ndirectories = ["/srv/db"]\n'
    return text + f'[replication]\nport = 7000\n[[address]]\nip = "{ip}"\n'


def test_an_address_of_another_module_is_refused_of_either_kind_and_on_other_nodes() -> None:
    web, other = farm(LEAST), farm(LEAST.replace('"web"', '"shop"').replace('"a", "b"', '"c", "d"'))
    taken = mirror(db("10.77.0.100/16", '["c", "d"]'))
    with pytest.raises(InvalidConfig, match=r"address\[0\]\.ip: found 10\.77\.0\.100, an address of module shop"):
        refuse_conflicts(web, [other], {})
    with pytest.raises(InvalidConfig, match="an address of module db"):
        refuse_conflicts(web, [taken], {})
    with pytest.raises(InvalidConfig, match="an address of module web"):
        refuse_conflicts(taken, [web], {})


def test_a_farm_and_a_mirror_share_nodes() -> None:
    web, data = farm(LEAST), mirror(db("10.77.0.101/24"))
    refuse_conflicts(web, [data, web], {})
    refuse_conflicts(data, [data, web], {})
