"""Each way in which a node of a pair goes and comes back, while an application changes everything at random.

Two real replicators, on a disk each. After each of these only what changed travels.
"""

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from manager.model import control
from tests.support.own_network import OwnNetwork, own_network
from tests.support.random_changes import RandomChanges
from tests.support.replicators import COMMAND, Node, Options, Pair
from tests.support.two_disks import TwoDisks, two_disks

DIRECTORIES = 2
JOIN_S = 60.0
MUCH = 60
"""Changes, about: a fresh tree of a few dozen files."""


class Story:
    """The pair, the application, and what becomes of them."""

    def __init__(self, both: TwoDisks, network: OwnNetwork, chance: random.Random) -> None:
        self.both = both
        self.network = network
        self.chance = chance
        self.changes = RandomChanges(chance)

    @property
    def pair(self) -> Pair:
        return self.both.pair

    def change(self, count: int = MUCH) -> None:
        """In all directories of the primary."""
        for directory in self.pair.a.directories:
            self.changes.change(directory, count)

    def lacks(self) -> str:
        """How the last stream to the secondary began, as the primary logs it."""
        found = [line for line in self.pair.a.log.read_text().splitlines() if '"peer.connected"' in line]
        return str(json.loads(found[-1])["lacks"])

    def drop(self) -> None:
        """The secondary is gone: the record is without it."""
        self.give_up()
        self.pair.b.clear()

    def give_up(self) -> None:
        """The primary has lost the secondary, whatever has become of that: the record is without it."""
        two = self.pair
        two.a.wait(control.PeerLost)
        two.settle(())
        two.a.tell(control.Forget(two.b.name))

    def go_on_alone(self) -> None:
        """The secondary is killed, and the record is without it; the application works on."""
        self.forget_events()
        self.pair.b.kill()
        self.drop()
        self.change()

    def forget_events(self) -> None:
        self.pair.a.collect(0.0)
        self.pair.a.events = [e for e in self.pair.a.events if not isinstance(e, control.PeerLost)]

    def come_back(self) -> None:
        """The node that was away joins, while the application goes on."""
        self.pair.b.start()
        self.join()

    def join(self) -> None:
        """The secondary joins, while the application goes on."""
        two = self.pair
        with self.changes.at_work(two.a.data):
            two.join(seconds=JOIN_S)
            time.sleep(self.chance.uniform(0.0, 0.3))

    def take_over(self) -> None:
        """The secondary becomes primary; the other one is away."""
        two = self.pair
        two.b.tell(control.CloseStream())
        two.b.wait(control.StreamClosed)
        self.both.pair = new = Pair(two.b, two.a, two.epoch + 1)
        new.a.serve(new.epoch)

    def serve_again(self) -> None:
        """The primary was away and alone in the record: it serves on, in a new epoch."""
        two = self.pair
        two.a.clear()
        two.a.start()
        self.both.pair = new = Pair(two.a, two.b, two.epoch + 1)
        new.a.serve(new.epoch)

    def begin_to_join(self) -> None:
        """The secondary has begun to join."""
        two = self.pair
        hello = two.b.start()
        two.b.follow(two.a.name, two.epoch)
        two.a.tell(control.Peer(two.b.name, "127.0.0.1", hello.listen_port))
        two.a.wait(control.PeerConnected, lambda event: event.instance == hello.instance)
        time.sleep(self.chance.uniform(0.0, 0.1))

    def kill(self, node: Node) -> None:
        """Its mount is dead: the application, if it works there, hears of it."""
        node.kill()
        if node is self.pair.a:
            self.changes.end()
        node.clear()

    def lose_power(self, node: Node) -> None:
        """What it has not synced is gone."""
        self.kill(node)
        self.both.lose_power(node)

    def lose_link(self) -> None:
        """Nothing passes between the nodes until the primary has given up the secondary, which may not know it yet.

        It may have done so before, where a join has to begin anew.
        """
        lost = self.pair.b
        knows = any(isinstance(event, control.StreamLost) for event in lost.collect(0.0))
        lost.events.clear()
        self.network.cut()
        self.give_up()
        if self.chance.random() < 0.5 and not knows:
            lost.wait(control.StreamLost)

    def end(self, node: Node) -> None:
        """It is told to end."""
        assert node.quit() == 0, node.said()
        node.disconnect()


