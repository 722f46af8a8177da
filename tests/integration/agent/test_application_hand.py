"""What a module's core wants of its application, carried out with real scripts: each command answered once, or not."""

import asyncio
import os
import re
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.adapters import application
from agent.adapters.application import Application, Places
from agent.adapters.cgroups import module_cgroup
from agent.adapters.orphans import LongDead
from agent.core import commands, events
from agent.core.commands import RunContext
from agent.runtime import application_life
from agent.runtime.application_hand import ApplicationHand
from manager.model.config import application_of, parse_module

CONTEXT = RunContext("WAIT", "ALONE", "start", 1)
DAEMON = "#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 &\n"
SLOW = "#!/bin/sh\nsleep 600\n"
TOML = 'name = "db"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/db"]\n[scripts]\nstop_timeout = "10 s"\n'
_WAIT_S = 10.0
"""A busy machine may run what a script starts late, and so this process."""


class Bench:
    def __init__(self, directory: Path, base: str) -> None:
        self.directory = directory
        self.base = base
        self.given: list[events.Event] = []
        self.fatal: list[BaseException] = []
        self.next: list[Application] = []
        self.watched: list[bool] = []
        self.application: Application | None = None

    def of(self, scripts: dict[str, str]) -> Application:
        places = Places(str(self.directory / "scripts"), str(self.directory / "logs"))
        config = application_of(parse_module(TOML, scripts))
        return Application(config, "a", module_cgroup("db", "app", self.base), places)

    async def told(self, *kinds: type) -> None:
        """Exactly these events have come, and nothing else."""
        async with asyncio.timeout(_WAIT_S):
            while len(self.given) < len(kinds):
                await asyncio.sleep(0.005)
        assert [type(e) for e in self.given] == list(kinds)
        self.given.clear()

    def play(self, scripts: dict[str, str], story: Callable[[ApplicationHand], Awaitable[None]]) -> None:
        self.application = application = self.of(scripts)

        async def played() -> None:
            hand = ApplicationHand(
                "db",
                application,
                str(self.directory / "run" / "lives"),
                lambda: self.next.pop() if self.next else None,
                self.given.append,
                lambda: self.watched.append(True),
                lambda what, error: self.fatal.append(error),
            )
            try:
                hand.prepare(CONTEXT)
                await self.told(events.Prepared)
                await story(hand)
            finally:
                await hand.kill()

        asyncio.run(played())
        assert self.fatal == [] and self.given == []

    @property
    def lives(self) -> bool:
        return self.application is not None and self.application.populated()


@pytest.fixture
def bench(tmp_path: Path, cgroup_base: str) -> Bench:
    return Bench(tmp_path, cgroup_base)


def test_from_prepare_to_finish(bench: Bench) -> None:
    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)
        hand.stop(CONTEXT)
        await bench.told(events.ApplicationStopped)
        assert not bench.lives
        hand.finish(CONTEXT)
        await bench.told(events.Finished)
        assert not (bench.directory / "scripts").exists()

    bench.play({"start_prim": DAEMON, "poststop": "#!/bin/sh\nexit 1\n"}, story)


def test_a_full_run_directory_costs_the_next_agent_what_it_would_know_and_no_more(bench: Bench) -> None:
    run = bench.directory / "run"
    run.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", run], check=True)
    (run / "more").write_bytes(bytes(4096))

    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)
        hand.adopt()
        await bench.told(events.ApplicationStarted)
        hand.stop(CONTEXT)
        await bench.told(events.ApplicationStopped)
        (run / "lives").touch()
        hand.adopt()
        await bench.told(events.ApplicationFailed)

    try:
        bench.play({"start_prim": DAEMON}, story)
    finally:
        subprocess.run(["umount", run], check=True)


def test_a_stop_ends_a_start_which_then_answers_nothing(bench: Bench) -> None:
    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        async with asyncio.timeout(_WAIT_S):
            while not bench.lives:
                await asyncio.sleep(0.005)
        hand.stop(CONTEXT)
        await bench.told(events.ApplicationStopped)
        assert not bench.lives

    bench.play({"start_prim": SLOW}, story)


def test_a_kill_ends_all_and_nothing_is_answered(bench: Bench) -> None:
    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        async with asyncio.timeout(_WAIT_S):
            while not bench.lives:
                await asyncio.sleep(0.005)
        await hand.kill()
        assert not bench.lives and bench.given == []

    bench.play({"start_prim": SLOW, "stop_prim": SLOW}, story)


