"""Where the lines of an agent's and of a replicator's log go, and from which level on; the same for both.

Nothing here waits for anybody who reads them: a log that cannot be written costs lines, and never a node.

structlog is loaded here, before anything of this package asks for it, and without rich, on which a quarter of a
replicator's start would be spent: structlog draws tracebacks on a console with it, and ours are text before they come
to one (``pipeline.py``). There is no switch for it, but structlog takes what cannot be imported for not installed, and
a module that is None in ``sys.modules`` cannot be (docs.python.org/3/reference/import.html#the-module-cache).
"""

import importlib
import sys

if not {"rich", "structlog"} & sys.modules.keys():
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]
