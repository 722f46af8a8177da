"""Where the lines of an agent's and of a replicator's log go, and from which level on; the same for both.

Nothing here waits for anybody who reads them: a log that cannot be written costs lines, and never a node.

structlog is loaded here, before anything of this package asks for it, and without rich: it would load that for the
tracebacks of its console, which none of ours is, and a quarter of a replicator's start would be spent on it. There is
no switch for it, but what cannot be imported is for structlog not installed, and a module that is None in
``sys.modules`` cannot (docs.python.org/3/reference/import.html#the-module-cache).
"""

import importlib
import sys

if not {"rich", "structlog"} & sys.modules.keys():
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]
