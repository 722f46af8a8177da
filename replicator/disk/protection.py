"""Takes away what would keep this copy from following: chattr +i and +a, which are each node's own.

The primary refuses to change what is protected there. So what comes of it has to be done here, whatever is set here.
"""

import stat
from typing import Final

from replicator.core.operations import Operation
from replicator.disk.inodes import InodeTable
from replicator.disk.limbo import unprotect_open

_CHANGED: Final = ("inode", "parent", "new_parent", "replaced")
"""Of an operation: what it changes, and the directories in which it changes names; 0: nothing."""


def unprotect_for(table: InodeTable, operation: Operation) -> bool:
    """Whether anything that ``operation`` changes was protected; it is no longer. Raises OSError."""
    numbers = {getattr(operation, name, 0) for name in _CHANGED} - {0}
    inodes = [inode for inode in map(table.get, numbers) if inode is not None]
    kept = [inode for inode in inodes if inode.type in (stat.S_IFREG, stat.S_IFDIR)]
    return any([unprotect_open(table.path_fd(inode)) for inode in kept])
