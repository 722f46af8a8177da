"""What an agent tells its modules of etcd: what it shows, and whether it is heard."""

from pathlib import Path
from typing import Any, cast

import pytest

from agent.core import events
from agent.runtime.agent import Agent
from agent.runtime.cluster_view import Changed
from tests.unit.agent.runtime.bench import KEYS, Bench
from tests.unit.agent.runtime.test_farm_modules import around


class Settings:
    module, depends = "db", ()


class Told:
    """A module that runs, and keeps what it is told."""

    settings = Settings()
    has_stopped = False

    def __init__(self) -> None:
        self.told: list[str] = []

    def observed(self) -> None:
        self.told.append("Observed")

    def lease_renewed(self, lease_id: int, deadline_ns: int) -> None:
        self.told.append("LeaseRenewed")

    def give(self, event: events.Event) -> None:
        self.told.append(type(event).__name__)


@pytest.fixture
def bench() -> Bench:
    return Bench("a", "b")


def test_a_last_change_between_renewals_that_fail_is_shown_and_does_not_say_that_etcd_is_heard(
    bench: Bench, tmp_path: Path
) -> None:
    wish, module = KEYS.module("db").desired("a"), Told()

    async def story() -> None:
        agent = Agent(around(bench, tmp_path), lambda _: cast(Any, None), "10.0.0.1")
        agent._modules._runtimes["db"] = cast(Any, module)
        agent.lease_renewed(7, 0)
        agent._judge_store()
        assert module.told == ["LeaseRenewed", "StoreHeard"]
        agent.store_silent("no answer")
        agent._changed(Changed(frozenset({wish}), bench.view.revision))
        assert module.told[2:] == ["StoreSilent", "Observed"]
        agent.lease_renewed(7, 0)
        agent._changed(Changed(frozenset({wish}), bench.view.revision))
        assert module.told[4:] == ["StoreHeard", "LeaseRenewed", "Observed"]

    bench.run(story)


@pytest.mark.parametrize("heard", [True, False])
def test_a_module_that_is_made_is_told_that_etcd_is_heard_only_where_it_is(
    bench: Bench, tmp_path: Path, heard: bool
) -> None:
    module = Told()

    async def story() -> None:
        agent = Agent(around(bench, tmp_path), lambda _: cast(Any, None), "10.0.0.1")
        agent._modules.store_heard = heard
        agent._modules._tell_all(cast(Any, module))
        assert module.told == (["StoreHeard", "Observed"] if heard else ["Observed"])

    bench.run(story)


@pytest.mark.parametrize("answer", ["taken", "kept out"])
def test_etcd_that_answers_without_a_lease_is_heard(bench: Bench, tmp_path: Path, answer: str) -> None:
    """As at a boot at which etcd comes later: it was said to be silent for as long as the node was not let in."""
    module = Told()

    async def story() -> None:
        agent = Agent(around(bench, tmp_path), lambda _: cast(Any, None), "10.0.0.1")
        agent._modules._runtimes["db"] = cast(Any, module)
        agent.store_silent("no answer")
        assert module.told == []
        if answer == "taken":
            agent.node_taken(None)
        else:
            agent.node_strange("b", "9.9")
        assert module.told == ["StoreHeard"]

    bench.run(story)
