"""Whether somebody works in a directory that is about to be mounted over.

What such a process writes goes below the mount: it comes to no other node, and on a secondary it damages the copy. An
application that the machine's own init has started looks like one that runs as it should, and its data would be on this
node alone. So nothing is mounted until it has gone. Its own application is not meant: it works on what is mounted.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from manager.open_files import names, workers

_ROOT: Final = Path("/")


def why_occupied(directories: Sequence[str]) -> str:
    """Who works where, in words; empty: nobody. Blocks. Raises OSError."""
    for directory in directories:
        found = [one for one in workers(_ROOT, os.path.realpath(directory)) if one.pid != os.getpid()]
        if found:
            return (
                f"{directory} is in use by what the module has not started: {names(found)}; what that writes would get "
                "to no other node: stop it, and leave its start to the module"
            )
    return ""
