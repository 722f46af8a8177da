"""A node's agent, asked on its own socket from outside: as the command line does it there, without a start of that.

Whoever waits for something asks again and again, and each start of the command line takes a core for a quarter of a
second.
"""

from typing import Any

from manager.cli.client import AgentClient
from manager.lab.errors import LabError
from manager.lab.machine import RunningMachine
from manager.model.api import SOCKET_NAME, ApiError
from manager.model.config import PathsConfig

_SOCKET = f"{PathsConfig().run}/{SOCKET_NAME}"
SECONDS = 30.0


def ask_agent(node: RunningMachine, arguments: Any, seconds: float = SECONDS) -> Any:
    """The result of a call of :mod:`manager.model.api_calls`, whose ``arguments`` these are.

    Raises:
        LabError: the machine is down, or its agent does not answer, or refuses.
    """
    client = AgentClient(socket_of(node))
    try:
        return client.call(arguments, timeout_s=seconds)
    except ApiError as error:
        raise LabError(f"the agent of {node.name}: {error.message}") from None
    finally:
        client.close()


def socket_of(node: RunningMachine) -> str:
    """The agent's socket, as the host sees it; another one after each start of the machine.

    Raises:
        LabError: the machine is down.
    """
    return f"/proc/{node.pid}/root{_SOCKET}"
