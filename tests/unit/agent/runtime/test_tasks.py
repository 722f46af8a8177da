"""Tasks of one owner: cancelled together, and never failing in silence."""

import asyncio

from agent.runtime.tasks import Tasks


def test_what_a_task_raises_is_told_with_its_name() -> None:
    told: list[tuple[str, BaseException]] = []

    async def story() -> None:
        async def broken() -> None:
            raise ValueError("no")

        tasks = Tasks(lambda what, error: told.append((what, error)))
        tasks.start("one", broken())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not tasks.running("one")

    asyncio.run(story())
    assert [(what, str(error)) for what, error in told] == [("one", "no")]


def test_cancelling_waits_for_the_end_and_leaves_others_alone() -> None:
    ended: list[str] = []

    async def story() -> None:
        async def work(name: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(name)

        tasks = Tasks(lambda what, error: ended.append(f"fatal {what}"))
        for name in ("one", "two"):
            tasks.start(name, work(name))
        await asyncio.sleep(0)
        await tasks.cancel("one", "never started")
        assert ended == ["one"] and tasks.running("two")
        await tasks.cancel()
        assert ended == ["one", "two"]

    asyncio.run(story())


def test_a_task_may_cancel_the_others_of_its_owner_and_not_itself() -> None:
    ended: list[str] = []

    async def story() -> None:
        tasks = Tasks(lambda what, error: ended.append(f"fatal {what}"))

        async def last() -> None:
            await tasks.cancel()
            ended.append("last")

        tasks.start("waiting", asyncio.sleep(600))
        await asyncio.sleep(0)
        await tasks.start("last", last())
        assert not tasks.running("waiting")

    asyncio.run(story())
    assert ended == ["last"]
