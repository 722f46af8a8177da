"""Whether a farm's address is on a bridge whose frames go through the machine's IP filters before they are delivered.

The kernel's br_netfilter, which Docker and Kubernetes load, has what comes in at a bridge's port pass the hooks of IP
first (ip-sysctl.rst, bridge-nf-call-iptables). There a node drops segments of connections that are other nodes': the
director would send them on where the bridge hands them to this machine, which is later, and gets none.
"""

import fcntl
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from manager.cli.checks.finding import Finding, error
from manager.cli.checks.kernel_settings import value
from manager.model.config import AddressConfig

_SETTINGS: Final = {4: "net.bridge.bridge-nf-call-iptables", 6: "net.bridge.bridge-nf-call-ip6tables"}
_ADDRESS, _MASK = 0x8915, 0x891B
"""SIOCGIFADDR and SIOCGIFNETMASK, linux/sockios.h."""
_REQUEST: Final = struct.Struct("16s24x")
"""struct ifreq, netdevice(7): the name; the answer's IPv4 address is at 20."""


def farm_on_bridge(module: str, address: AddressConfig, root: Path) -> Iterator[Finding]:
    """Of one address of a farm; nothing where that is not on a bridge of this machine."""
    setting = _SETTINGS[ip_address(address.ip).version]
    if not value(root, setting, "0"):  # Or nothing has loaded br_netfilter.
        return
    bridges = {path.parent.name for path in (root / "sys/class/net").glob("*/bridge")}
    link = next((b for b in sorted(bridges) if b == address.interface or _has(b, address)), "")
    if link:
        yield error(
            f"{module}: {address.ip}",
            f"It is on the bridge {link}, and {setting} is 1: what clients send to connections of other nodes is "
            "dropped here before it can be sent on to them. While this node directs, only its own share is served.",
            f"sysctl -w {setting}=0, here and in /etc/sysctl.d; where Docker or Kubernetes need it, have the address "
            "on a link that is no bridge (interface in module.toml).",
        )


def _has(bridge: str, address: AddressConfig) -> bool:
    """Whether the address, of no interface that is named, is of the bridge's own subnet; told of IPv4 alone."""
    if address.interface or ip_address(address.ip).version != 4:
        return False
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            own, mask = (_asked(asking, what, bridge) for what in (_ADDRESS, _MASK))
    except OSError:
        return False  # It has none.
    return ip_address(address.ip) in ip_network(f"{own}/{mask}", strict=False)


def _asked(asking: socket.socket, what: int, link: str) -> str:
    return socket.inet_ntoa(fcntl.ioctl(asking, what, _REQUEST.pack(link.encode()))[20:24])
