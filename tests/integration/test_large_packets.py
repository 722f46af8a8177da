"""Packets that something between two nodes does not take are noticed; a node that takes less itself is not meant."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

_NAMES = tuple(f"mfl{os.getpid()}{name}" for name in ("a", "s", "b"))
_SERVER = """\
import socket, sys, time
listener = socket.create_server((sys.argv[1], 9), family=int(sys.argv[2]))
print("up", flush=True)
time.sleep(60)
"""
_PROGRAM = """\
import sys
from manager.cli.checks.large_packets import large_packets, largest
print(*[found.level for found in large_packets("b", sys.argv[1], 9)], *largest(sys.argv[1], 9))
"""


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True)


@pytest.fixture(scope="module")
def switch() -> Iterator[str]:
    """A switch with the two nodes on it; its namespace."""
    here, middle, there = _NAMES
    for name in _NAMES:
        ip("netns", "add", name)
    try:
        ip("-n", middle, "link", "add", "switch", "type", "bridge")
        ip("-n", middle, "link", "set", "switch", "up")
        for number, name in ((1, here), (2, there)):
            ip("-n", middle, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("-n", middle, "link", "set", f"port{number}", "master", "switch", "up")
            for address in (f"10.99.1.{number}/24", f"fd99:1::{number}/64"):
                ip("-n", name, "addr", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
            ip("-n", name, "link", "set", "eth0", "up")
        yield middle
    finally:
        for name in _NAMES:
            ip("netns", "del", name)


@pytest.mark.parametrize("address", ["10.99.1.2", "fd99:1::2"])
@pytest.mark.parametrize(
    ("mtus", "said"),
    [
        ((1500, 1500, 1500), "ok 1500 True"),
        ((9000, 1500, 9000), "warning 9000 False"),
        ((9000, 9000, 1500), "ok 1500 True"),
    ],
)
def test_what_is_lost_between_is_noticed(switch: str, mtus: tuple[int, int, int], said: str, address: str) -> None:
    here, _, there = _NAMES
    for port in ("port1", "port2"):
        ip("-n", switch, "link", "set", port, "mtu", str(mtus[1]))
    for name, mtu in ((here, mtus[0]), (there, mtus[2])):
        ip("-n", name, "link", "set", "eth0", "mtu", str(mtu))
    family = 10 if ":" in address else 2
    argv = ("ip", "netns", "exec", there, sys.executable, "-c", _SERVER, address, str(family))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None and server.stdout.readline() == "up\n"
            asking = ("ip", "netns", "exec", here, sys.executable, "-c", _PROGRAM, address)
            told = subprocess.run(asking, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
        finally:
            server.kill()
    assert told == said