def test_a_failed_start_tells_the_scripts_last_words(bench: Bench) -> None:
    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        async with asyncio.timeout(_WAIT_S):
            while not bench.given:
                await asyncio.sleep(0.005)
        assert bench.given == [events.ApplicationFailed("start_prim failed with exit code 3: the disk is on fire")]
        bench.given.clear()

    bench.play({"start_prim": "#!/bin/sh\necho the disk is on fire\nexit 3\n"}, story)


def test_what_a_former_agent_started_is_adopted_if_it_lives(bench: Bench) -> None:
    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)
        async with asyncio.timeout(_WAIT_S):
            while (bench.directory / "run" / "lives").read_text() != "lives":
                await asyncio.sleep(0.005)
        # The former agent's own tasks end with it.
        await hand.close()
        hand.adopt()
        await bench.told(events.ApplicationStarted)
        await hand.close()
        assert bench.application is not None
        await bench.application.kill()
        hand.adopt()
        await bench.told(events.ApplicationFailed)

    bench.play({"start_prim": DAEMON}, story)


def test_what_had_only_to_run_once_counts_as_running(bench: Bench) -> None:
    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)
        await hand.close()
        hand.adopt()
        await bench.told(events.ApplicationStarted)
        assert not hand.is_unwatched, "there is no start that could have left something"

    bench.play({}, story)


def test_what_was_not_started_to_the_end_is_not_taken_for_running(bench: Bench) -> None:
    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        async with asyncio.timeout(_WAIT_S):
            while not bench.lives:
                await asyncio.sleep(0.005)
        await hand.close()
        hand.adopt()
        await bench.told(events.ApplicationFailed)

    bench.play({"start_prim": SLOW}, story)


# An application that ends by itself


@pytest.fixture
def reaper(adopted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the agent: what scripts leave comes to this process."""
    monkeypatch.setattr(application_life, "LOOK_S", 0.02)


def left_running(work: str) -> dict[str, str]:
    """A start that leaves a process of its own session with ``work`` to do, and succeeds."""
    return {"start_prim": f"#!/bin/sh\nsetsid --fork sh -c '{work}'\n"}


def failure_of(bench: Bench, scripts: dict[str, str]) -> str:
    """The words of a start that failed, however late its application's end was."""
    said: list[str] = []

    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        async with asyncio.timeout(_WAIT_S):
            while not bench.given:
                await asyncio.sleep(0.005)
        [failed] = bench.given
        bench.given.clear()
        assert isinstance(failed, events.ApplicationFailed)
        said.append(failed.detail)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(application_life, "SETTLE_S", _WAIT_S)
        bench.play(scripts, story)
    return said[0]


@pytest.mark.usefixtures("reaper")
@pytest.mark.parametrize(
    ("work", "status"),
    [
        ("echo the port is taken; exit 3", "with exit status 3"),
        ("echo the port is taken; sleep 0.1; exit 3", "with exit status 3"),
        # It has to be seen before: else it may be what the start itself needed.
        ("echo the port is taken; sleep 2; exit 0", "with exit status 0"),
        ("echo the port is taken; sleep 0.1; kill -SEGV $$", "by signal 11 (SIGSEGV)"),
    ],
)
def test_one_that_ends_at_once_has_failed_to_start(bench: Bench, work: str, status: str) -> None:
    said = failure_of(bench, left_running(work))
    log = bench.directory / "logs" / "start_prim.1.log"
    found = re.fullmatch(r"the application ended (\d+) ms after its start, sh \(pid \d+\) (.*)", said, re.DOTALL)
    assert found is not None, said
    assert found[2] == f"{status} (output: {log}), and said last:\n    the port is taken"


async def ends_after_it_worked(bench: Bench, hand: ApplicationHand, works: Path) -> str:
    """Started, it works for as long as its file is there; what is told of its end."""
    hand.start(CONTEXT)
    await bench.told(events.ApplicationStarted)
    works.unlink()
    async with asyncio.timeout(_WAIT_S):
        while not bench.given:
            await asyncio.sleep(0.005)
    gone = bench.given.pop()
    assert isinstance(gone, events.ApplicationGone)
    return gone.detail


@pytest.mark.usefixtures("reaper")
def test_one_that_ends_later_is_gone_with_its_words(bench: Bench) -> None:
    works = bench.directory / "works"
    works.touch()

    async def story(hand: ApplicationHand) -> None:
        said = await ends_after_it_worked(bench, hand, works)
        assert "ms after its start" in said and "with exit status 9" in said
        assert said.endswith("last:\n    out of memory")

    work = f"while [ -e {works} ]; do sleep 0.05; done; echo out of memory; exit 9"
    bench.play(left_running(work), story)


def test_one_whose_status_nobody_hears_has_ended_all_the_same(bench: Bench) -> None:
    """As where the kernel does not list a process's children."""
    assert "it is not known with which status" in failure_of(bench, left_running("sleep 2; exit 3"))


@pytest.mark.usefixtures("reaper")
@pytest.mark.parametrize(
    "script",
    [
        "#!/bin/sh\nexit 0\n",
        # A filter of its output ends after it, and what it needed itself was told to end.
        "#!/bin/bash\nexec > >(sleep 0.3; cat)\necho done\n",
        "#!/bin/sh\nsleep 600 &\nkill $!\n",
    ],
)
def test_what_had_only_to_run_once_is_not_missed(bench: Bench, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What was told to end may be run late, and there until then.
    monkeypatch.setattr(application_life, "FIRST_LOOK_S", 0.5)
    monkeypatch.setattr(application_life, "SETTLE_S", 0.6)

    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)
        async with asyncio.timeout(_WAIT_S):
            while bench.lives:
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        assert bench.given == [] and hand.is_unwatched
        bench.next.append(bench.of({"start_prim": DAEMON}))
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)
        assert not hand.is_unwatched and bench.application is not None
        bench.application.send_kill()
        await bench.told(events.ApplicationGone)

    bench.play({"start_prim": script}, story)


