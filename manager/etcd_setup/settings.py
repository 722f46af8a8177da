"""What stands in the files of a member of etcd, and of its administrator, and where a member has them. Pure.

A member is configured by variables of its environment, which Debian's package reads from ``/etc/default/etcd`` with
both inits. etcd's own configuration file would not do: it has no key for a list of what is revoked (3.4 to 3.6), and
etcd looks at no variable once it has such a file.
"""

import shlex
from typing import Final

from manager.etcd_setup.plan import EtcdMember, EtcdPlan
from manager.model.errors import ConfigError
from manager.model.node_identity import (
    AUTHORITY_CERTIFICATE,
    ETCD_REVOKED,
    NODE_CERTIFICATE,
    NODE_KEY,
    etcd_member_name,
)

ON_MEMBER: Final = "/etc/etcd"
"""Where a member has its certificate."""
DEBIAN_FILE: Final = "/etc/default/etcd"
ENVIRONMENT: Final = "default"
"""The file that becomes :data:`DEBIAN_FILE`."""
MEMBER_CERTIFICATE: Final = "etcd.crt"
MEMBER_KEY: Final = "etcd.key"
MEMBER_FILES: Final = (ENVIRONMENT, AUTHORITY_CERTIFICATE, MEMBER_CERTIFICATE, MEMBER_KEY, ETCD_REVOKED)

ROOT_CERTIFICATE: Final = "root.crt"
ROOT_KEY: Final = "root.key"
ROOT_ENVIRONMENT: Final = "etcdctl.env"
"""For ``etcdctl``, as its administrator; and it says which etcd that is."""

ELECTION_TIMEOUT_MS: Final = 600
"""docs/operations.md, "etcd's election timeout": with it a leader that dies costs a take-over little."""
HEARTBEAT_MS: Final = 100
"""etcd's own; an election timeout has to be five of these at the least."""
KEPT_REVISIONS: Final = "1h"
"""Each renewal of a lease is a revision, for ever, unless they are compacted; a watch lists anew every minute."""

_HEADER: Final = """\
# etcd's member {member} of cluster {cluster}, as "mirrorfarm etcd init" wrote it: {file}.
# The same for systemd and for the init script. On arm64, etcd 3.4 wants ETCD_UNSUPPORTED_ARCH=arm64 as well.
# Once the data directory is there, etcd looks at none of the lines with INITIAL any more.
"""
_ROOT_HEADER: Final = """\
# etcd of cluster {cluster}, as its administrator:  set -a; . {directory}/{file}; set +a; etcdctl endpoint health
"""


def member_environment(plan: EtcdPlan, member: EtcdMember, on_member: str = ON_MEMBER) -> dict[str, str]:
    """The settings of one member, whose certificate is in ``on_member``."""
    peer = f"https://{member.host}:{plan.peer_port}"
    client = f"https://{member.host}:{plan.client_port}"
    files = {
        "CERT_FILE": f"{on_member}/{MEMBER_CERTIFICATE}",
        "KEY_FILE": f"{on_member}/{MEMBER_KEY}",
        "TRUSTED_CA_FILE": f"{on_member}/{AUTHORITY_CERTIFICATE}",
        "CLIENT_CERT_AUTH": "true",
    }
    revoked = f"{on_member}/{ETCD_REVOKED}"
    return {
        "ETCD_NAME": member.name,
        "ETCD_DATA_DIR": plan.data_directory,
        "ETCD_LISTEN_PEER_URLS": peer,
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer,
        "ETCD_LISTEN_CLIENT_URLS": client,
        "ETCD_ADVERTISE_CLIENT_URLS": client,
        "ETCD_INITIAL_CLUSTER": ",".join(f"{m.name}=https://{m.host}:{plan.peer_port}" for m in plan.members),
        "ETCD_INITIAL_CLUSTER_STATE": "new",
        "ETCD_INITIAL_CLUSTER_TOKEN": plan.token,
        "ETCD_HEARTBEAT_INTERVAL": str(HEARTBEAT_MS),
        "ETCD_ELECTION_TIMEOUT": str(ELECTION_TIMEOUT_MS),
        "ETCD_AUTO_COMPACTION_RETENTION": KEPT_REVISIONS,
        **{f"ETCD_{name}": value for name, value in files.items()},
        "ETCD_CLIENT_CRL_FILE": revoked,
        **{f"ETCD_PEER_{name}": value for name, value in files.items()},
        "ETCD_PEER_CRL_FILE": revoked,
        # The authority has signed for nodes, too: none of them is a member because of that.
        "ETCD_PEER_CERT_ALLOWED_CN": etcd_member_name(plan.cluster),
    }


def member_file(plan: EtcdPlan, member: EtcdMember, on_member: str = ON_MEMBER) -> str:
    """:data:`ENVIRONMENT`."""
    header = _HEADER.format(member=member.name, cluster=plan.cluster, file=DEBIAN_FILE)
    return header + _lines(member_environment(plan, member, on_member))


def root_file(plan: EtcdPlan, directory: str) -> str:
    """:data:`ROOT_ENVIRONMENT`, which is in ``directory``."""
    header = _ROOT_HEADER.format(cluster=plan.cluster, directory=directory, file=ROOT_ENVIRONMENT)
    variables = {
        "ETCDCTL_API": "3",
        "ETCDCTL_ENDPOINTS": ",".join(f"https://{endpoint}" for endpoint in plan.endpoints),
        "ETCDCTL_CACERT": f"{directory}/{AUTHORITY_CERTIFICATE}",
        "ETCDCTL_CERT": f"{directory}/{ROOT_CERTIFICATE}",
        "ETCDCTL_KEY": f"{directory}/{ROOT_KEY}",
        "MIRRORFARM_CLUSTER": plan.cluster,
    }
    return header + "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())


def read_root_file(text: str) -> tuple[str, tuple[str, ...]]:
    """The cluster and the endpoints that :func:`root_file` names. Raises ConfigError."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    urls = [url.removeprefix("https://") for url in variables.get("ETCDCTL_ENDPOINTS", "").split(",") if url]
    cluster = variables.get("MIRRORFARM_CLUSTER", "")
    if not urls or not cluster:
        raise ConfigError("it lacks ETCDCTL_ENDPOINTS or MIRRORFARM_CLUSTER")
    return cluster, tuple(urls)


def agent_section(plan: EtcdPlan, tls_directory: str) -> str:
    """``[etcd]`` of each node's ``agent.toml``: the node's own certificate says to etcd who it is."""
    endpoints = ", ".join(f'"{endpoint}"' for endpoint in plan.endpoints)
    return (
        "[etcd]\n"
        f"endpoints = [{endpoints}]\n"
        f'ca_file = "{tls_directory}/{AUTHORITY_CERTIFICATE}"\n'
        f'cert_file = "{tls_directory}/{NODE_CERTIFICATE}"\n'
        f'key_file = "{tls_directory}/{NODE_KEY}"\n'
    )


def _lines(variables: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def ssh_target(address: str) -> str:
    """Who and where, for ssh."""
    return f"root@{address}"


def scp_target(address: str) -> str:
    """The same for scp, which takes the first ":" for the end of it."""
    return f"root@[{address}]" if ":" in address else f"root@{address}"
