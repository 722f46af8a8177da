"""When a watch lists anew, on a virtual clock, with members that follow as ordered."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, cast

from etcd3 import etcdrpc

from manager.store.api import Changes, Snapshot
from manager.store.rounds import Answer, Rounds
from manager.store.watch import EtcdWatch, WatchTiming
from tests.support.virtual_loop import run_virtually

LIFE_S = 120.0
FIRST = 5
"""The revision at which it begins."""


class Stream:
    """Confirms, and then tells of one change in each ``every_s``; 0: of none."""

    def __init__(self, every_s: float, revision: Callable[[], int]) -> None:
        self.every_s, self.revision = every_s, revision
        self.confirmed = False

    async def next(self) -> Any:
        if not self.confirmed:
            self.confirmed = True
            return etcdrpc.WatchResponse(created=True)
        await asyncio.sleep(self.every_s or LIFE_S)
        response = etcdrpc.WatchResponse()
        event = response.events.add()
        event.kv.key, event.kv.mod_revision = b"/k", self.revision()
        return response

    async def close(self) -> None:
        return


class Member:
    """Stands where an :class:`~manager.store.endpoint.Endpoint` does."""

    def __init__(self, name: str, every_s: float) -> None:
        self.name, self.every_s = name, every_s
        self.revision = FIRST

    def suspect(self) -> None:
        return

    def open_watch(self, request: Any, lifetime_s: float) -> Stream:
        return Stream(self.every_s, self._next)

    def _next(self) -> int:
        self.revision += 1
        return self.revision


def followed(silence_s: float, *members: Member) -> list[tuple[float, str]]:
    """When what came, in two minutes: of each list by whom it was answered, one member after the other."""
    answering, came = list(members), list[tuple[float, str]]()

    async def list_prefix(prefix: str) -> Answer[Snapshot]:
        member = answering.pop(0) if len(answering) > 1 else answering[0]
        came.append((round(asyncio.get_running_loop().time(), 1), member.name))
        return Answer(cast(Any, member), Snapshot(member.revision, {}))

    async def story() -> None:
        watch = EtcdWatch(Rounds(cast(Any, members)), list_prefix, "/", WatchTiming(1.0, silence_s=silence_s))
        end = asyncio.get_running_loop().create_task(asyncio.sleep(LIFE_S))
        taking = asyncio.get_running_loop().create_task(take(watch))
        await end
        taking.cancel()
        await asyncio.wait([taking])
        await watch.close()

    async def take(watch: EtcdWatch) -> None:
        async for item in watch:
            if isinstance(item, Changes):
                came.append((round(asyncio.get_running_loop().time(), 1), "change"))

    run_virtually(story())
    return came


def test_a_member_that_tells_nothing_is_not_relied_upon() -> None:
    """As one whose disk hangs: its streams stay open, and calls may go to others that work."""
    came = followed(4.0, Member("hangs", 0.0), Member("works", 2.0))
    assert came[:4] == [(0.0, "hangs"), (4.0, "works"), (6.0, "change"), (8.0, "change")]


def test_one_that_tells_something_in_time_is_followed_for_a_minute() -> None:
    came = followed(4.0, Member("works", 2.0))
    listed = [at_s for at_s, what in came if what == "works"]
    assert len(listed) in (2, 3) and all(54.0 <= b - a <= 60.0 for a, b in itertools.pairwise(listed))