def secondary_goes(story: Story, how: Callable[[Node], None]) -> None:
    story.forget_events()
    with story.changes.at_work(story.pair.a.data):
        time.sleep(story.chance.uniform(0.0, 0.3))
        how(story.pair.b)
        story.drop()
    story.change()
    story.come_back()


def secondary_is_killed(story: Story) -> None:
    secondary_goes(story, story.kill)


def secondary_loses_power(story: Story) -> None:
    secondary_goes(story, story.lose_power)


def secondary_ends(story: Story) -> None:
    secondary_goes(story, story.end)


def link_is_cut(story: Story) -> None:
    story.forget_events()
    with story.changes.at_work(story.pair.a.data):
        time.sleep(story.chance.uniform(0.0, 0.3))
        story.lose_link()
    story.change()
    story.network.heal()
    story.join()


def primary_goes(story: Story, how: Callable[[Node], None]) -> None:
    with story.changes.at_work(story.pair.a.data):
        time.sleep(story.chance.uniform(0.0, 0.3))
        how(story.pair.a)
    story.take_over()
    story.change()
    story.come_back()


def primary_is_killed(story: Story) -> None:
    primary_goes(story, story.kill)


def primary_loses_power(story: Story) -> None:
    primary_goes(story, story.lose_power)


def secondary_goes_as_it_joins(story: Story, how: Callable[[Node], None]) -> None:
    story.go_on_alone()
    with story.changes.at_work(story.pair.a.data):
        story.begin_to_join()
        how(story.pair.b)
        story.drop()
    story.change(10)
    story.come_back()


def secondary_is_killed_as_it_joins(story: Story) -> None:
    secondary_goes_as_it_joins(story, story.kill)


def secondary_loses_power_as_it_joins(story: Story) -> None:
    secondary_goes_as_it_joins(story, story.lose_power)


def secondary_ends_as_it_joins(story: Story) -> None:
    secondary_goes_as_it_joins(story, story.end)


def link_is_cut_as_the_secondary_joins(story: Story) -> None:
    story.go_on_alone()
    with story.changes.at_work(story.pair.a.data):
        story.begin_to_join()
        story.lose_link()
    story.change(10)
    story.network.heal()
    story.join()


def primary_goes_as_the_secondary_joins(story: Story, how: Callable[[Node], None]) -> None:
    story.go_on_alone()
    with story.changes.at_work(story.pair.a.data):
        story.begin_to_join()
        how(story.pair.a)
    story.kill(story.pair.b)
    story.serve_again()
    story.change(10)
    story.come_back()


def primary_is_killed_as_the_secondary_joins(story: Story) -> None:
    primary_goes_as_the_secondary_joins(story, story.kill)


def primary_loses_power_as_the_secondary_joins(story: Story) -> None:
    primary_goes_as_the_secondary_joins(story, story.lose_power)


IN_SYNC = (
    secondary_is_killed,
    secondary_loses_power,
    secondary_ends,
    link_is_cut,
    primary_is_killed,
    primary_loses_power,
)
DURING_A_RESYNC = (
    secondary_is_killed_as_it_joins,
    secondary_loses_power_as_it_joins,
    secondary_ends_as_it_joins,
    link_is_cut_as_the_secondary_joins,
    primary_is_killed_as_the_secondary_joins,
    primary_loses_power_as_the_secondary_joins,
)
TRACKED = (*IN_SYNC, *DURING_A_RESYNC)
"""After each of them only what changed travels."""


@contextlib.contextmanager
def story_on(base: Path, kinds: Sequence[str], seed: int, command: Sequence[str] = COMMAND) -> Iterator[Story]:
    """A pair with a tree of its own, on disks of these kinds."""
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(own_network())
        options = Options(directories=DIRECTORIES, command=network.entering(command))
        story = Story(stack.enter_context(two_disks(base, kinds, options)), network, random.Random(seed))
        story.change(3 * MUCH)
        yield story
