"""Random operations by two threads at once, on a plain directory and on a mirrored one, compared step by step.

The state machine of hypothesis behind :func:`compare`: what serves the mirrored directory is the caller's matter.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.support.file_actor import Actor, Operation, Outcome
from tests.support.file_operations import batches
from tests.support.grounds import Grounds
from tests.support.trees import assert_equal_trees, snapshot

THREADS = 2
COMMON_BYTES = 8192
STEPS = 12


class Side:
    """One of the two directories, and the actors at work in it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.actors: list[Actor] = []
        self._threads = ThreadPoolExecutor(THREADS)

    def begin(self) -> None:
        os.mkdir(self.root, 0o777)
        os.chmod(self.root, 0o777)
        with open(os.path.join(self.root, "common"), "wb") as file:
            file.write(bytes(COMMON_BYTES))
        os.chmod(file.name, 0o666)
        for index in range(THREADS):
            base = os.path.join(self.root, f"t{index}")
            os.mkdir(base, 0o777)
            os.chmod(base, 0o777)
        self.actors = [Actor(os.path.join(self.root, f"t{index}"), index) for index in range(THREADS)]
        for actor in self.actors:
            actor.begin()

    def run(self, batches: list[list[Operation]]) -> list[list[Outcome]]:
        """Each batch in its own thread, all at once."""

        def work(actor: Actor, batch: list[Operation]) -> list[Outcome]:
            return [actor.perform(operation) for operation in batch]

        return list(self._threads.map(work, self.actors, batches))

    def end(self) -> None:
        for actor in self.actors:
            actor.close_all()
        self.actors = []
        self._threads.shutdown()


class Comparison(RuleBasedStateMachine):
    """Both sides, step by step."""

    def __init__(self, grounds: Grounds, counter: list[int]) -> None:
        super().__init__()
        self._grounds = grounds
        counter[0] += 1
        self._name = f"run{counter[0]}"
        for root in (grounds.plain, grounds.mounted):
            shutil.rmtree(os.path.join(root, f"run{counter[0] - 1}"), ignore_errors=True)
        self._plain = Side(os.path.join(grounds.plain, self._name))
        self._mirror = Side(os.path.join(grounds.mounted, self._name))
        self._umask = os.umask(0o022)
        self._equal = False
        """So far: what comes after a difference says nothing."""

    @initialize()
    def begin(self) -> None:
        for side in (self._plain, self._mirror):
            side.begin()

    @rule(first=batches, second=batches)
    def both_threads(self, first: list[Operation], second: list[Operation]) -> None:
        expected = self._plain.run([first, second])
        found = self._mirror.run([first, second])
        self._equal = False
        for index, batch in enumerate((first, second)):
            for operation, plain, mirror in zip(batch, expected[index], found[index], strict=True):
                assert mirror == plain, f"thread {index}: {shown(operation)}: {shown(mirror)}, plain {shown(plain)}"
        self._equal = True

    @rule(mask=st.sampled_from((0o022, 0o077, 0)))
    def umask(self, mask: int) -> None:
        os.umask(mask)

    def teardown(self) -> None:
        os.umask(self._umask)
        self._plain.end()
        self._mirror.end()
        if self._equal:
            assert_equal_trees(snapshot(self._mirror.root), snapshot(self._plain.root))
            self._grounds.check_copy(self._name)


def shown(outcome: object) -> str:
    text = repr(outcome)
    return text if len(text) < 300 else f"{text[:200]} ... {text[-50:]}"


def compare(grounds: Grounds) -> None:
    """Fails with the fewest operations that give something else on the mirrored directory, or another copy of it."""
    counter = [0]
    machine = cast(type[RuleBasedStateMachine], lambda: Comparison(grounds, counter))
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=STEPS))
    grounds.settle()
    grounds.check_copy(f"run{counter[0]}", exact_times=True)
