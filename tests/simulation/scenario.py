"""Scenarios: a text script of what is done to a cluster, with the output that was kept beside it.

A line that begins with ``>`` is a command, what is indented below it is its output, ``#`` begins a comment. Commands
are the actions of ``tests.simulation.actions``, several on a line parted by ``;``, and these:

    > plan after_power_loss wait     before anything else: a field of the plan
    > run 12s                        time passes; out comes what happened, in milliseconds from the beginning
    > expect a PRIM ready serving    the published state; any first part of it
    > expect record a b              the nodes that the in-sync record lists
    > expect epoch 2
    > expect writes                  some, or ``no writes``, were completed in the last run
    > expect pause 300ms             at the most, between two completed writes of the last run
    > expect application a           runs there and nowhere else; ``expect application`` alone: nowhere
    > expect equal                   all copies hold the same
    > end                            healed, it converges

Nothing is left to chance: each delay is the middle one. What is expected fails, whatever output is kept.
"""

from dataclasses import replace
from typing import Any

from tests.simulation import actions
from tests.simulation.actions import ActionError, span_ns
from tests.simulation.checkers import Violation
from tests.simulation.clockwork import MS_NS
from tests.simulation.cluster import Cluster
from tests.simulation.plan import SHIPPED, Parts, Plan
from tests.simulation.volume import equal

_SEED = 1
_CALM = Plan(store_faults=0, faults=(), steady=True)


class ExpectationError(AssertionError):
    """What a script expects is not so."""


class Scenario:
    """One script, as it runs."""

    def __init__(self, parts: Parts = SHIPPED) -> None:
        """Nothing yet; ``parts``: what is broken on purpose."""
        self._plan = replace(_CALM, parts=parts)
        self._cluster: Cluster | None = None
        self._told = 0
        self._completed = 0

    def play(self, script: str) -> str:
        """The script with the output that it has now.

        Raises:
            ExpectationError, ActionError, Violation: with the line.
        """
        lines: list[str] = []
        for number, line in enumerate(script.splitlines(), 1):
            if line.startswith("  "):
                continue
            lines.append(line)
            if not line.startswith("> "):
                continue
            for command in line[2:].split(";"):
                try:
                    lines += [f"  {out}" for out in self._do(command.strip())]
                except (ExpectationError, ActionError, Violation) as error:
                    error.add_note("\n".join([*lines, *self._news(), f"line {number}: {line}"]))
                    raise
        return "\n".join(lines) + "\n"

    @property
    def cluster(self) -> Cluster:
        """Made at the first command that is not of the plan."""
        if self._cluster is None:
            self._cluster = Cluster(_SEED, self._plan)
        return self._cluster

    def _do(self, command: str) -> list[str]:
        verb, *words = command.split()
        match verb:
            case "plan":
                self._set(words)
            case "run":
                return self._run(span_ns(words[0]))
            case "expect":
                self._expect(words)
            case "end":
                self.cluster.end()
                return self._news()
            case _:
                actions.do(self.cluster, command)
        return []

    def _set(self, words: list[str]) -> None:
        if self._cluster is not None:
            raise ActionError("plan: it has begun already")
        name, *values = words
        value: Any = tuple(values) if name == "nodes" else values[0]
        if isinstance(getattr(self._plan, name), int):
            value = int(value)
        self._plan = replace(self._plan, **{name: value})

    def _run(self, for_ns: int) -> list[str]:
        cluster = self.cluster
        promises = cluster.promises
        before, promises.longest_pause_ns = promises.completions, 0
        began_ns = cluster.clock.now_ns
        cluster.clock.run_for(for_ns)
        now_ns = cluster.clock.now_ns
        # A pause that has not ended yet is one too, and what was before this run is none of it.
        waited_ns = now_ns - max(promises.completed_ns, began_ns)
        self._pause_ns = max(min(promises.longest_pause_ns, for_ns), waited_ns)
        self._completed = promises.completions - before
        out = self._news()
        if self._completed:
            out.append(f"{self._completed} writes, {self._pause_ns // MS_NS} ms between two at the most")
        else:
            out.append("no writes")
        return out

    _pause_ns = 0

    def _news(self) -> list[str]:
        if self._cluster is None:
            return []
        log, self._told = self._cluster.log[self._told :], len(self._cluster.log)
        return [f"{at_ns // MS_NS:6d} {text}" for at_ns, text in log]

    def _expect(self, words: list[str]) -> None:
        found = self._found(words)
        if found is not None:
            raise ExpectationError(f"expected {' '.join(words)!r}, found {found}")

    def _found(self, words: list[str]) -> str | None:
        """What is so instead; ``None``: it is as expected."""
        cluster = self.cluster
        record = cluster.store.record
        match words:
            case ["record", *nodes]:
                listed = sorted(record.nodes) if record is not None else []
                return None if listed == sorted(nodes) else " ".join(listed)
            case ["epoch", number]:
                return None if record is not None and record.epoch == int(number) else str(record)
            case ["writes"]:
                return None if self._completed else "none"
            case ["no", "writes"]:
                return f"{self._completed}" if self._completed else None
            case ["pause", most]:
                return None if self._pause_ns <= span_ns(most) else f"{self._pause_ns // MS_NS} ms"
            case ["application", *nodes]:
                runs = sorted(n for n, node in cluster.nodes.items() if node.application_runs)
                return None if runs == sorted(nodes) else " ".join(runs)
            case ["equal"]:
                same = equal(node.copy for node in cluster.nodes.values())
                return None if same else str([node.copy.cache for node in cluster.nodes.values()])
            case [node, *state] if node in cluster.nodes:
                said = cluster.states()[node]
                wanted = " ".join(state)
                return None if said == wanted or said.startswith(f"{wanted} ") else said
            case _:
                raise ActionError(f"what to expect: found {' '.join(words)!r}")
