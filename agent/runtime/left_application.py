"""Stops the application that a former agent started and nobody is to go on with: by its own scripts first.

They are those of the configuration by which it was started. What they leave is killed by who asks for this.
"""

import os

import structlog

from agent.adapters.application import Application
from agent.adapters.scripts import Context
from manager.model.errors import MirrorfarmError
from manager.model.states import ModuleState
from manager.time_limit import time_limit

_STOP = "stop"


async def stop_left(application: Application, module: str, marker: str, longest_s: float) -> None:
    """Run its stop, if it was started or anything of it lives; ``longest_s``: by then it has ended, or is ended here.

    ``marker``: a file that is there once it was started. What goes wrong is told in the log.
    """
    log = structlog.get_logger().bind(module=module)
    context = Context(str(ModuleState.UP), str(ModuleState.STOP), _STOP, 0)
    try:
        if not os.path.exists(marker) and not application.populated():
            return
        async with time_limit(longest_s):
            await application.prepare()
            stopped = await application.stop(context)
    except TimeoutError:
        log.error("application.unstopped", of="former agent", error=f"it has not ended in {longest_s:.0f} s")
    except MirrorfarmError as failure:
        log.error("application.unstopped", of="former agent", error=str(failure))
    else:
        log.info("application.stopped", of="former agent", clean=stopped.clean)
