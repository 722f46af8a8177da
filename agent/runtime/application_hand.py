"""Carries out what one module's core wants of its application.

One script at a time: a stop ends a start, a kill ends all.
"""

import contextlib
import os
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from agent.adapters.application import Application, Outcome, Run
from agent.adapters.cgroups import ProcessesLeft
from agent.adapters.scripts import Context
from agent.core import events
from agent.core.commands import Fence, RunContext
from agent.runtime.application_life import ApplicationLife, Settled
from agent.runtime.left_application import stop_left
from agent.runtime.tasks import OnFatal, Tasks
from manager.model.errors import MirrorfarmError
from manager.model.states import ModuleState

KILL_ROUNDS = 3
_ACTION = "action"
_STARTED, _LIVES = "started", "lives"
"""In the marker: it was started; and it must have processes."""

Work = Callable[[], Coroutine[Any, Any, None]]


class ApplicationHand:
    """One module's application."""

    def __init__(
        self,
        module: str,
        application: Application,
        marker: str,
        changed: Callable[[], Application | None],
        give: Callable[[events.ApplicationEvent | events.FenceEnded], None],
        on_watched: Callable[[], None],
        on_fatal: OnFatal,
    ) -> None:
        """``marker``: a file that is there once the application was started, for an agent that adopts it, and says
        whether it must have processes;
        ``changed``: gives another one when the module's configuration has changed since; asked at each start;
        ``on_watched`` is called when :attr:`is_unwatched` does not hold any more of one that has been started.
        """
        self._module = module
        self._application = application
        self._marker = marker
        self._changed = changed
        self._taken_up: Application | None = None
        """One that has changed, and is not prepared yet."""
        self._number = 0
        self._current = ""
        self._give = give
        self._on_watched = on_watched
        self._tasks = Tasks(on_fatal)
        self._log = structlog.get_logger().bind(module=module)

    @property
    def is_unwatched(self) -> bool:
        """Whether its start has succeeded and left no process: nobody knows whether it works."""
        return self._application.has_start and self._marked() == _STARTED

    def prepare(self, context: RunContext) -> None:
        """Write the scripts, make the cgroup, run prestart."""
        self._begin(lambda: self._prepare(_context(context)))

    def start(self, context: RunContext) -> None:
        """Start it."""
        self._begin(lambda: self._start(_context(context)))

    def adopt(self) -> None:
        """Say whether it runs already."""
        mark = self._marked()
        if mark is None:
            self._give(events.ApplicationFailed("its start had not ended when the former agent did"))
        elif mark != _STARTED and not self._application.populated():
            self._give(events.ApplicationFailed("it is not running any more"))
        else:
            life = ApplicationLife(self._application)
            self._give(events.ApplicationStarted())
            if mark == _LIVES or self._application.runs_by_itself():
                self._mark(_LIVES)
                self._begin(lambda: self._watch(life))
            elif self._application.populated():
                self._begin(lambda: self._watch_if_it_stays(life))

    def stop(self, context: RunContext) -> None:
        """Stop it, after a start under way was ended."""
        self._begin(lambda: self._stop(_context(context)))

    def fence(self, command: Fence) -> None:
        """Have the script ``fence`` turn another node off; answered by FenceEnded."""
        self._begin(lambda: self._fence(command))

    def finish(self, context: RunContext) -> None:
        """Run poststop and remove what is left."""
        self._begin(lambda: self._finish(_context(context)))

    async def kill(self) -> None:
        """SIGKILL to all of it, and wait until nothing is left; what was under way answers nothing."""
        await self.abandon()
        for _ in range(KILL_ROUNDS):
            try:
                await self._application.kill()
            except MirrorfarmError as failure:
                # It hangs in the kernel, most likely in a file that nobody serves any more.
                self._log.error("application.left", error=str(failure))
            else:
                return

    async def abandon(self) -> None:
        """SIGKILL to all of it, which may be there for a moment yet; what was under way answers nothing."""
        self._application.send_kill()
        await self._tasks.cancel()
        self._application.send_kill()  # What had been about to start.
        self._unmark()

    async def stop_left(self, longest_s: float) -> None:
        """Stop what a former agent started, by its scripts, in ``longest_s`` at the most; to be followed by a kill."""
        await self._tasks.cancel()
        await stop_left(self._application, self._module, self._marker, longest_s)

    async def close(self) -> None:
        """Abandon what is under way, without touching what runs."""
        await self._tasks.cancel()

    def _begin(self, work: Work) -> None:
        """Run ``work`` in place of what is under way, which answers nothing any more."""
        former = self._current
        self._number += 1
        name = f"{_ACTION} {self._number}"
        self._current = name
        self._tasks.start(name, self._after(former, work))

    async def _after(self, former: str, work: Work) -> None:
        if former:
            await self._tasks.cancel(former)
        await work()

    async def _prepare(self, context: Context) -> None:
        try:
            await self._application.prepare()
            run = await self._application.prestart(context)
        except MirrorfarmError as failure:
            self._give(events.PrepareFailed(str(failure)))
            return
        self._told(run)
        self._give(events.Prepared() if run.succeeded else events.PrepareFailed(_words(run)))

    async def _start(self, context: Context) -> None:
        self._unmark()
        try:
            await self._take_up_changes()
            self._application.ended()  # What is left to be waited for of a former start.
            run = await self._application.start(context)
        except MirrorfarmError as failure:
            self._give(events.ApplicationFailed(str(failure)))
            return
        self._told(run)
        if not run.succeeded:
            self._give(events.ApplicationFailed(_words(run)))
            return
        life = ApplicationLife(self._application, run)
        settled = await life.settle()
        if settled is Settled.ENDED:
            self._log.error("application.gone", error=life.last_words)
            self._give(events.ApplicationFailed(life.last_words))
            return
        self._mark(_LIVES if settled is Settled.LIVES else _STARTED)
        self._give(events.ApplicationStarted())
        if settled is Settled.LIVES:
            await self._watch(life)
        else:
            await self._watch_if_it_stays(life)

    async def _take_up_changes(self) -> None:
        """Scripts, services and limits are those that the cluster has now."""
        self._taken_up = self._changed() or self._taken_up
        if self._taken_up is not None:
            await self._taken_up.prepare()
            self._application, self._taken_up = self._taken_up, None
            self._log.info("application.changed")

    async def _fence(self, command: Fence) -> None:
        context = Context(str(ModuleState.WAIT), str(ModuleState.ALONE), "fence", command.epoch)
        try:
            await self._take_up_changes()
            run = await self._application.fence(context, command.node)
        except MirrorfarmError as failure:
            self._give(events.FenceEnded(command.request_id, f"The script fence could not be run: {failure}."))
            return
        self._told(run)
        self._give(events.FenceEnded(command.request_id, _fencing_failure(run)))

    async def _watch(self, life: ApplicationLife) -> None:
        """Say so when nothing of the application is left any more; a stop or kill ends this first."""
        await life.until_gone()
        self._gone(life)

    async def _watch_if_it_stays(self, life: ApplicationLife) -> None:
        """Of a start that had only to run once, as far as is known."""
        settled = await life.stay()
        if settled is Settled.LIVES:
            self._mark(_LIVES)
            self._on_watched()
            await self._watch(life)
        elif settled is Settled.ENDED:
            self._gone(life)

    def _gone(self, life: ApplicationLife) -> None:
        self._log.error("application.gone", error=life.last_words)
        self._give(events.ApplicationGone(life.last_words))

    def _mark(self, word: str) -> None:
        """Where it cannot be written, the application runs all the same: the next agent may know too little."""
        try:
            os.makedirs(os.path.dirname(self._marker), mode=0o700, exist_ok=True)
            with open(self._marker, "w", encoding="ascii") as file:
                file.write(word)
        except OSError as error:
            meaning = "an agent that takes it over may start it again"
            self._log.error("application.unnoted", path=self._marker, error=str(error), meaning=meaning)

    def _marked(self) -> str | None:
        """``None``: it was not started, or its start did not end. Where there was no room for the word it is empty."""
        try:
            with open(self._marker, encoding="ascii") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _unmark(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._marker)

    async def _stop(self, context: Context) -> None:
        self._unmark()
        try:
            stopped = await self._application.stop(context)
        except ProcessesLeft as left:
            # Until a kill of everything frees them: that nothing is left must not be said before it is true.
            self._log.error("application.left", error=str(left))
            await self._until_gone()
        except MirrorfarmError as failure:
            self._log.error("application.unstopped", error=str(failure))
            await self._until_gone()
        else:
            for run in stopped.runs:
                self._told(run)
            self._log.info("application.stopped", clean=stopped.clean, killed=[p.command for p in stopped.killed])
        self._give(events.ApplicationStopped())

    async def _until_gone(self) -> None:
        while True:
            try:
                await self._application.kill()
            except ProcessesLeft:
                continue
            return

    async def _finish(self, context: Context) -> None:
        try:
            self._told(await self._application.poststop(context))
            self._application.remove()
        except MirrorfarmError as failure:
            self._log.error("application.unfinished", error=str(failure))
        self._give(events.Finished())

    def _told(self, run: Run) -> None:
        tell = self._log.info if run.succeeded else self._log.warning
        tell(
            "script.ended", script=run.script, outcome=run.outcome, exit_code=run.exit_code, duration_ms=run.duration_ms
        )


def _fencing_failure(run: Run) -> str:
    """Why the other node does not count as off; empty: the script says that it is."""
    if run.outcome is Outcome.DONE:
        return ""
    if run.outcome is Outcome.ABSENT:
        return "The module has no script fence."
    how = "did not end in time" if run.outcome is Outcome.TIMED_OUT else f"ended with exit code {run.exit_code}"
    log = f" (log: {run.log})" if run.log else ""
    said = f", and said last: {run.detail}" if run.detail else ""
    return f"The script fence {how}{log}{said}."


def _context(context: RunContext) -> Context:
    return Context(context.state, context.next_state, context.action, context.epoch)


def _words(run: Run) -> str:
    how = f"{run.script} {run.outcome}" + (f" with exit code {run.exit_code}" if run.exit_code is not None else "")
    return f"{how}: {run.detail}" if run.detail else how
