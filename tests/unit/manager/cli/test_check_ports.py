"""The ports that this node needs: free or ours, or whose they are, and what that means."""

import ipaddress
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from manager.cli.checks import ports
from manager.cli.checks.etcd import Member
from manager.cli.checks.finding import Finding, Level
from manager.cli.checks.firewall import Dropped, Firewall
from manager.cli.checks.listeners import Holder, Listener, listeners
from manager.cli.checks.port_probe import agent_pid, firewall, is_here, wanted_ports
from manager.cli.checks.ports import Port, User
from manager.model.config import AgentConfig, EtcdConfig, NetworkConfig, parse_module

AGENT = Port(
    "TCP", 9743, User.AGENT, "what the other agents ask", ports.WITHOUT_CHANNEL, "set another one.", ("10.0.0.1",)
)
ETCD = Port("TCP", 2379, User.ETCD, "etcd's clients", ports.WITHOUT_CLIENTS, "give it another one.", ("10.0.0.1",))
STREAM = Port("TCP", 7400, User.REPLICATOR, "the stream of db", ports.WITHOUT_STREAM, "set another one.")
OURS, NGINX = Holder(100, "mirrorfarm-agen"), Holder(4711, "nginx")
REPLICATOR, ITS_ETCD = Holder(200, "mf-db", is_replicator=True), Holder(300, "etcd")


def at(port: int, holder: Holder | None, address: str = "10.0.0.1", protocol: str = "TCP") -> Listener:
    return Listener(protocol, address, port, holder)


ALL = [at(9743, OURS), at(2379, ITS_ETCD), at(7400, REPLICATOR, "0.0.0.0")]


def look(found: list[Listener], *wanted: Port, pid: int | None = 100) -> list[Finding]:
    return list(ports.ports(wanted or (AGENT, ETCD, STREAM), found, pid, (), Firewall({})))


@pytest.mark.parametrize(("found", "pid"), [(ALL, 100), ([], None), ([at(9743, None)], 100)])
def test_what_is_free_or_ours_is_in_order(found: list[Listener], pid: int | None) -> None:
    [said] = look(found, pid=pid)
    assert said.level is Level.OK and "TCP 9743 (what the other agents ask), TCP 2379 (etcd's clients)" in said.says


@pytest.mark.parametrize("port", [AGENT, ETCD, STREAM])
@pytest.mark.parametrize("address", ["10.0.0.1", "0.0.0.0", "::"])
def test_what_another_has_is_named_with_its_process(port: Port, address: str) -> None:
    [said] = look([at(port.number, NGINX, address)], port, pid=None)
    assert (said.level, said.subject) == (Level.ERROR, port.name)
    assert f"nginx (process 4711) has it, at {address}; it is for {port.what_for}. {port.without}" in said.says
    assert said.remedy == f"Stop nginx, or have it take another port. Else {port.setting}"


def test_another_in_nobodys_way_is_not_named() -> None:
    [said] = look([at(9743, NGINX, "10.0.0.9"), at(9743, OURS), at(9743, NGINX, protocol="UDP")], AGENT)
    assert said.level is Level.OK
    anywhere = Port("TCP", 9743, User.AGENT, "what the other agents ask", ports.WITHOUT_CHANNEL, "set another one.")
    [said] = look([at(9743, NGINX, "127.0.0.1"), at(9743, OURS)], anywhere)
    assert said.level is Level.OK


def test_an_agent_that_runs_and_does_not_listen_is_told() -> None:
    [said] = look([at(9743, OURS, "10.0.0.9")], AGENT)
    assert said.level is Level.WARNING and "process 100) and does not listen there at 10.0.0.1" in said.says


def test_a_firewall_that_drops_is_named_with_the_rule_that_lets_in() -> None:
    drops = {("TCP", 9743): Dropped("inet", "filter", "input", by_policy=True)}
    [said] = ports.ports((AGENT, ETCD), ALL, 100, (), Firewall(drops))
    assert (said.level, said.subject) == (Level.ERROR, "TCP port 9743")
    assert "chain inet filter input, by its policy" in said.says and ports.WITHOUT_CHANNEL in said.says
    assert "nft insert rule inet filter input tcp dport 9743 accept" in said.remedy
    passing = replace(STREAM, lasts=False)
    [said] = ports.ports((passing,), ALL, 100, (), Firewall({("TCP", 7400): drops["TCP", 9743]}))
    assert said.remedy.startswith("First set another one. Until then it is another port after each start. Then nft ")
    assert [f.level for f in ports.ports((AGENT,), ALL, 100, (), None)] == [Level.UNKNOWN, Level.OK]


INPUT = {
    "family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"
}  # fmt: skip


def ruled(*expressions: object) -> object:
    rules = [{"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": e}} for e in expressions]
    return {"nftables": [{"metainfo": {"json_schema_version": 1}}, {"chain": INPUT}, *rules]}


PORT_9743 = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 9743}}


