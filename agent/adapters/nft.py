"""Has the kernel take the rules of a farm module, by nft(8); what they are is in ``agent.core.farm.nftables``.

Each call is one run of nft and one transaction of the kernel. Other tables than the modules' own are never touched.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.adapters import tools
from agent.core.farm.nft_json import PREFIX, table_name
from agent.core.farm.nftables import FAMILIES, unloading
from manager.model.errors import DefiniteFailure

NFT_SECONDS = 5.0
"""For one run, beside what it is given."""
COMMANDS_IN_A_SECOND = 500
"""At the least, of a transaction. The kernel's time grows with the square of its sets. *Measured* on two cores that
others kept busy, with rules of both affinities, of 16 nodes: four addresses at rest, 614 commands, 0.1 s; where each
has left slots to each other one, 8,134 commands, 1.7 s; 16 such addresses, 32,500 commands, 26 s. One that is given up
would be begun again for ever, and no slot would change hands."""
_NO_TABLE = "No such file or directory"


@dataclass(frozen=True, slots=True)
class Counted:
    """What passed one counter since the module's rules were loaded first."""

    packets: int
    bytes: int


async def load(transaction: Mapping[str, Any]) -> None:
    """The kernel takes ``transaction`` whole, from one packet to the next.

    Raises:
        DefiniteFailure: it has the rules that it had before; the message names the rule that it did not take.
        IndefiniteFailure: nft did not end.
    """
    ran = await _nft(transaction)
    if ran.exit_code != 0:
        raise DefiniteFailure(f"nft: {await _refused(transaction['nftables'])}: {_reason(ran)}")


async def prepare(commands: str) -> None:
    """The kernel makes what ``commands``, in nft's own language, add, or nothing of it; what is there stays.

    Raises:
        DefiniteFailure: it has what it had before; the message has the command that it did not take.
        IndefiniteFailure: nft did not end.
    """
    ran = await tools.run(("nft", "-f", "-"), NFT_SECONDS, commands)
    if ran.exit_code != 0:
        reason, _, shown = ran.output.rpartition("Error: ")[2].partition("\n")
        raise DefiniteFailure(f"nft: {shown.partition(chr(10))[0] or 'making what the rules need'}: {reason}")


async def unload(module: str) -> None:
    """The kernel has no rules of ``module`` any more, if it had any.

    Raises:
        DefiniteFailure, IndefiniteFailure: as :func:`load`.
    """
    await load(unloading(module))


async def loaded() -> Mapping[str, frozenset[int]]:
    """The modules of which the kernel has rules, of each family, with the handles of their tables.

    The kernel gives no handle twice: whoever takes tables away and makes others of their names has others.

    Raises:
        DefiniteFailure, IndefiniteFailure: nft does not say.
    """
    ran = await _asked("list", "tables")
    if ran.exit_code != 0:
        raise DefiniteFailure(f"nft: listing tables: {ran.output}")
    tables = {(table["family"], table["name"]): table.get("handle", 0) for table in _listed(ran, "table")}
    ours = {name for family, name in tables if family in FAMILIES and name.startswith(PREFIX)}
    return {
        name.removeprefix(PREFIX): frozenset(tables[family, name] for family in FAMILIES)
        for name in ours
        if all((family, name) in tables for family in FAMILIES)
    }


async def counters(module: str, families: Iterable[str] = FAMILIES) -> Mapping[str, Counted]:
    """By the counter's name (``agent.core.farm.nft_ways``); none where the module has no rules.

    Raises:
        DefiniteFailure, IndefiniteFailure: nft does not say.
    """
    found: dict[str, Counted] = {}
    for family in families:
        ran = await _asked("list", "counters", "table", family, table_name(module))
        if ran.exit_code != 0:
            if _NO_TABLE in ran.output:
                continue
            raise DefiniteFailure(f"nft: listing counters of {module}: {ran.output}")
        found |= {c["name"]: Counted(c["packets"], c["bytes"]) for c in _listed(ran, "counter")}
    return found


async def _refused(commands: list[Mapping[str, Any]]) -> str:
    """What the kernel does not take: the last command of the shortest beginning that it refuses.

    Nothing is changed by asking. Where it takes all by now, the whole was refused for a reason that has gone.
    """
    taken, refused = 0, len(commands) + 1
    while refused - taken > 1:
        tried = (taken + refused) // 2
        ran = await _nft({"nftables": commands[:tried]}, "--check")
        taken, refused = (tried, refused) if ran.exit_code == 0 else (taken, tried)
    return _words(commands[taken]) if taken < len(commands) else "the rules"


def _reason(ran: tools.Ran) -> str:
    """What nft says, without the place in the text, which JSON does not have; it may say it twice."""
    lines = [line.rpartition("Error: ")[2].strip() for line in ran.output.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines)) or f"it says nothing, and its exit code is {ran.exit_code}"


def _words(command: Mapping[str, Any]) -> str:
    ((verb, what),) = command.items()
    ((kind, said),) = what.items()
    if kind == "table":
        return f"{verb} table {said['family']} {said['name']}"
    place = f"{said['family']} {said['table']}"
    if kind == "rule":
        return f"{verb} rule in {place} {said['chain']}, {said['comment']}"
    return f"{verb} {kind} {place} {said['name']}"


def seconds_for(transaction: Mapping[str, Any]) -> float:
    """The longest that nft may take for ``transaction``."""
    return NFT_SECONDS + len(transaction["nftables"]) / COMMANDS_IN_A_SECOND


async def _nft(transaction: Mapping[str, Any], *options: str) -> tools.Ran:
    return await tools.run(("nft", *options, "-j", "-f", "-"), seconds_for(transaction), json.dumps(transaction))


async def _asked(*words: str) -> tools.Ran:
    return await tools.run(("nft", "-j", *words), NFT_SECONDS)


def _listed(ran: tools.Ran, kind: str) -> list[Mapping[str, Any]]:
    try:
        return [entry[kind] for entry in json.loads(ran.output)["nftables"] if kind in entry]
    except (ValueError, KeyError, TypeError) as error:
        raise DefiniteFailure(f"nft: its answer is not understood ({error}): {ran.output[:200]}") from None
