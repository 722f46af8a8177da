"""Asks this node's agent, and by it the others', what is to be compared; see :mod:`manager.cli.checks.pair`."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from manager.cli.checks.finding import Finding, unknown
from manager.cli.checks.large_packets import large_packets
from manager.cli.checks.pair import Clocks, Pair, disks, not_answered, pair, peers
from manager.cli.checks.pair_owners import all_owners
from manager.cli.checks.round_trip import round_trip
from manager.cli.client import AgentClient
from manager.model.api import ApiError
from manager.model.api_check import MOST_OWNERS, CheckFacts, CheckFactsArguments, Owner

TIMEOUT_S = 8.0


def pairs(client: AgentClient, node: str, registered: Mapping[str, ApiError | None], port: int) -> Iterator[Finding]:
    """Everything about this node and each of the others that it has to do with.

    Args:
        client: of this node's agent.
        node: this one.
        registered: the other nodes whose agents are, each with why it was not reached a moment ago.
        port: of the agents.
    """
    try:
        here = _facts(client, "", ())
    except ApiError as problem:
        yield unknown("pairs", f"This node was compared with no other one: {problem.message}", problem.remedy)
        return
    yield from disks(here)
    for other in sorted({*registered, *peers(here.directories, node)}):
        known = registered.get(other)
        if known is not None:
            yield not_answered(other, known.message, known.remedy)
            continue
        try:
            both = _both(client, here, other, port)
        except ApiError as problem:
            yield not_answered(other, problem.message, problem.remedy)
            continue
        yield from disks(both.there)
        yield from pair(both)
        yield from large_packets(other, both.there.replication_address, port)


def _both(client: AgentClient, here: CheckFacts, other: str, port: int) -> Pair:
    began_ms = _now_ms()
    there = _facts(client, other, all_owners(here.directories))
    ended_ms = _now_ms()
    answered = _facts(client, "", all_owners(there.directories)).owners
    clocks = Clocks(there.clock_ms - (began_ms + ended_ms) // 2, (ended_ms - began_ms + 1) // 2)
    try:
        way_us, why = round_trip(there.replication_address, port).median_us, ""
    except OSError as error:
        way_us, why = None, f"{there.replication_address}, TCP port {port}: {error.strerror or error}"
    return Pair(replace(here, owners=answered), there, way_us, why, clocks)


def _facts(client: AgentClient, node: str, owners: tuple[Owner, ...]) -> CheckFacts:
    facts: CheckFacts = client.call(CheckFactsArguments(owners[:MOST_OWNERS]), timeout_s=TIMEOUT_S, node=node)
    return facts


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
