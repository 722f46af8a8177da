"""The order in which a module's runtime does what its core wants."""

from collections.abc import Callable
from typing import Any, cast

from agent.core import events
from agent.core.settings import Settings
from agent.runtime.module_runtime import Hands, ModuleRuntime
from manager.model import control
from manager.model.codec import encode
from manager.model.errors import DefiniteFailure
from manager.model.records import DesiredRecord, ModuleConfigRecord
from manager.model.states import Run
from manager.store.api import Put, Txn
from tests.unit.agent.runtime.bench import KEYS, Bench

HELLO = control.Hello(1, "a1", 5, "idle", 0, None)


class Recorder:
    """All hands of a module: what they are asked for, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.broken = ""
        self.member = None
        self.present = False
        self.kept = "k"

    def __getattr__(self, name: str) -> Callable[..., None]:
        def asked(*arguments: Any) -> None:
            self.asked.append((name, arguments))
            if name == self.broken:
                raise DefiniteFailure("no space left")

        return asked

    def boot_id(self) -> str:
        """As it was kept."""
        return self.kept

    async def kill(self) -> None:
        """The one that is waited for."""
        self.asked.append(("kill", ()))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.asked]


def play(recorder: Recorder, fatal: list[BaseException], then: Callable[[ModuleRuntime], None]) -> None:
    """A replicator starts, then something happens."""
    bench = Bench("a", "b")
    bench.put(KEYS.module("db").config, ModuleConfigRecord("m", 1, "", {}, "", ""))
    bench.etcd.commit_now(Txn((), (Put(KEYS.module("db").desired("a"), encode(DesiredRecord(Run.STARTED))),)))
    settings = Settings(KEYS, "db", "a", ("a", "b"), "k", "cid", "m", "host")

    async def story() -> None:
        hands = Hands(*(cast(Any, recorder),) * 5)
        runtime = ModuleRuntime(settings, 1, bench.view, lambda _: hands, lambda _, error: fatal.append(error))
        runtime.give(events.StoreHeard())
        runtime.observed()
        runtime.give(events.Prepared())
        runtime.heard(HELLO)
        recorder.asked.clear()
        then(runtime)

    bench.run(story)


def loses_memory(runtime: ModuleRuntime) -> None:
    runtime.heard(control.Failed("input/output error", memory_lost=True))


def test_a_loss_of_memory_is_kept_before_anything_follows_from_it() -> None:
    recorder, fatal = Recorder(), list[BaseException]()
    play(recorder, fatal, loses_memory)
    assert recorder.asked[0] == ("keep", ("k+1",)) and len(recorder.asked) > 1
    assert not fatal


def test_a_loss_of_memory_that_cannot_be_kept_ends_the_agent() -> None:
    recorder, fatal = Recorder(), list[BaseException]()
    recorder.broken = "keep"
    play(recorder, fatal, loses_memory)
    assert recorder.names == ["keep"]
    assert isinstance(fatal[0], DefiniteFailure)


def test_a_loss_that_nobody_heard_is_found_when_the_replicator_is_gone() -> None:
    recorder, fatal = Recorder(), list[BaseException]()
    recorder.kept = "k+1"
    play(recorder, fatal, lambda runtime: runtime.give(events.ReplicatorGone("signal 9")))
    assert ("keep", ("k+1",)) in recorder.asked and not fatal
    published = [a[0] for name, a in recorder.asked if name == "publish"]
    assert published[-1].boot_id == "k+1"
