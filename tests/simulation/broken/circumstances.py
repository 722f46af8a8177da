"""What has to come together for the loss of one rule to show: as ``rare_faults``, for broken variants alone."""

from tests.simulation import faults, schedule
from tests.simulation.plan import Plan
from tests.simulation.schedule import Chance, Fault, Group

Steps = list[tuple[float, str]]


def _taken_late(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A place is taken after the offer is over, and who offered it sees nothing of that."""
    late_ms = chance.randrange(11_500, 15_000)
    steps = [(0.0, f"late second {late_ms}ms"), (0.0, "swap"), (chance.uniform(600, 1_500), "cut second store")]
    return [*steps, (11_000, "blind primary 15s"), (late_ms + 500, "heal")]


def _added_late(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A node is listed by a request that is executed late; who sent it is cut off from etcd before it hears of it."""
    steps = [(0.0, "kill replicator second"), (2_700, f"late primary {chance.randrange(1_000, 3_000)}ms")]
    return [*steps, (chance.uniform(3_300, 4_300), "cut primary store"), (22_000, "heal")]


def _added_in_vain(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """The same, and the node is gone before; who sent it goes on, or its agent begins anew."""
    steps = [(0.0, "kill replicator second"), (2_700, f"late primary {chance.randrange(3_000, 6_000)}ms")]
    gone_ms = chance.uniform(4_300, 6_500)
    if chance.random() < 0.5:
        steps += [(gone_ms - 100, "kill agent primary"), (gone_ms + chance.uniform(0, 500), "boot primary")]
    return [*steps, (gone_ms, "crash second"), (16_000, "boot")]


def _added_at_the_end(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """One that goes on alone lists another node when its lease has not been renewed for a while; and its agent dies."""
    steps = [(0.0, "kill replicator second"), (chance.uniform(600, 3_000), "cut primary store")]
    steps += [(3_200, f"late primary {chance.randrange(100, 900)}ms")]
    return [*steps, (chance.uniform(4_500, 7_000), "kill agent primary"), (14_000, "heal"), (24_000, "boot")]


def _meant_for_another_etcd(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A request to stand is executed in an etcd that was restored since, and another node has gone on meanwhile.

    For leases of 20 s.
    """
    steps = [(0.0, "crash primary"), (chance.uniform(200, 9_000), "store backup"), (15_000, "slow second > store 4s")]
    restored_ms = chance.uniform(20_500, 22_000)
    named = [(restored_ms + after_ms, "decide") for after_ms in (30_000, 40_000)]
    return [*steps, (chance.uniform(18_000, 20_000), "boot primary"), (restored_ms, "store restored"),
            (restored_ms + 4_500, "heal"), *named]  # fmt: skip


def _key_of_a_backup(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A key comes back out of a backup while its lease lasts."""
    restored_ms = chance.uniform(2_500, 5_500)
    named = [(restored_ms + after_ms, "decide") for after_ms in (9_000, 15_000, 25_000)]
    how = chance.choice(("swap", "swap", "kill replicator primary"))
    return [(0.0, "store backup"), (chance.uniform(50, 1_500), how), (restored_ms, "store restored"), *named]


def _unmounted(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """What a listed node finds on its disk is of an earlier epoch, and its primary is cut off, so does not see it."""
    images = [(0.0, f"image {n}") for n in nodes]
    back = [(6_050.0, "crash second"), (6_050.0, "put_back second old"), (6_300.0, "boot second")]
    dies_ms = 6_300 + chance.uniform(1_000, 4_000)
    return [
        *images,
        (100, "swap"),
        (6_000, "cut primary"),
        *back,
        (dies_ms, "kill replicator second"),
        (26_000, "heal"),
    ]


def _cut_for_long(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A primary is without etcd until nobody promises any more."""
    return [(0.0, "cut primary store"), (chance.uniform(20_000, 24_000), "heal")]


def _slow_answers(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """Etcd's answers are slow, then a primary is cut off from everyone."""
    return [(0.0, "slow store > primary 960ms"), (chance.uniform(4_000, 8_000), "cut primary"), (20_000, "heal")]


def _full_for_a_moment(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """There is no room on a primary's disk for what has been sent, and there is again."""
    full_ms = chance.uniform(500, 2_000)
    steps = [(0.0, "slow primary second 300ms"), (full_ms, "full primary")]
    return [*steps, (full_ms + chance.uniform(10, 400), "room primary"), (full_ms + 2_000, "heal")]


def _forced_past_another(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A forced start is executed late, when another node that is listed is there again."""
    first, other, third = chance.sample(nodes, 3)
    lost = [(0.0, f"power {first}"), (4_000, f"power {third}"), (4_200, f"kill agent {other}")]
    asked = [(4_500, f"boot {first}"), (12_000, f"late {first} {chance.randrange(4_000, 7_000)}ms")]
    back = [(chance.uniform(14_500, 17_000), f"boot {other}"), (30_000, "boot")]
    return [*lost, *asked, (12_100, f"force {first}"), *back]


def _flaps(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A secondary is cut off for a moment, and again once it is listed."""
    times = (0.0, chance.uniform(7_000, 9_000))
    each = ((0, "cut primary second"), (2_900, "heal"))
    return [(at_ms + after_ms, line) for at_ms in times for after_ms, line in each]


def _heard_of(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """One returns to a primary that has gone on alone, and that ends, and etcd is rebuilt."""
    alone_ms = chance.uniform(2_000, 6_000)
    lost = [(0.0, "store backup"), (100, "power second"), (alone_ms, "kill replicator primary")]
    back = [(alone_ms + chance.uniform(0, 400), "boot second"), (alone_ms + chance.uniform(300, 900), "power primary")]
    restored = [(alone_ms + 2_000, "store restored"), (alone_ms + 4_000, "boot primary")]
    named = [(alone_ms + after_ms, "decide") for after_ms in (14_000, 22_000, 30_000)]
    return [*lost, *back, *restored, *named]


def _back_in_another_etcd(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A secondary's stream is down while etcd is restored, and back before its primary sees that, which is lost then.

    Nobody decides.
    """
    cut_ms = chance.uniform(2_500, 4_500)
    restored = [(cut_ms, "blind primary 20s"), (cut_ms, "store restored")]
    back_ms = cut_ms + chance.uniform(500, 2_000)
    lost_ms = back_ms + chance.uniform(200, 2_500)
    return [(0.0, "store backup"), (50, "cut primary second"), *restored, (back_ms, "heal"), (lost_ms, "crash primary")]


def _back_untold(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A secondary's agent begins anew while there is no primary's key, and sees nothing more of etcd for a while; its
    stream ends meanwhile, and comes back."""
    alone = [(0.0, "cut primary second"), (chance.uniform(3_500, 5_000), "cut primary store")]
    begun = [(11_500, "heal primary second"), (12_500, "kill agent second"), (12_550, "boot second")]
    down_ms = 12_550 + chance.uniform(300, 900)
    down = [(down_ms, "blind second 15s"), (down_ms, "cut primary second"), (down_ms + 500, "heal primary store")]
    return [*alone, *begun, *down, (down_ms + chance.uniform(4_000, 6_000), "heal")]


def _hung_and_begun_anew(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A primary's replicator hangs, and its agent begins anew without etcd."""
    begun = [(0.0, "freeze replicator primary"), (chance.uniform(0, 900), "kill agent primary")]
    return [(0.0, "cut primary store"), *begun, (1_000, "boot primary"), (30_000, "heal"), (30_000, "thaw")]


def _followed_before_it_served(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """One returns to a primary that had gone on alone, and ends as it is elected anew; then etcd is rebuilt."""
    again_ms = 4_000 + chance.uniform(1_000, 1_300)
    alone = [(0.0, "store backup"), (100, "crash second"), (4_000, "kill replicator primary"), (4_100, "boot second")]
    restored = [(again_ms, "crash primary"), (again_ms + 2_000, "store restored"), (again_ms + 3_000, "boot primary")]
    named = [(again_ms + after_ms, "decide") for after_ms in (14_000, 22_000, 30_000)]
    return [*alone, *restored, *named]


def _completed_unread(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A join ends while the record is not understood."""
    spoiled_ms = chance.uniform(50, 900)
    steps = [(0.0, "slow primary second 200ms"), (0.0, "kill replicator second"), (spoiled_ms, "spoil insync")]
    return [*steps, (spoiled_ms + chance.uniform(4_000, 9_000), "mend insync"), (14_000, "heal")]


def _lost_when_promoted(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A disk loses what was not synced just as its node is made primary, and its agent hears of that late."""
    at_ms = chance.uniform(50, 900)
    return [(0.0, "swap"), (at_ms, f"freeze agent {node}"), (at_ms + 1, f"eio {node}"), (at_ms + 4_000, "thaw")]


def _restored_as_one_stands(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """Etcd is restored, with an older record, when a secondary has closed its stream, and asked in vain to stand; the
    primary comes back with an empty disk."""
    before = [(0.0, "store backup"), (100, "kill replicator second"), (6_000, "late second 300s")]
    restored_ms = chance.uniform(11_700, 13_200)
    back_ms = restored_ms + chance.uniform(100, 2_000)
    named = [(back_ms + after_ms, "decide") for after_ms in (10_000, 16_000)]
    lost = [(6_100, "crash primary"), (6_100, "replace primary"), (restored_ms, "store restored")]
    return [*before, *lost, (back_ms, "boot primary"), *named]


def _stands_in_vain(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """One that has gone on alone asks to stand in vain, and etcd is restored, with the record of then."""
    alone = [(0.0, "crash second"), (4_000, "kill replicator primary")]
    asked = [(4_300, "store backup"), (4_300, "late primary 300s"), (5_000, "boot second")]
    restored_ms = chance.uniform(7_500, 10_000)
    named = [(restored_ms + after_ms, "decide") for after_ms in (9_000, 16_000)]
    return [*alone, *asked, (restored_ms, "store restored"), *named]


def _restored_as_one_joins(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A copy is in the middle of a join when all but its replicator is lost, and etcd comes back as it listed that."""
    joins_ms = 4_000 + chance.uniform(0, 1_500)
    apart = [(0.0, "store backup"), (50, "cut primary second"), (4_000, "heal")]
    lost = [(joins_ms, "kill agent second"), (joins_ms + 5, "power primary"), (joins_ms + 10, "store restored")]
    return [*apart, *lost, (joins_ms + chance.uniform(100, 2_000), "boot second"), (40_000, "boot primary")]


def _restored_as_one_is_made_equal(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A copy is in the middle of its second join, as the first one broke off, when etcd comes back as it listed that;
    the primary sees nothing of it, and is cut off once the join is through."""
    broken_ms = 4_000 + chance.uniform(500, 4_500)
    again_ms = broken_ms + 3_500
    slow = f"slow primary second {chance.randrange(400, 1_500)}ms"
    first = [(0.0, "store backup"), (50, "cut primary second"), (4_000, "heal"), (4_001, slow)]
    second = [(broken_ms, "cut primary second"), (again_ms, "heal"), (again_ms + 1, slow)]
    unseen = [(again_ms + 2, "cut primary store"), (again_ms + chance.uniform(3, 300), "store restored")]
    return [*first, *second, *unseen, (again_ms + chance.uniform(2_000, 8_000), "cut primary second"), (50_000, "heal")]


def _joined_unlisted(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A join comes to its end while its primary is cut off from etcd, and what that completed goes with its power; etcd
    is lost, and it is named."""
    cut_ms = 5_000 + chance.uniform(150, 700)
    gone_ms = cut_ms + chance.uniform(500, 2_500)
    blank = [(0.0, "power second"), (0.0, "replace second"), (5_000, "boot second"), (cut_ms, "cut primary store")]
    lost = [(gone_ms, "power primary"), (gone_ms + 1_000, "store rebuilt"), (gone_ms + 1_500, "heal")]
    named = [(gone_ms + after_ms, f"insist {node}") for after_ms in (16_000, 22_000)]
    return [*blank, *lost, *((gone_ms + 1_600, f"boot {n}") for n in nodes), *named]


def _restored_as_one_is_alone(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """Etcd is restored, with a primary that is alone shown as waiting, as it did once, and that sees nothing of it."""
    waits = [(0.0, "cut primary second"), (chance.uniform(3_600, 4_400), "store backup"), (4_500, "heal")]
    alone = [(9_000.0, "swap"), (10_500, "cut primary second"), (15_000, "heal primary second")]
    restored_ms = 15_000 + chance.uniform(0, 100)
    unseen = [(restored_ms, "blind primary 60s"), (restored_ms + 1, "store restored")]
    return [*waits, *alone, *unseen, *((restored_ms + after_ms, "decide") for after_ms in range(14_000, 30_000, 2_000))]


def _blank_in_a_rebuilt_one(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A primary comes back with an empty disk, and is named in an etcd that was rebuilt a moment ago: its first epoch
    there has the number of the one in which the other node was told to follow it."""
    lost = [(0.0, "power primary"), (0.0, f"replace {node}"), (7_000, f"boot {node}")]
    rebuilt_ms = chance.uniform(500, 7_000)
    return [*lost, (rebuilt_ms, "store rebuilt"), (rebuilt_ms + chance.uniform(300, 1_500), f"insist {node}")]


def _lost_between_agents(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """A memory is lost, and its replicator dies, when a new agent has begun, and is not connected to it yet."""
    begun_ms = chance.uniform(100, 1_000)
    lost_ms = begun_ms + chance.uniform(0, 300)
    lost = [(lost_ms, "eio second"), (lost_ms, "kill replicator second"), (lost_ms, "crash primary")]
    return [(0.0, "kill agent second"), (begun_ms, "boot second"), *lost, (lost_ms + 3_000, "boot")]


def _late_frames(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """What a primary has sent comes when it has given its place up, and another one serves."""
    slow = f"slow primary > second {chance.randrange(500, 1_600)}ms"
    gone_ms = chance.uniform(2_000, 2_500)
    return [(0.0, slow), (gone_ms, "kill replicator primary"), (gone_ms + 6_000, "heal")]


def _begun_anew(chance: Chance, node: str, nodes: tuple[str, ...]) -> Steps:
    """All lose their power, one has a new disk, and etcd is rebuilt, before they are there again."""
    lost = [(0.0, f"power {' '.join(nodes)}"), (100, f"replace {nodes[0]}"), (500, "store rebuilt")]
    back_ms = chance.uniform(1_000, 3_000)
    return [*lost, *((back_ms, f"boot {n}") for n in nodes), (back_ms + 10_000, "decide"), (back_ms + 20_000, "decide")]


OWN: dict[str, tuple[Fault, ...]] = {
    "taken late": (_taken_late,),
    "added late": (_added_late,),
    "added in vain": (_added_in_vain,),
    "added at the end": (_added_at_the_end,),
    "another etcd": (_meant_for_another_etcd,),
    "key of a backup": (_key_of_a_backup,),
    "unmounted": (_unmounted,),
    "cut for long": (_cut_for_long,),
    "slow answers": (_slow_answers,),
    "full for a moment": (_full_for_a_moment,),
    "forced past another": (_forced_past_another,),
    "heard of": (_heard_of,),
    "flaps": (_flaps,),
    "back in another etcd": (_back_in_another_etcd,),
    "back untold": (_back_untold,),
    "followed before it served": (_followed_before_it_served,),
    "completed unread": (_completed_unread,),
    "lost when promoted": (_lost_when_promoted,),
    "restored as one stands": (_restored_as_one_stands,),
    "stands in vain": (_stands_in_vain,),
    "restored as one joins": (_restored_as_one_joins,),
    "restored as one is made equal": (_restored_as_one_is_made_equal,),
    "joined unlisted": (_joined_unlisted,),
    "hung and begun anew": (_hung_and_begun_anew,),
    "restored as one is alone": (_restored_as_one_is_alone,),
    "blank in a rebuilt one": (_blank_in_a_rebuilt_one,),
    "lost between agents": (_lost_between_agents,),
    "late frames": (_late_frames,),
    "begun anew": (_begun_anew,),
}


def schedule_of(seed: int, plan: Plan) -> list[Group]:
    """As ``faults.schedule_of``, with these faults beside those."""
    choice = [fault for kind in plan.faults for fault in (OWN | faults.KINDS)[kind]]
    return schedule.drawn(seed, choice, plan.nodes, plan.seconds, plan.mean_between_faults_s)
