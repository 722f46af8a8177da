"""Tasks of one owner, which end with it; what none of them should raise is told, and never swallowed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

OnFatal = Callable[[str, BaseException], None]
"""Told the name of what failed and the error: the agent ends, since it does not know any more what is."""


class Tasks:
    """Starts, names and cancels tasks."""

    def __init__(self, on_fatal: OnFatal) -> None:
        self._on_fatal = on_fatal
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work``; the former task of that name must have ended or been cancelled."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(self._done)
        return task

    def running(self, name: str) -> bool:
        """Whether the task of that name is under way."""
        task = self._tasks.get(name)
        return task is not None and not task.done()

    async def cancel(self, *names: str) -> None:
        """Cancel these tasks, or without names all, and wait until they have ended."""
        chosen = [t for n, t in self._tasks.items() if not names or n in names]
        chosen = [t for t in chosen if t is not asyncio.current_task()]
        for task in chosen:
            task.cancel()
        if chosen:
            await asyncio.wait(chosen)

    def _done(self, task: asyncio.Task[None]) -> None:
        if self._tasks.get(task.get_name()) is task:
            del self._tasks[task.get_name()]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fatal(task.get_name(), error)
