"""What befalls a cluster whose operator decides: where he is waited for, and where he could have waited himself.

As ``faults``, of which these are some.
"""

from tests.simulation.schedule import Chance, Fault

Steps = list[tuple[float, str]]


def _forced_and_named(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A copy is forced, and what had gone on without it comes back; then the forced one is lost, and who follows it is
    named, or what it has been told once is over: its replicator dies."""
    alone_ms = chance.uniform(2_500, 6_000)
    boot_ms = alone_ms + chance.uniform(0, 2_000)
    forced = [(boot_ms + after_ms, "force second") for after_ms in (9_000, 12_000)]
    back_ms = boot_ms + chance.uniform(18_000, 24_000)
    lost_ms = back_ms + chance.uniform(500, 14_000)
    how = chance.choice(("crash primary", "power primary", "kill replicator primary"))
    named = [(lost_ms + after_ms, "decide") for after_ms in (9_000, 14_000)]
    first = [
        (0.0, f"{chance.choice(('crash', 'power'))} second"),
        (alone_ms, "power primary"),
        (boot_ms, "boot second"),
    ]
    return [*first, *forced, (back_ms, "boot"), (lost_ms, how), *named, (lost_ms + 20_000, "boot")]


def _forced_last_of_three(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """One of three is forced that two had gone on without; those come back one by one, each with what it alone has."""
    first, other, third = chance.sample(nodes, 3)
    alone_ms = chance.uniform(3_000, 7_000)
    lost = [(0.0, f"power {third}"), (alone_ms, f"power {first} {other}")]
    boot_ms = alone_ms + chance.uniform(0, 2_000)
    asked = [(boot_ms + after_ms, f"force {third}") for after_ms in (4_000, 9_000, 13_000)]
    back = [(boot_ms + chance.uniform(15_000, 45_000), f"boot {n}") for n in (first, other)]
    return [*lost, (boot_ms, f"boot {third}"), *asked, *back]


def _resumes_elsewhere(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A primary whose key has expired is back, and asks to resume, and etcd is restored before that is executed.

    It is alone, or its secondary is about to stand. What the backup has is what there was.
    """
    alone = [(0.0, "crash second")] if chance.random() < 0.5 else []
    cut_ms = 4_000.0 if alone else 100.0
    back_ms = cut_ms + chance.uniform(7_000, 12_000)
    late_ms = chance.randrange(200, 3_000)
    restored_ms = back_ms + chance.uniform(20, late_ms)
    asked = [(back_ms - 1, f"late primary {late_ms}ms"), (back_ms, "heal")]
    unseen = [(restored_ms - 1, f"blind primary {chance.randrange(2_000, 12_000)}ms")] if chance.random() < 0.5 else []
    named = [(restored_ms + after_ms, "decide") for after_ms in (9_000, 12_000, 16_000, 22_000)]
    lost = [*alone, (cut_ms - 50, "store backup"), (cut_ms, "cut primary store")]
    return [*lost, *asked, *unseen, (restored_ms, "store restored"), (restored_ms + 4_000, "boot"), *named]


def _changes_elsewhere(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A primary takes its secondary out, or puts it in, and etcd is restored before that is executed."""
    late_ms = chance.randrange(200, 5_000)
    first = chance.choice(("crash second", "kill replicator second"))
    asked_ms = 0.0 if first == "crash second" else chance.choice((0.0, 2_700.0))
    restored_ms = asked_ms + chance.uniform(100, late_ms)
    asked = [(asked_ms + 50, "store backup"), (asked_ms + 50, f"late primary {late_ms}ms")]
    named = [(restored_ms + after_ms, "decide") for after_ms in (9_000, 12_000, 16_000, 22_000)]
    return [(0.0, first), *asked, (restored_ms, "store restored"), (restored_ms + 3_000, "boot"), *named]


def _adopts_elsewhere(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A primary's agent begins anew while etcd is being restored, with the primary's key, or with an older one."""
    restored_ms = chance.uniform(1_000, 5_000)
    dies_ms = restored_ms + chance.uniform(-900, 600)
    moved = [(200.0, "swap")] if chance.random() < 0.3 else []
    begun = [(dies_ms, "kill agent primary"), (dies_ms + chance.uniform(50, 1_500), "boot")]
    named = [(restored_ms + after_ms, "decide") for after_ms in (9_000, 12_000, 16_000, 22_000)]
    return [(0.0, "store backup"), *moved, *begun, (restored_ms, "store restored"), *named]


def _away(chance: Chance, nodes: tuple[str, ...], at_ms: float) -> tuple[str, Steps]:
    """One that is away from then on, off or only cut off, and how."""
    away = chance.choice(nodes)
    how = chance.choice(("power", "power", "crash", "cut", "kill agent"))
    return away, [(at_ms, f"cut {away}" if how == "cut" else f"{how} {away}")]


def _insists(chance: Chance, nodes: tuple[str, ...], away: str, at_ms: float) -> Steps:
    """He names one that is there, and now and then another one a moment later; with ``--force`` where that is asked."""
    others = [n for n in nodes if n != away]
    force = chance.choice(("", " force"))
    steps = [(at_ms, f"insist {chance.choice(others)}{force}")]
    if chance.random() < 0.3:
        steps.append((at_ms + chance.uniform(500, 15_000), f"insist {chance.choice(nodes)}{force}"))
    return steps


def _moved(chance: Chance) -> Steps:
    """What has changed since the backup."""
    moved = chance.choice(((), ("swap",), ("crash second",), ("power second",), ("power primary",),
                           ("kill replicator primary",)))  # fmt: skip
    return [(chance.uniform(100, 2_000), line) for line in moved]


def _named_in_restored(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """Etcd is restored, or rebuilt, and a copy named while another one is away, which is the newest one or is not."""
    gone_ms = chance.uniform(3_000, 12_000)
    away, lost = _away(chance, nodes, gone_ms - chance.uniform(0, 3_000))
    how = chance.choice(("store restored", "store restored", "store rebuilt"))
    back_ms = gone_ms + chance.choice((0, chance.uniform(500, 12_000)))
    store = [(0.0, "store backup"), (gone_ms, "store away"), (back_ms, how), (back_ms, "store back")]
    others = [(back_ms, f"boot {n}") for n in nodes if n != away]
    named = _insists(chance, nodes, away, back_ms + chance.uniform(500, 9_000))
    return_ms = back_ms + chance.uniform(8_000, 40_000)
    return [*_moved(chance), *lost, *store, *others, *named, (return_ms, "heal"), (return_ms, "boot")]


def _named_blank(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A new disk is named in a rebuilt etcd, while all that have the data are away."""
    blank = chance.choice(nodes)
    rest = [n for n in nodes if n != blank]
    off = (chance.uniform(2_500, 6_000), f"power {' '.join(rest)}")
    lost = [(0.0, f"power {blank}"), (0.0, f"replace {blank} spare"), off]
    rebuilt_ms = chance.uniform(6_000, 9_000)
    named = [(rebuilt_ms, "store rebuilt"), (rebuilt_ms + 300, f"boot {blank}"), (rebuilt_ms + 900, f"insist {blank}")]
    return [*lost, *named, *((rebuilt_ms + chance.uniform(500, 30_000), f"boot {n}") for n in rest)]


def _named_rebooted(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """One that has lost its memory is named at once, while another one is away that has lost its own, or has not."""
    first, other = chance.sample(nodes, 2)
    away, lost = _away(chance, (other,), 0.0)
    at_ms = chance.uniform(100, 4_000)
    again = [(at_ms + 300, f"boot {first}"), (at_ms + chance.uniform(400, 9_000), f"insist {first}")]
    return_ms = at_ms + chance.uniform(2_000, 20_000)
    return [*lost, (at_ms, f"power {first}"), *again, (return_ms, "heal"), (return_ms, f"boot {away}")]


def _forced_unseen(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """One that was lost first is forced, whatever the others are; those come back in any order."""
    first = chance.choice(nodes)
    alone_ms = chance.uniform(2_500, 8_000)
    others = [n for n in nodes if n != first]
    lost = [step for n in others for step in _away(chance, (n,), alone_ms + chance.uniform(0, 3_000))[1]]
    boot_ms = alone_ms + chance.uniform(0, 4_000)
    named = [(boot_ms, f"boot {first}"), (boot_ms + chance.uniform(500, 9_000), f"insist {first} force")]
    back = [(boot_ms + chance.uniform(10_000, 45_000), f"boot {n}") for n in others]
    return [(0.0, f"{chance.choice(('crash', 'power'))} {first}"), *lost, *named, *back, (boot_ms + 45_000, "heal")]


KINDS: dict[str, tuple[Fault, ...]] = {
    "forced and named": (_forced_and_named,),
    "forced last of three": (_forced_last_of_three,),
    "named unseen": (
        _named_in_restored,
        _named_in_restored,
        _named_in_restored,
        _named_blank,
        _named_rebooted,
        _forced_unseen,
        _forced_unseen,
    ),
    "goes on elsewhere": (_resumes_elsewhere, _resumes_elsewhere, _changes_elsewhere, _adopts_elsewhere),
}
