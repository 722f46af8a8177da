"""What the agent of a node says, as the command line prints it with ``--json``: for tests that wait for something.

The command line itself is what people use, and is tried where what it says and how it ends is looked at. It takes
seconds when a test asks until something holds, and a core that the cluster under test needs.
"""

import json
from typing import Any

from manager.lab.agents import ask_agent
from manager.lab.machine import RunningMachine
from manager.model.api import StateArguments
from manager.model.api_farm import FarmShowArguments
from manager.model.codec import to_plain


def state_of(node: RunningMachine, module: str) -> dict[str, Any]:
    """``mirrorfarm state MODULE --json``, of the one module.

    Raises:
        LabError: the agent does not answer, or does not know the module.
    """
    (found,) = _plain(node, StateArguments(module))["modules"]
    view: dict[str, Any] = found
    return view


def tables_of(node: RunningMachine, module: str) -> list[dict[str, Any]]:
    """``mirrorfarm farm show MODULE --json``, the tables of all its addresses.

    Raises:
        LabError: the agent does not answer, or does not know the farm.
    """
    found: list[dict[str, Any]] = _plain(node, FarmShowArguments(module))["tables"]
    return found


def _plain(node: RunningMachine, arguments: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(to_plain(ask_agent(node, arguments))))
    return plain
