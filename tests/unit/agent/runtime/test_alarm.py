"""An alarm is never early, however the loop's own timers are, and never forgotten."""

import asyncio

from agent.runtime.alarm import Alarm

MS_NS = 1_000_000


def test_a_timer_that_goes_off_too_early_is_set_again() -> None:
    late_ns: list[int] = []

    async def scene() -> None:
        begun_s = asyncio.get_running_loop().time()
        early_ns = 5 * MS_NS  # This clock lags behind the loop's, as if each timer of the loop went off too early.

        def clock() -> int:
            return round((asyncio.get_running_loop().time() - begun_s) * 1e9) - early_ns

        done = asyncio.Event()

        def due() -> None:
            late_ns.append(clock() - instant_ns)
            done.set()

        alarm = Alarm(clock, due)
        instant_ns = clock() + 1 * MS_NS
        alarm.set(instant_ns)
        early_ns = 20 * MS_NS
        await asyncio.wait_for(done.wait(), 5)
        await asyncio.sleep(0.01)

    asyncio.run(scene())
    assert len(late_ns) == 1 and late_ns[0] >= 0


def test_a_past_instant_rings_at_once_and_a_cancelled_one_never() -> None:
    rung: list[str] = []

    async def scene() -> None:
        past, never = Alarm(lambda: 10, lambda: rung.append("past")), Alarm(lambda: 10, lambda: rung.append("never"))
        past.set(5)
        never.set(5)
        never.cancel()
        await asyncio.sleep(0.01)

    asyncio.run(scene())
    assert rung == ["past"]
