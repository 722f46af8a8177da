"""What seldom happens by itself, and some rules are for: several things come together, one after the other.

As ``faults``, of which these are some.
"""

from tests.simulation.schedule import Chance, Fault
from tests.simulation.schedule import then as _then


def _eio_unheard(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """An error on writeback, and the replicator ends before its agent has heard of it; a restart of the other node."""
    which = chance.choice(("primary", "second"))
    other = "primary" if which == "second" else "second"
    dies = [(0.0, f"eio {which}"), (0.0, f"kill replicator {which}")]
    return [*dies, *_then(chance, f"crash {other}", "boot", 0, 4_000)]


def _forced_unread(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """It is asked for while no agent is there to read it, or another node is named, or the hook fails."""
    lost = [(0.0, "power second"), (chance.uniform(2_500, 5_000), "power primary")]
    asked = chance.choice(("force second wrong", "force second fence", "force second"))
    asked_ms = 12_000 if asked == "force second" else 16_000
    before = [(5_400, "fails fence second"), (6_000 if asked_ms == 16_000 else 14_000, "boot second")]
    return [*lost, *before, (asked_ms, asked), (chance.uniform(40_000, 60_000), "boot primary")]


def _forced_slowly(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """The node that is to go on is cut off from etcd while the other one is asked; that one comes back meanwhile."""
    lost = [(0.0, "power second"), (chance.uniform(2_500, 5_000), "power primary"), (6_000, "boot second")]
    asked = [(16_000, "force second"), (16_000 + chance.uniform(100, 1_500), "cut second store")]
    back = [(18_500, "cut primary store"), (18_500, "boot primary")]
    return [*lost, *asked, *back, (chance.uniform(66_000, 72_000), "heal second store"), (88_000, "heal")]


def _forced_of_three(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """One is asked to go on that is not listed, while the one that is stands still for a moment."""
    first, other, third = chance.sample(nodes, 3)
    lost = [(0.0, f"power {first}"), (4_000, f"power {third}"), (4_500, f"boot {first}")]
    asked = [(at_ms, f"force {first}") for at_ms in (10_300, 11_300, 12_300)]
    still_ms = chance.uniform(7_500, 9_500)
    return [*lost, (still_ms, f"freeze agent {other}"), *asked, (20_000, "thaw"), (24_000, "boot")]


def _forced_joining(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """A copy is in the middle of a join when the primary is lost, and its replicator goes on, or begins anew."""
    lost = [(0.0, "power second"), (0.0, "replace second"), (9_000, "boot second")]
    gone_ms = 9_000 + chance.uniform(100, 900)
    dies = [] if chance.random() < 0.5 else [(gone_ms + chance.uniform(0, 2_000), "kill replicator second")]
    asked = [(gone_ms + 9_000 + after_ms, "force second") for after_ms in (0, 9_000)]
    return [*lost, (gone_ms, "power primary"), *dies, *asked, (gone_ms + 30_000, "boot primary")]


def _exchanged(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """The disks of two are exchanged while both are off, one of which had gone on alone; and put right again."""
    one, other = chance.sample(nodes, 2)
    swapped = f"exchange {one} {other}"
    alone_ms = chance.uniform(200, 9_000)
    off = [(0.0, "power second"), (alone_ms, "power primary"), (alone_ms, swapped)]
    on = [(alone_ms + chance.uniform(0, 3_000), f"boot {n}") for n in (one, other)]
    right_ms = alone_ms + chance.uniform(15_000, 30_000)
    return [*off, *on, (right_ms, f"power {one} {other}"), (right_ms, swapped), (right_ms + 500, f"boot {one} {other}")]


def _offered(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """A place is offered to one that loses its memory before it takes it, or is cut off; or takes it late."""
    if chance.random() < 0.3:
        return [(0.0, f"late second {chance.randrange(9_000, 16_000)}ms"), (0.0, "swap")]
    at_ms = chance.uniform(20, 1_500)
    lost = chance.choice(("power second", "power second", "eio second", "crash second", "cut second store",
                          "cut primary store", "cut primary"))  # fmt: skip
    return [(0.0, "swap"), (at_ms, lost), (at_ms + chance.uniform(50, 1_500), "boot"), (at_ms + 12_000, "heal")]


def _flapping(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """A secondary's process dies, and again soon after each time that it was listed."""
    times = (0, chance.uniform(4_500, 6_000), chance.uniform(14_000, 17_000))
    return [(at_ms, "kill replicator second") for at_ms in times]


def _undying(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """What has failed on the primary, and is to be killed, does not die but by its warden."""
    fails = chance.choice(("eio primary", "full primary", "ends primary"))
    return [(0.0, "fails kill primary"), (chance.uniform(0, 500), fails), (16_000, "fails kill off")]


def _other_lease(chance: Chance, node: str, nodes: tuple[str, ...]) -> list[tuple[float, str]]:
    """An agent begins anew with another lease, while a primary may serve by what its former one promised."""
    dies_ms = chance.uniform(2_000, 25_000)
    dies = [(dies_ms, f"ttl {node} {chance.choice((4, 12))}s"), (dies_ms, f"kill agent {node}")]
    boots = [(dies_ms + chance.uniform(50, 2_000), f"boot {node}")]
    return [(0.0, "cut primary store"), *dies, *boots, (chance.uniform(20_000, 45_000), "heal")]


KINDS: dict[str, tuple[Fault, ...]] = {
    "forced unread": (_forced_unread,),
    "forced joining": (_forced_joining,),
    "forced slowly": (_forced_slowly,),
    "forced of three": (_forced_of_three,),
    "exchanged": (_exchanged,),
    "offered": (_offered,),
    "flapping": (_flapping,),
    "undying": (_undying,),
    "unheard loss": (_eio_unheard,),
    "other leases": (_other_lease,),
}
