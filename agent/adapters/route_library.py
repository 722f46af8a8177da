"""Of pyroute2 what the agent needs: the socket for interfaces and addresses, and its errors.

pyroute2's own ``__init__`` loads all that the library has, a quarter of what an agent's start takes of the processor's
time. So the package is put in place without it, and the two modules that are needed bring along what they use. Whoever
asks the package for anything else gets it: then all is loaded, as ever.
"""

import importlib
import sys
from importlib.util import find_spec, module_from_spec
from typing import Any

_NAME = "pyroute2"


def _put_in_place() -> None:
    spec = find_spec(_NAME)
    if _NAME in sys.modules or spec is None or spec.loader is None:
        return  # As it is: loaded by somebody else, or not there, which the import below says.
    loader, package = spec.loader, module_from_spec(spec)

    def missing(name: str) -> Any:
        """PEP 562: what the package has not got yet; a module of its own first, which does not need all the others."""
        if name.startswith("__"):
            raise AttributeError(f"module {_NAME!r} has no attribute {name!r}")
        try:
            return importlib.import_module(f"{_NAME}.{name}")
        except ModuleNotFoundError:
            vars(package).pop("__getattr__", None)
            loader.exec_module(package)
            return getattr(package, name)

    vars(package)["__getattr__"] = missing
    sys.modules[_NAME] = package


_put_in_place()

from pyroute2.iproute.linux import IPRoute  # noqa: E402
from pyroute2.netlink.exceptions import NetlinkError  # noqa: E402

__all__ = ["IPRoute", "NetlinkError"]
