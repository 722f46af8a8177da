"""What the disks below a module's directories say that they belong to, read while no replicator serves there (S8).

The replicator writes it (``replicator.disk.identity``); the agent reads it only where etcd has been rebuilt and an
operator wants the module to be the same as before.
"""

import os
from collections.abc import Sequence

from manager.model.codec import DecodeError, decode
from manager.model.errors import MirrorfarmError
from manager.model.records import DiskIdentity

PRIVATE_DIRECTORY = ".mirrorfarm"
FILE = "identity.json"
_MOST_BYTES = 4096


class IdentityUnclear(MirrorfarmError):
    """There is none, or they differ; the message names the directory."""


def common_identity(directories: Sequence[str]) -> DiskIdentity:
    """The cluster and module that all ``directories`` belong to, with what the first one has seen. Blocks.

    Raises:
        IdentityUnclear: one of them says nothing, or something else than another one.
    """
    found = [(path, _read(path)) for path in directories]
    first = found[0][1]
    for path, identity in found:
        if (identity.cluster_id, identity.module_id) != (first.cluster_id, first.module_id):
            raise IdentityUnclear(f"{path} belongs to another module, or another cluster, than {found[0][0]}.")
    return first


def _read(path: str) -> DiskIdentity:
    file = os.path.join(path, PRIVATE_DIRECTORY, FILE)
    try:
        with open(file, "rb") as opened:
            return decode(DiskIdentity, opened.read(_MOST_BYTES))
    except FileNotFoundError:
        raise IdentityUnclear(f"{path} has not been a module's directory on this node: there is no {file}.") from None
    except (OSError, DecodeError) as error:
        raise IdentityUnclear(f"{file} cannot be read: {error}.") from None
