"""Which capabilities a replicator needs, and what for: it gives up all others before it opens a directory or a socket.

It stays root: its files belong to whomever the application has given them, and it mounts. What is in this list for a
rare case is there because without it a copy would differ, or an operation fail on one of the nodes alone.
"""

from typing import Final

from manager.capabilities import Capability
from manager.model.replicator_spec import ReplicatorSpec

_ALWAYS: Final = frozenset(
    {
        Capability.CHOWN,  # to give files the owners that the application's have
        Capability.DAC_OVERRIDE,  # to change files of all owners, whatever their modes
        Capability.FOWNER,  # modes, times, ACLs and O_NOATIME of others' files
        Capability.FSETID,  # set-user and set-group bits stay where the primary's are
        Capability.IPC_LOCK,  # its memory is locked, where that is limited, too
        Capability.LINUX_IMMUTABLE,  # to take chattr +i off a copy that has to follow
        Capability.MAC_ADMIN,  # labels of SELinux and Smack, those too that this machine's policy does not know
        Capability.MAC_OVERRIDE,
        Capability.MKNOD,  # device nodes among the files
        Capability.SETFCAP,  # programs' own capabilities (security.capability) among the files
        Capability.SYS_ADMIN,  # to mount, to abort a mount; attributes of trusted.* and security.*
        Capability.SYS_PTRACE,  # to see who works in a directory that is to be mounted over
        Capability.SYS_RESOURCE,  # blocks reserved for root, quotas, the limit of open files, the OOM killer
    }
)


def needed(spec: ReplicatorSpec) -> frozenset[Capability]:
    """What a replicator of that module needs all its life."""
    wanted = set(_ALWAYS)
    if spec.addresses:
        wanted.add(Capability.NET_ADMIN)  # the warden takes them off the node
    if spec.listen_port:
        wanted.add(Capability.NET_BIND_SERVICE)  # it may be one below 1024
    return frozenset(wanted)
