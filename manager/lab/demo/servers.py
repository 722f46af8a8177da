"""The web servers as the demonstration has them: the template ``etc/modules/nginx``, as it is on every node."""

import json
import os
import re
import time
from typing import Any

from manager.lab.demo import visitor
from manager.lab.errors import LabError
from manager.lab.machine import RunningMachine
from manager.model.farm import SLOTS

MODULE = "web"
FOLDER = "/etc/mirrorfarm/modules/nginx"
ADDRESS = "10.77.0.110"
DATABASE_PORT = 6432
"""At the address: the template's; the database, wherever it is."""
_FILES = ("/usr/sbin/nginx", "/usr/lib/nginx/modules/ngx_stream_module.so")
_LOOK_S = 0.1


def check_programs() -> None:
    """Nginx is there.

    Raises:
        LabError: it is not.
    """
    if not all(os.path.exists(file) for file in _FILES):
        raise LabError(
            "missing: nginx with its stream module. In a checkout, scripts/setup installs what the demonstration needs."
        )


def page(client: RunningMachine) -> tuple[str, dict[str, str]]:
    """The page, as the client gets it: the node that it names, and what else it says.

    Raises:
        LabError: there is no answer.
    """
    html = client.run(["python", "-m", visitor.__name__, ADDRESS, "page"])
    node = re.search(r"<h1>(.*?)</h1>", html)
    facts = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", html)
    return node[1] if node else "", dict(facts)


def shares(asked: RunningMachine) -> dict[str, int]:
    """How many slots each node has, for what clients begin; empty: it is not known."""
    return {str(node): int(slots) for node, slots in (_table(asked)["shares"] or {}).items()}


def wait_for_halves(asked: RunningMachine, nodes: tuple[str, str], seconds: float) -> dict[str, int]:
    """Until each of ``nodes`` has half of all slots; returns the shares as they are then, or when the time is over."""
    end = time.monotonic() + seconds
    while (found := shares(asked)) != dict.fromkeys(nodes, SLOTS // 2) and time.monotonic() < end:
        time.sleep(_LOOK_S)
    return found


def director(asked: RunningMachine) -> str:
    """The node that receives for the address; empty: nobody."""
    return str(_table(asked)["director"] or "")


def _table(asked: RunningMachine) -> dict[str, Any]:
    told = json.loads(asked.run(["mirrorfarm", "farm", "show", MODULE, "--json"]))
    table: dict[str, Any] = told["tables"][0]
    return table