@pytest.mark.parametrize(
    "rules",
    [
        [],
        None,
        {"nftables": None},
        {"nftables": [7]},
        {"nftables": [{"chain": {"family": "inet"}}]},
        {"nftables": [{"chain": INPUT}, {"rule": {"family": "inet", "table": "filter", "chain": "other", "expr": []}}]},
        ruled([{}]),
        ruled(["drop"]),
        ruled([{"accept": None, "drop": None}]),
        ruled([{"jump": "other"}]),
        ruled([{"match": {"op": "==", "left": {"payload": []}, "right": 9743}}]),
        ruled(
            [{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": 7}}}]
        ),
        ruled([{"vmap": []}]),
        ruled(None),
        ruled(7),
    ],
)
def test_rules_in_another_form_are_unknown_and_shown(rules: object) -> None:
    found = firewall(rules, (AGENT, ETCD))
    assert found.strange and not found.dropped
    said = {f.level: f for f in ports.ports((AGENT, ETCD), ALL, 100, (), found)}
    assert said.keys() == {Level.UNKNOWN, Level.OK} and found.strange in said[Level.UNKNOWN].says


def test_what_is_certain_before_a_rule_in_another_form_is_told_all_the_same() -> None:
    found = firewall(ruled([PORT_9743, {"drop": None}], [{"an": 1, "other": 2}] * 40), (AGENT, ETCD))
    assert found.dropped == {("TCP", 9743): Dropped("inet", "filter", "input", by_policy=False)}
    assert "another" not in found.strange and '"an": 1' in found.strange and found.strange.endswith("...")
    levels = [f.level for f in ports.ports((AGENT, ETCD), ALL, 100, (), found)]
    assert levels == [Level.ERROR, Level.UNKNOWN]


def test_an_address_that_no_interface_has_is_told() -> None:
    [said] = ports.ports((AGENT,), ALL, 100, ("10.0.0.7",), Firewall({}))
    assert (said.level, said.subject) == (Level.WARNING, "address 10.0.0.7")


# What is asked, and of whom


def test_the_ports_that_a_node_needs_come_from_its_configuration() -> None:
    network = NetworkConfig(addresses=("127.0.0.1", "127.0.0.2"), replication_address="127.0.0.3")
    etcd = EtcdConfig(endpoints=("127.0.0.1:2379", "192.0.2.1:2379", "localhost:4001"))
    config = AgentConfig("c", "a", etcd=etcd, network=network)
    mirror = 'name = "db"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/db"]\n'
    db = parse_module(f"{mirror}[replication]\nport = 7400\n", {})
    members = [Member("a", ("https://127.0.0.1:2380",), True), Member("b", ("https://192.0.2.1:2380",), True)]
    found = [at(41234, REPLICATOR), at(41235, NGINX)]
    needed = {(p.protocol, p.number): p for p in wanted_ports(config, [db], members, found)}
    assert {key: port.user for key, port in needed.items()} == {
        ("TCP", 9743): User.AGENT,
        ("TCP", 7400): User.REPLICATOR,
        ("TCP", 41234): User.REPLICATOR,
        ("TCP", 2379): User.ETCD,
        ("TCP", 2380): User.ETCD,
    }
    assert needed["TCP", 7400].lasts and not needed["TCP", 41234].lasts
    assert needed["TCP", 9743].addresses == ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    assert needed["TCP", 7400].addresses == ("127.0.0.3",) and needed["TCP", 2380].addresses == ("127.0.0.1",)


def test_whether_an_address_is_here() -> None:
    assert is_here("127.0.0.1") and not is_here("192.0.2.1") and not is_here("2001:db8::1")


def test_the_agent_that_runs_is_found_by_its_file(tmp_path: Path) -> None:
    assert agent_pid(tmp_path, "/run/mirrorfarm") is None
    (tmp_path / "run/mirrorfarm").mkdir(parents=True)
    (tmp_path / "run/mirrorfarm/agent.pid").write_text("77\n")
    assert agent_pid(tmp_path, "/run/mirrorfarm") is None
    (tmp_path / "proc/77").mkdir(parents=True)
    (tmp_path / "proc/77/cmdline").write_bytes(b"/opt/python\0-m\0something\0")
    assert agent_pid(tmp_path, "/run/mirrorfarm") is None, "its number is another's by now"
    (tmp_path / "proc/77/cmdline").write_bytes(b"/opt/python\0/opt/mirrorfarm/bin/mirrorfarm-agent\0")
    assert agent_pid(tmp_path, "/run/mirrorfarm") == 77


def entry(address: str, port: int, state: str, inode: int) -> str:
    packed = ipaddress.ip_address(address).packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    host = "".join(f"{word:08X}" for word in words)
    rest = f"00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1"
    return f"   0: {host}:{port:04X} {rest}\n"


def test_sockets_are_read_with_their_processes(tmp_path: Path) -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    net = tmp_path / "proc/net"
    net.mkdir(parents=True)
    (net / "tcp").write_text(head + entry("10.0.0.1", 9743, "0A", 11) + entry("10.0.0.1", 9743, "01", 12))
    (net / "tcp6").write_text(head + entry("::", 2379, "0A", 13))
    (net / "udp").write_text(head + entry("0.0.0.0", 9742, "07", 14))
    fd = tmp_path / "proc/77/fd"
    fd.mkdir(parents=True)
    (tmp_path / "proc/77/comm").write_text("mf-db\n")
    (tmp_path / "proc/77/cmdline").write_bytes(b"python\0-m\0replicator.main\0")
    (fd / "3").symlink_to("/dev/null")
    (fd / "4").symlink_to("socket:[11]")
    assert listeners(tmp_path) == [
        Listener("TCP", "10.0.0.1", 9743, Holder(77, "mf-db", is_replicator=True)),
        Listener("TCP", "::", 2379, None),
        Listener("UDP", "0.0.0.0", 9742, None),
    ]
