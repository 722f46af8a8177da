"""What this machine's own nftables do to a port: told only where no way leads past them. The rules are nft's own."""

import json
import subprocess
from typing import Any

import pytest

from manager.cli.checks.firewall import Dropped, Packet, dropped

AGENT = Packet("tcp", 9743)
POLICY = Dropped("inet", "filter", "input", by_policy=True)
RULE = Dropped("inet", "filter", "input", by_policy=False)


def ruleset(text: str) -> Any:
    """As nft prints what it has made of ``text``, in a network of its own."""
    script = "nft -f - && nft -j list ruleset"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], input=text, capture_output=True, text=True, timeout=20, check=True
    )
    return json.loads(done.stdout)


def filtering(rules: str, *, policy: str = "accept", more: str = "", family: str = "inet") -> Any:
    chain = f"chain input {{ type filter hook input priority 0; policy {policy}; {rules}; }}"
    return ruleset(f"table {family} filter {{\n{more}\n{chain}\n}}\n")


USUAL = "ct state vmap { established : accept, related : accept, invalid : drop }; iif lo accept; tcp dport 22 accept"


@pytest.mark.parametrize(
    ("rules", "policy", "found"),
    [
        (USUAL, "drop", POLICY),
        (f"{USUAL}; tcp dport {{ 80, 9000-9999 }} accept", "drop", None),
        (f"{USUAL}; udp dport 9743 accept; icmpv6 type echo-request accept; ip protocol icmp accept", "drop", POLICY),
        ("ct state established,related accept; counter reject", "accept", RULE),
        ("tcp dport 9743 drop", "accept", RULE),
        ("tcp dport != 22 drop", "accept", RULE),
        ("meta l4proto { tcp, udp } th dport 9700-9800 counter log drop", "accept", RULE),
        ("tcp dport 22 drop", "accept", None),
        ("tcp dport 9743 accept; drop", "accept", None),
        # It depends on who sends, and where it comes in: nothing is told.
        (f"{USUAL}; ip saddr 10.0.0.0/8 accept", "drop", None),
        (f'{USUAL}; iifname "eth*" accept', "drop", None),
        (f"{USUAL}; limit rate 5/second accept", "drop", None),
        ("ip saddr 10.0.0.0/8 drop", "accept", None),
        # What is dropped in part is, in the end, dropped as a whole.
        ("ip saddr 10.0.0.0/8 drop; tcp dport 9743 drop", "accept", RULE),
        ("ip saddr 10.0.0.0/8 ct state established accept", "drop", POLICY),
        ("jump other", "drop", None),
        ("jump none", "drop", POLICY),
        ("tcp dport @known accept", "drop", None),
        ("tcp dport vmap { 22: accept, 9743: drop }", "accept", None),
        ("ip6 saddr fd00::/8 accept", "drop", POLICY),
    ],
)
def test_a_port_is_dropped_where_no_way_leads_past_it(rules: str, policy: str, found: Dropped | None) -> None:
    more = (
        "set known { type inet_service; elements = { 9743 }; }\nchain other { tcp dport 9743 accept; }\nchain none { }"
    )
    assert dropped(filtering(rules, policy=policy, more=more), AGENT, "mirrorfarm_") == found


def test_one_table_that_drops_is_enough() -> None:
    accepts = "table inet first { chain input { type filter hook input priority -10; accept; }; }"
    drops = "table ip second { chain in { type filter hook prerouting priority 0; tcp dport 9743 drop; }; }"
    assert dropped(ruleset(f"{accepts}\n{drops}"), AGENT, "mirrorfarm_") == Dropped("ip", "second", "in", False)
    assert dropped(ruleset(f"{accepts}\n{drops}"), Packet("tcp", 9743, 6), "mirrorfarm_") is None


def test_our_own_tables_are_no_firewall() -> None:
    own = "table inet mirrorfarm_web { chain in { type filter hook input priority 0; policy drop; }; }"
    assert dropped(ruleset(own), AGENT, "mirrorfarm_") is None
    assert dropped({"nftables": []}, AGENT, "mirrorfarm_") is None
