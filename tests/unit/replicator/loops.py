"""A real event loop whose clock a test moves, and a way to run it until something is so."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TURNS = 2000


class SteppedLoop(asyncio.SelectorEventLoop):
    """Its time runs as ever, plus what :meth:`advance` adds: what is due then happens without waiting."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = 0.0
        self.errors: list[BaseException | None] = []
        self.tasks = 0
        self.set_exception_handler(lambda _, context: self.errors.append(context.get("exception")))

    def time(self) -> float:
        return super().time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Moves the clock, and runs what is due."""
        self._ahead += seconds
        self.turn()

    def turn(self, times: int = 3) -> None:
        """Runs what is ready."""
        for _ in range(times):
            self.call_soon(self.stop)
            self.run_forever()

    def until(self, condition: Callable[[], object]) -> None:
        """Runs until ``condition`` holds, for a few seconds at the most."""
        for _ in range(_TURNS):
            if condition():
                return
            self.call_later(0.001, self.stop)
            self.run_forever()
        raise AssertionError("it does not happen")


@contextmanager
def stepped_loop() -> Iterator[SteppedLoop]:
    """One that is closed at the end, and in which nothing was raised."""
    loop = SteppedLoop()
    try:
        yield loop
        assert not loop.errors
    finally:
        loop.close()
