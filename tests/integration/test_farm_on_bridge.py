"""A bridge that has the farm's address, and whose frames pass the filters of IP, is named: on a real one."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

_NAME = f"mfbr{os.getpid()}"
_PROGRAM = """\
import sys
from pathlib import Path
from manager.cli.checks.bridges import farm_on_bridge
from manager.model.config import AddressConfig
address = AddressConfig(sys.argv[1], 24, interface=sys.argv[2])
print(*[found.says for found in farm_on_bridge("web", address, Path("/"))])
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[str]:
    """A network namespace with a bridge, and a link that is none."""
    script = """\
        ip link add br0 type bridge; ip addr add 10.99.2.1/24 dev br0; ip link set br0 up
        ip link add eth0 type veth peer name port; ip addr add 10.99.3.1/24 dev eth0; ip link set eth0 up"""
    subprocess.run(("ip", "netns", "add", _NAME), check=True)
    try:
        subprocess.run(("ip", "netns", "exec", _NAME, "sh", "-ec", script), check=True)
        yield _NAME
    finally:
        subprocess.run(("ip", "netns", "del", _NAME), check=True)


@pytest.mark.parametrize(
    ("address", "interface", "setting", "named"),
    [
        ("10.99.2.100", "", 1, True),
        ("10.99.2.100", "", 0, False),
        ("10.99.3.100", "", 1, False),
        ("10.99.3.100", "br0", 1, True),
        ("10.99.2.100", "eth0", 1, False),
    ],
)
def test_an_address_on_a_bridge(machine: str, address: str, interface: str, setting: int, named: bool) -> None:
    script = f'echo {setting} >/proc/sys/net/bridge/bridge-nf-call-iptables; exec "$@"'
    argv = ("ip", "netns", "exec", machine, "sh", "-ec", script, "sh", sys.executable, "-c", _PROGRAM)
    said = subprocess.run((*argv, address, interface), capture_output=True, text=True, timeout=30, check=True).stdout
    assert ("It is on the bridge br0" in said) is named
