"""The call ``check.facts``: of which directories, what of another node's owners, and how often the disks are asked."""

import os
import threading
from pathlib import Path

import pytest

from agent.adapters.directory_look import look
from agent.runtime import handlers_check
from agent.runtime.handlers_check import CheckHandlers, Looks
from manager.model.api_channel import Asker, why_not
from manager.model.api_check import MOST_OWNERS, CheckFacts, CheckFactsArguments, DirectoryFacts, Owner, OwnerKind
from manager.model.codec import decode, encode
from manager.model.records import ModuleConfigRecord
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, toml
from tests.unit.agent.runtime.test_farm_modules import FARM

USER = Owner(OwnerKind.USER, 0, "root")


def bench_with(*texts: str) -> Bench:
    bench = Bench("a", "b")
    for number, text in enumerate(texts):
        bench.put(KEYS.module(f"m{number}").config, ModuleConfigRecord(f"{number}", 1, text, {}, "", ""))
    return bench


def facts(bench: Bench, looks: Looks | None = None, *owners: Owner, times: int = 1) -> CheckFacts:
    told: list[CheckFacts] = []

    async def story() -> None:
        await bench.until(lambda: bench.view.revision >= bench.etcd.revision)
        handlers = CheckHandlers(bench.seat, looks or Looks(lambda module: None), "10.0.0.1")
        for _ in range(times):
            told.append(await handlers.facts(CheckFactsArguments(owners), ROOT, bench.report))

    bench.run(story)
    return told[-1]


def test_a_node_says_what_it_is_and_what_its_mirrors_directories_are(tmp_path: Path) -> None:
    others = toml("m2").replace('"a", "b"', '"b", "c"')
    answer = facts(bench_with(toml("m0", str(tmp_path)), FARM, others, "no toml"), None, USER)
    assert decode(CheckFacts, encode(answer)) == answer
    assert (answer.node, answer.kernel, answer.etcd_client) == ("a", os.uname().release, "0.12.0")
    (directory,) = answer.directories
    assert (directory.module, directory.path, directory.nodes) == ("m0", str(tmp_path), ("a", "b"))
    assert directory.fsync_us is not None and directory.problem == ""
    assert answer.owners is not None and answer.owners[0].number == 0


def test_it_is_answered_to_other_nodes_in_plain_too() -> None:
    assert why_not(CheckFactsArguments(), "a", Asker.ANYBODY) is None


def test_the_disks_are_asked_once_by_all_who_come_within_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, asked = Looks(lambda module: None), list[str]()

    def counted(*arguments: object) -> None:
        asked.append("")
        look(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(handlers_check, "look", counted)
    bench = bench_with(toml("m0", str(tmp_path)))
    facts(bench, looks, times=3)
    assert len(asked) == 1
    monkeypatch.setattr(handlers_check, "FRESH_S", -1.0)
    facts(bench, looks)
    assert len(asked) == 2


def test_a_disk_that_hangs_is_said_to_and_what_was_found_before_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()

    def hang(directories: tuple[DirectoryFacts, ...], told: object, replicator_of: object) -> None:
        told(DirectoryFacts("m0", str(tmp_path), ("a", "b"), file_system="xfs", owners=()))  # type: ignore[operator]
        held.wait(60)

    monkeypatch.setattr(handlers_check, "look", hang)
    monkeypatch.setattr(handlers_check, "LOOK_S", 0.05)
    monkeypatch.setattr(handlers_check, "FRESH_S", -1.0)
    bench, looks = bench_with(toml("m0", str(tmp_path)), toml("m1", "/srv/other")), Looks(lambda module: None)
    first, second = facts(bench, looks).directories
    assert (first.file_system, first.problem) == ("xfs", "no answer within 0.05 s")
    assert (second.owners, second.problem) == (None, "no answer within 0.05 s")
    again, _ = facts(bench, looks).directories
    assert again.problem == "a former look has not come back"
    held.set()


def test_who_knows_the_names_may_hang_too(monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    monkeypatch.setattr(handlers_check, "owners_here", lambda owners: held.wait(60))
    monkeypatch.setattr(handlers_check, "NAMES_S", 0.05)
    assert facts(bench_with(), None, USER).owners is None
    held.set()


def test_more_owners_than_may_be_asked_for_are_not_answered() -> None:
    many = tuple(Owner(OwnerKind.USER, number, "") for number in range(MOST_OWNERS + 3))
    answered = facts(bench_with(), None, *many).owners
    assert answered is not None and len(answered) == MOST_OWNERS
