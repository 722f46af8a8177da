"""The files that a machine of the lab has beside those of the host's packages.

They are what an administrator writes on a real machine: the agent's and etcd's configuration, the init script, a
module to try. ``etc/`` of the project is read, and copied to where a package would put it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manager.lab.host import Host, Owner
from manager.lab.layout import CLUSTER, VIRTUAL_ADDRESS, Layout, Machine, Role

_ROOT = Owner(0, 0)
_COMMANDS = ("mirrorfarm", "mirrorfarm-agent", "mirrorfarm-replicator")
AGENT_INIT_SCRIPT = "/etc/init.d/mirrorfarm-agent"


@dataclass(frozen=True, slots=True)
class Made:
    """A directory, a file (with ``text``) or a symbolic link (with ``target``)."""

    path: str
    mode: int = 0o755
    owner: Owner = _ROOT
    text: str | None = None
    target: str | None = None

    def plain(self) -> dict[str, Any]:
        """As manager.lab.machine_init reads it."""
        plain: dict[str, Any] = {
            "path": self.path, "mode": self.mode, "uid": self.owner.uid, "gid": self.owner.gid,
        }  # fmt: skip
        if self.text is not None:
            plain["text"] = self.text
        if self.target is not None:
            plain["target"] = self.target
        return plain


def directory(path: str, owner: Owner | None = None, mode: int = 0o755) -> Made:
    """A directory."""
    return Made(path, mode, owner or _ROOT)


def text_file(path: str, text: str, mode: int = 0o644) -> Made:
    """A file of root's."""
    return Made(path, mode, text=text)


def first_boot_files(layout: Layout, machine: Machine, host: Host, lease_ttl_s: int) -> list[Made]:
    """What is written when the machine starts for the first time; after that it is the machine's own."""
    made = [
        text_file("/etc/hostname", machine.name + "\n"),
        text_file("/etc/hosts", hosts(layout)),
        *(Made(f"/usr/local/bin/{name}", target=os.path.join(host.prefix, "bin", name)) for name in _COMMANDS),
    ]
    if machine.has_etcd:
        made.append(text_file("/etc/default/etcd", etcd_environment(layout, machine, host.architecture)))
    if machine.role is Role.NODE:
        made.append(text_file("/etc/mirrorfarm/agent.toml", agent_toml(layout, machine, lease_ttl_s)))
        made.append(text_file("/etc/mirrorfarm/modules/db/module.toml", module_toml(layout)))
        # What is killed here is to be dead.
        made.append(text_file("/etc/default/mirrorfarm", "MIRRORFARM_KEEP=no\n"))
        made += _of_the_package(Path(host.etc))
    return made


def hosts(layout: Layout) -> str:
    """``/etc/hosts``: the machines by their names."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    for machine in layout.machines:
        lines += [f"{machine.ipv4} {machine.name}", f"{machine.ipv6} {machine.name}"]
    return "\n".join(lines) + "\n"


def etcd_environment(layout: Layout, machine: Machine, architecture: str) -> str:
    """``/etc/default/etcd``, which Debian's init script reads."""
    cluster = ",".join(f"{m.name}=http://{m.ipv4}:2380" for m in layout.etcd_members)
    settings = {
        "ETCD_NAME": machine.name,
        "ETCD_DATA_DIR": "/var/lib/etcd/default",
        "ETCD_LISTEN_PEER_URLS": f"http://{machine.ipv4}:2380",
        "ETCD_INITIAL_ADVERTISE_PEER_URLS": f"http://{machine.ipv4}:2380",
        "ETCD_LISTEN_CLIENT_URLS": f"http://{machine.ipv4}:2379,http://127.0.0.1:2379",
        "ETCD_ADVERTISE_CLIENT_URLS": f"http://{machine.ipv4}:2379",
        "ETCD_INITIAL_CLUSTER": cluster,
        "ETCD_INITIAL_CLUSTER_STATE": "new",
        "ETCD_INITIAL_CLUSTER_TOKEN": "mirrorfarm-lab",
        # An election takes one to two of these, and a primary's lease has to outlive it: of the lab's 4 s too little is
        # left for etcd's own 1000 ms.
        "ETCD_ELECTION_TIMEOUT": "600",
        "ETCD_LOGGER": "zap",
        "ETCD_LOG_OUTPUTS": "/var/log/etcd/etcd.log",
    }
    if architecture == "aarch64":
        settings["ETCD_UNSUPPORTED_ARCH"] = "arm64"  # Without it etcd 3.4 does not start there.
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def agent_toml(layout: Layout, machine: Machine, lease_ttl_s: int) -> str:
    """``/etc/mirrorfarm/agent.toml``."""
    endpoints = ", ".join(f'"{e}"' for e in layout.endpoints(first=machine))
    return f"""\
# As the lab wrote it. /etc/mirrorfarm/agent.toml.example has every key with its default.
cluster = "{CLUSTER}"
node = "{machine.name}"

[etcd]
endpoints = [{endpoints}]

[lease]
ttl = "{lease_ttl_s} s"

[network]
addresses = ["{machine.ipv4}", "{machine.ipv6}"]

# Nobody else is on this network.
[tls]
mode = "off"
"""


def module_toml(layout: Layout) -> str:
    """The least mirror module, on the first two nodes: it works as it stands."""
    nodes = ", ".join(f'"{m.name}"' for m in layout.nodes[:2])
    return f"""\
name = "db"
kind = "mirror"
nodes = [{nodes}]
directories = ["/srv/db"]

[[address]]
ip = "{VIRTUAL_ADDRESS}/24"
"""


def _of_the_package(etc: Path) -> list[Made]:
    """What a package would install from ``etc/``."""
    made = []
    for path in sorted(p for p in etc.rglob("*") if p.is_file()):
        inside = path.relative_to(etc)
        mode = 0o755 if os.access(path, os.X_OK) else 0o644
        text = path.read_text(encoding="utf-8")
        if inside.parts[0] == "modules":
            made.append(text_file(f"/etc/mirrorfarm/{inside}", text, mode))
        elif inside.parts[0] == "init.d":
            made.append(text_file(f"/etc/{inside}", text, 0o755))
        elif inside == Path("agent.toml"):
            made.append(text_file("/etc/mirrorfarm/agent.toml.example", text))
        elif inside == Path("logrotate"):
            made.append(text_file("/etc/logrotate.d/mirrorfarm", text))
    return made