READS_A_PIPE = "#!/bin/sh\necho port 6379 | setsid {} >/dev/null 2>&1 &\n"
"""As redis-server, which takes its configuration so."""


async def stays(bench: Bench, hand: ApplicationHand, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has stayed for long enough, and is watched from then on."""
    assert hand.is_unwatched, "it may be a filter that is about to end"
    monkeypatch.setattr(application_life, "STAYS_S", 0.2)
    async with asyncio.timeout(_WAIT_S):
        while hand.is_unwatched:
            await asyncio.sleep(0.005)
    assert bench.watched == [True] and bench.lives and bench.given == []
    bench.application.send_kill()
    await bench.told(events.ApplicationGone)


@pytest.mark.usefixtures("reaper")
def test_one_that_reads_what_its_start_has_written_is_watched_once_it_has_stayed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)
        assert bench.watched == []
        await stays(bench, hand, monkeypatch)

    bench.play({"start_prim": READS_A_PIPE.format("sleep 600")}, story)


@pytest.mark.usefixtures("reaper")
def test_one_that_reads_a_pipe_and_fails_before_has_ended(bench: Bench) -> None:
    works = bench.directory / "works"
    works.touch()

    async def story(hand: ApplicationHand) -> None:
        assert "with exit status 9" in await ends_after_it_worked(bench, hand, works)
        assert bench.watched == []

    work = f"sh -c 'while [ -e {works} ]; do sleep 0.05; done; exit 9'"
    bench.play({"start_prim": READS_A_PIPE.format(work)}, story)


def test_one_that_reads_a_pipe_is_watched_by_the_agent_that_finds_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application_life, "LOOK_S", 0.02)

    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)
        await hand.close()
        hand.adopt()
        await bench.told(events.ApplicationStarted)
        await stays(bench, hand, monkeypatch)

    bench.play({"start_prim": READS_A_PIPE.format("sleep 600")}, story)


@pytest.mark.usefixtures("reaper")
def test_no_zombie_stays_of_what_scripts_have_left(bench: Bench) -> None:
    failure_of(bench, left_running("sleep 0.1; exit 3"))
    bench.play({"start_prim": DAEMON}, _start_and_leave(bench))
    assert zombies() == []
    # What belongs to no module: nobody asks for it.
    subprocess.run(["sh", "-c", "setsid true & exit 0"], check=True)
    dead = LongDead()
    until = time.monotonic() + _WAIT_S
    while not zombies() and time.monotonic() < until:
        time.sleep(0.005)
    dead.look()
    dead.look()
    assert len(zombies()) == 1, "it may be somebody's who has not come to it yet"
    dead.look()
    assert zombies() == []


def _start_and_leave(bench: Bench) -> Callable[[ApplicationHand], Awaitable[None]]:
    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)

    return story


def zombies() -> list[str]:
    """Children of this process that have ended and were not waited for."""
    stats = [Path(f"/proc/{pid}/stat") for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return [text for text in (stat.read_text() for stat in stats if stat.exists()) if ") Z " in text]


# Turning another node off

FENCE = commands.Fence("r1", "b", 5)


def fenced(bench: Bench, scripts: dict[str, str]) -> str:
    """What is said to have gone wrong; empty: nothing."""
    said: list[str] = []

    async def story(hand: ApplicationHand) -> None:
        hand.fence(FENCE)
        async with asyncio.timeout(_WAIT_S):
            while not bench.given:
                await asyncio.sleep(0.005)
        [ended] = bench.given
        assert isinstance(ended, events.FenceEnded) and ended.request_id == "r1"
        said.append(ended.failure)
        bench.given.clear()
        assert not bench.lives

    bench.play(scripts, story)
    return said[0]


def test_a_node_is_off_when_the_script_says_so(bench: Bench) -> None:
    told = bench.directory / "told"
    script = f'#!/bin/sh\necho "$FENCE_NODE $NODE $MODULE $ACTION $EPOCH" >{told}\nsetsid sleep 600 >/dev/null 2>&1 &\n'
    assert fenced(bench, {"fence": script}) == ""
    assert told.read_text() == "b a db fence 5\n"
    assert "FENCE_NODE=b" in (bench.directory / "logs" / "fence.1.log").read_text()


def test_a_script_that_fails_is_told_with_its_last_words_and_its_log(bench: Bench) -> None:
    said = fenced(bench, {"fence": "#!/bin/sh\necho no answer from the board\nexit 7\n"})
    log = bench.directory / "logs" / "fence.1.log"
    assert said == f"The script fence ended with exit code 7 (log: {log}), and said last: no answer from the board."


def test_a_script_that_does_not_end_is_killed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "FENCE_MS", 300)
    assert "did not end in time" in fenced(bench, {"fence": SLOW})


def test_scripts_that_could_not_be_written_at_one_start_are_run_at_the_next(bench: Bench) -> None:
    in_the_way, said = bench.directory / "scripts.new", bench.directory / "said"

    async def story(hand: ApplicationHand) -> None:
        bench.next.append(bench.of({"start_prim": f"#!/bin/sh\necho new >{said}\n"}))
        in_the_way.touch()
        hand.start(CONTEXT)
        await bench.told(events.ApplicationFailed)
        in_the_way.unlink()
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)
        assert said.read_text() == "new\n"

    bench.play({"start_prim": f"#!/bin/sh\necho old >{said}\n"}, story)


def test_without_a_script_nobody_is_turned_off(bench: Bench) -> None:
    assert fenced(bench, {}) == "The module has no script fence."


def test_a_script_that_was_applied_since_the_start_is_run(bench: Bench) -> None:
    bench.next.append(bench.of({"fence": "#!/bin/sh\nexit 0\n"}))
    assert fenced(bench, {"fence": "#!/bin/sh\nexit 1\n"}) == ""


def test_a_stop_ends_it_and_it_answers_nothing(bench: Bench) -> None:
    async def story(hand: ApplicationHand) -> None:
        hand.fence(FENCE)
        async with asyncio.timeout(_WAIT_S):
            while not bench.lives:
                await asyncio.sleep(0.005)
        hand.finish(CONTEXT)
        await bench.told(events.Finished)

    bench.play({"fence": SLOW}, story)


STOPS = "#!/bin/sh\necho $ACTION $STATE $NEXT_STATE $FORCE >>{told}\n"


def test_what_a_former_agent_left_is_stopped_by_its_own_scripts(bench: Bench) -> None:
    told = bench.directory / "told"

    async def story(hand: ApplicationHand) -> None:
        await hand.stop_left(_WAIT_S)
        assert not told.exists(), "it has not been started"
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)
        await hand.stop_left(_WAIT_S)
        assert told.read_text().splitlines() == ["stop UP STOP", "stop UP STOP 1"], "what is left is stopped by force"

    bench.play({"start_prim": DAEMON, "stop_prim": STOPS.format(told=told)}, story)


def test_a_stop_of_what_was_left_ends_in_time(bench: Bench) -> None:
    async def story(hand: ApplicationHand) -> None:
        hand.start(CONTEXT)
        await bench.told(events.ApplicationStarted)
        await hand.stop_left(0.2)
        assert bench.lives
        await hand.kill()
        assert not bench.lives

    bench.play({"start_prim": DAEMON, "stop_prim": SLOW}, story)
