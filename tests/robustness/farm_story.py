"""What happens to a farm's nodes under load, in an order that a seed gives: they join, drain, crash, return, are given
other weights, lose their agents, and the director moves. It knows what must come of each, and when nothing is on its
way; what is right is judged elsewhere (``tests.support.farm_history``).
"""

import random
import time
from collections.abc import Callable

from manager.lab.machine import What
from tests.robustness.farm_cluster import FarmCluster
from tests.support.common_clock import now_ns
from tests.support.farm_history import Calm, How, Loss

_HEAVY = 3
"""A weight beside those of 1."""
_NOTICED_S = 4.0
"""After a death: twice what it may take."""


class Story:
    """On a farm whose nodes all have their shares, which it leaves so."""

    def __init__(self, cluster: FarmCluster, seed: int, calm_s: float) -> None:
        """``calm_s``: how long nothing happens after each event."""
        self.losses: list[Loss] = []
        self.calms: list[Calm] = []
        self._cluster = cluster
        self._calm_s = calm_s
        self._chance = random.Random(seed)
        self._weights = {node.name: 1 for node in cluster.lab.nodes}

    def go_through(self, events: tuple["Event", ...]) -> None:
        """Each once, in an order of chance."""
        self._rest()
        for event in self._chance.sample(events, len(events)):
            event(self)

    def crash_a_member(self) -> None:
        """One that does not direct for the first address."""
        self._crash(self._chance.choice(self._others(self._director())))

    def crash_the_director(self) -> None:
        """Of an address."""
        self._crash(self._director(self._chance.choice(self._cluster.farm.addresses)))

    def stop_and_start(self) -> None:
        """The module, on a node that does not direct for the first address."""
        self._stop(self._chance.choice(self._others(self._director())))

    def move_the_director(self) -> None:
        """By stopping the module where it is."""
        self._stop(self._director(self._chance.choice(self._cluster.farm.addresses)))

    def drain(self) -> None:
        """And back."""
        node = self._chance.choice(sorted(self._weights))
        self._tell(f"drain {node}")
        self._cluster.mirrorfarm("farm", "drain", self._cluster.farm.name, node)
        self._rest({node: 0})
        self._cluster.mirrorfarm("farm", "undrain", self._cluster.farm.name, node)
        self._rest()

    def weigh(self) -> None:
        """One node three times as much as the others, and back."""
        node, name = self._chance.choice(sorted(self._weights)), self._cluster.farm.name
        self._tell(f"weigh {node}")
        self._cluster.mirrorfarm("farm", "weight", name, node, str(_HEAVY))
        self._rest({node: _HEAVY})
        self._cluster.mirrorfarm("farm", "weight", name, node, "module.toml")
        self._rest()

    def kill_an_agent(self) -> None:
        """Started again at once, as an init system does."""
        self._restart(self._chance.choice(sorted(self._weights)))

    def kill_the_directors_agent(self) -> None:
        """The same, where somebody directs."""
        self._restart(self._director())

    def _restart(self, node: str) -> None:
        self._tell(f"kill the agent of {node}")
        lab = self._cluster.lab
        lab.kill(node, What.AGENT)
        lab.start_agents([lab.node(node)])
        self._rest()

    def _crash(self, node: str) -> None:
        self._tell(f"crash {node}")
        lab = self._cluster.lab
        died_ns = lab.crash(node)
        self.losses.append(Loss(node, How.DIED, died_ns, died_ns))
        time.sleep(_NOTICED_S)
        self._rest({node: 0})
        lab.start(node)
        self._cluster.route(node)
        self._rest()

    def _stop(self, node: str) -> None:
        self._tell(f"stop {node}")
        name, began_ns = self._cluster.farm.name, now_ns()
        self._cluster.mirrorfarm("stop", name, "--node", node)
        self.losses.append(Loss(node, How.STOPPED, began_ns, now_ns()))
        self._rest({node: 0})
        self._cluster.mirrorfarm("start", name, "--node", node)
        self._rest()

    def _rest(self, changed: dict[str, int] | None = None) -> None:
        """Until all have their shares; then nothing happens."""
        weights = {node: weight for node, weight in (self._weights | (changed or {})).items() if weight}
        self._cluster.shares_become(weights)
        begin_ns = now_ns()
        time.sleep(self._calm_s)
        self.calms.append(Calm(begin_ns, now_ns(), weights))

    def _director(self, address: str = "") -> str:
        return self._cluster.director(address or self._cluster.farm.addresses[0])

    def _others(self, node: str) -> list[str]:
        return sorted(set(self._weights) - {node})

    def _tell(self, words: str) -> None:
        print(f"{now_ns() / 1e9:.2f} {words}", flush=True)


Event = Callable[[Story], None]
