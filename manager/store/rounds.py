"""Which endpoint is asked, for how long, and when another is tried: within one budget a call.

It knows nothing of keys or messages. Two ways to ask:

- *ask*, for what may be done twice (reads, renewals): when an endpoint has not answered after its share of the
  time, the next one is asked as well, and the first answer counts. So neither a frozen endpoint nor a slow
  cluster uses up the budget for nothing.
- *tell*, for what must be sent once (S6): an endpoint that has just answered a read through the majority is found
  first; then the request goes to that one alone. The read costs a round trip, and spares the caller an unknown
  outcome whenever endpoint or majority are gone already.

An endpoint that failed is not where the next call begins.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

from manager.model.errors import IndefiniteFailure
from manager.store.api import StoreUnreachable
from manager.store.endpoint import Endpoint

_PAUSE_S = 0.05
"""Between two rounds over endpoints that all fail at once."""

T = TypeVar("T")
Attempt = Callable[[Endpoint, float], Awaitable[T]]
"""Ask one endpoint, until a deadline on the event loop's clock. Errors as of :meth:`Endpoint.call`."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What was answered, and by whom."""

    endpoint: Endpoint
    value: T


class Rounds:
    """The endpoints in the order in which calls try them."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """At least one; calls begin at the first until it fails."""
        self._order = list(endpoints)
        self._closed = False

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All, the one at which the next call begins first."""
        return tuple(self._order)

    @property
    def closed(self) -> bool:
        """No call succeeds any more."""
        return self._closed

    def close(self) -> None:
        """End all calls, soon, and the connections."""
        self._closed = True
        for endpoint in self._order:
            endpoint.close()

    def prefer(self, endpoint: Endpoint) -> None:
        """It answered: begin there."""
        self._order.remove(endpoint)
        self._order.insert(0, endpoint)

    def avoid(self, endpoint: Endpoint) -> None:
        """It failed: ask it last."""
        self._order.remove(endpoint)
        self._order.append(endpoint)

    async def ask(self, attempt: Attempt[T], budget_s: float) -> Answer[T]:
        """The first answer of any endpoint within ``budget_s``.

        Raises:
            StoreUnreachable: none took the request; no attempt was executed.
            IndefiniteFailure: none answered; an attempt may have been executed.
            StoreRefused, LeaseExpired: what one answered.
        """
        return await _Asking(self, attempt, budget_s).answer()

    async def tell(self, probe: Attempt[object], attempt: Attempt[T], budget_s: float) -> T:
        """Send ``attempt`` once, to an endpoint that has just answered ``probe``.

        It is sent again only if the first sending certainly was not executed.

        Raises:
            StoreUnreachable: none took the request; it was not executed.
            IndefiniteFailure: it may have been executed.
            StoreRefused, LeaseExpired: what the endpoint answered.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + budget_s
        while True:
            remaining_s = deadline - loop.time()
            try:
                # At least half of what is left is kept for the request itself.
                endpoint = await self._answering(probe, remaining_s / 2)
                return await self._told(endpoint, attempt, deadline)
            except StoreUnreachable:
                if remaining_s < budget_s / 4 or self._closed:
                    raise
                # A majority that elects its leader meanwhile answers anew, not what hangs since before.
                await asyncio.sleep(_PAUSE_S)

    def failed(self, endpoint: Endpoint) -> None:
        """It did not answer in time: avoid it, for watches too."""
        self.avoid(endpoint)
        endpoint.suspect()

    async def _told(self, endpoint: Endpoint, attempt: Attempt[T], deadline: float) -> T:
        try:
            return await attempt(endpoint, deadline)
        except (StoreUnreachable, IndefiniteFailure):
            self.failed(endpoint)
            raise

    async def _answering(self, probe: Attempt[object], budget_s: float) -> Endpoint:
        try:
            return (await self.ask(probe, budget_s)).endpoint
        except IndefiniteFailure as error:
            # What may have been executed is the probe, which changes nothing.
            raise StoreUnreachable(str(error)) from error


class _Asking(Generic[T]):
    """One :meth:`Rounds.ask` on its way."""

    def __init__(self, rounds: Rounds, attempt: Attempt[T], budget_s: float) -> None:
        self._rounds = rounds
        self._attempt = attempt
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + budget_s
        # With n endpoints the last one asked still has two shares.
        self._share_s = budget_s / (len(rounds.endpoints) + 1)
        self._left = list(rounds.endpoints)
        self._running: dict[asyncio.Task[T], Endpoint] = {}
        self._started: dict[asyncio.Task[T], float] = {}
        self._failures: dict[str, str] = {}
        self._unknown = False

    async def answer(self) -> Answer[T]:
        try:
            while not self._rounds.closed and await self._start_next():
                answer = await self._first_answer()
                if answer is not None:
                    self._rounds.prefer(answer.endpoint)
                    return answer
            self._fail()
        finally:
            await self._stop()

    async def _start_next(self) -> bool:
        """Ask one more, if there is one; false when it is too late for anything."""
        if not self._left and not self._running:
            await asyncio.sleep(min(_PAUSE_S, self._remaining_s()))
            self._left = list(self._rounds.endpoints)
            if self._remaining_s() < _PAUSE_S:
                # What the last round found says more than one that ends before it can be answered.
                return False
        if self._left:
            endpoint = self._left.pop(0)
            task = self._loop.create_task(_try(self._attempt, endpoint, self._deadline))
            self._running[task] = endpoint
            self._started[task] = self._loop.time()
        return self._remaining_s() > 0

    def _remaining_s(self) -> float:
        return max(0.0, self._deadline - self._loop.time())

    async def _first_answer(self) -> Answer[T] | None:
        remaining_s = self._remaining_s()
        patience_s = min(self._share_s, remaining_s) if self._left else remaining_s
        done, _ = await asyncio.wait(self._running, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        answers = [self._settle(task) for task in done]
        return next((answer for answer in answers if answer is not None), None)

    def _settle(self, task: asyncio.Task[T]) -> Answer[T] | None:
        endpoint = self._running.pop(task)
        try:
            return Answer(endpoint, task.result())
        except StoreUnreachable as error:
            self._failures[endpoint.name] = str(error)
        except IndefiniteFailure as error:
            self._failures[endpoint.name] = str(error)
            self._unknown = True
        self._rounds.failed(endpoint)
        return None

    async def _stop(self) -> None:
        """Give up what was not answered. Those that had their share of the time are not asked first again."""
        now = self._loop.time()
        for task, endpoint in self._running.items():
            task.cancel()
            if now - self._started[task] >= self._share_s:
                self._rounds.failed(endpoint)
        # Their outcomes are as lost as if they had come too late.
        await asyncio.gather(*self._running, return_exceptions=True)

    def _fail(self) -> NoReturn:
        for endpoint in self._running.values():
            self._failures[endpoint.name] = f"{endpoint.name}: no answer in time"
            self._unknown = True
        text = "; ".join(self._failures.values()) or "no time was left to ask"
        raise IndefiniteFailure(text) if self._unknown else StoreUnreachable(text)


async def _try(attempt: Attempt[T], endpoint: Endpoint, deadline: float) -> T:
    # Called in the task itself: one that is cancelled before it begins leaves nothing behind that nobody awaits.
    return await attempt(endpoint, deadline)
