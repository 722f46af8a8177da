"""A cable between two network namespaces of the real kernel, and what an agent has of it at one of its ends."""

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from agent.adapters.address_links import AddressLinks
from agent.adapters.addresses import VirtualAddresses
from agent.adapters.held_addresses import HeldAddresses
from agent.adapters.host import now_ns
from agent.adapters.link_settings import LinkSettings
from agent.adapters.links import LinkWatch
from agent.adapters.marks import Marks
from agent.adapters.netlink import Netlink
from manager.model.config import AddressConfig
from manager.model.errors import MirrorfarmError
from tests.support.inside import inside

SECOND_NS = 1_000_000_000
FOUR, SIX = AddressConfig("10.99.0.100", 24), AddressConfig("fd99::100", 64)


def sh(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=10)


class Net:
    """Two namespaces with a cable between them: ``here`` and ``there``."""

    def __init__(self) -> None:
        self.here, self.there = f"mf-test-{os.getpid()}-h", f"mf-test-{os.getpid()}-t"

    def up(self) -> None:
        for name in (self.here, self.there):
            sh("ip", "netns", "add", name)
            sh("ip", "-n", name, "link", "set", "lo", "up")
        self.lay()

    def lay(self) -> None:
        """The cable, with an address of its own at each end."""
        sh("ip", "-n", self.here, "link", "add", "mfh", "type", "veth", "peer", "name", "mft", "netns", self.there)
        for name, link, end in ((self.here, "mfh", "1"), (self.there, "mft", "2")):
            sh("ip", "-n", name, "link", "set", link, "up")
            sh("ip", "-n", name, "addr", "add", f"10.99.0.{end}/24", "dev", link)
            sh("ip", "-n", name, "addr", "add", f"fd99::{end}/64", "dev", link, "nodad")

    def down(self) -> None:
        for name in (self.here, self.there):
            with contextlib.suppress(subprocess.CalledProcessError):
                sh("ip", "netns", "del", name)

    def addresses(self, link: str = "mfh") -> list[str]:
        """Those of this end, as the kernel shows them."""
        shown = subprocess.run(
            ("ip", "-n", self.here, "-o", "addr", "show", "dev", link), capture_output=True, text=True, check=True
        )
        return [line.split()[3] for line in shown.stdout.splitlines()]

    @contextlib.contextmanager
    def client(self, address: str) -> Iterator["Client"]:
        """One there that is connected to a server here, at ``address``; for a story."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.create_server((address, 0), family=family) as server:
            port = server.getsockname()[1]
            argv = ("ip", "netns", "exec", self.there, "python3", "-c", _CLIENT, address, str(port))
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                server.settimeout(5)
                served, _ = server.accept()
                with served:
                    served.settimeout(5)
                    yield Client(process, served)
            finally:
                process.kill()
                process.communicate()

    def play(self, story: Callable[["Agent"], Coroutine[Any, Any, None]], marks: Path, where: str = "") -> None:
        """``story`` in a thread that is in a namespace (``here``), as are the threads that it starts."""

        async def played() -> None:
            agent = Agent(marks)
            try:
                await story(agent)
            finally:
                await agent.close()

        inside(where or self.here, lambda: asyncio.run(played()))


class Agent:
    """What an agent has of the kernel."""

    def __init__(self, marks: Path) -> None:
        self.netlink = Netlink()
        self.links = LinkWatch()
        self.links.start()
        self.marks = Marks(str(marks))
        self.settings = LinkSettings(f"{marks}.links")
        self.trouble: list[MirrorfarmError] = []
        self._held: list[VirtualAddresses] = []

    def of(self, *wanted: AddressConfig) -> VirtualAddresses:
        made = VirtualAddresses(wanted, self.netlink, self.links, self.marks, self.trouble.append)
        self._held.append(made)
        return made

    def held(self, *wanted: AddressConfig) -> HeldAddresses:
        return HeldAddresses(wanted, self.netlink, self.settings, self.marks)

    def links_of(self, *wanted: AddressConfig) -> AddressLinks:
        return AddressLinks(wanted, self.netlink, self.links, self.marks)

    def killed(self) -> None:
        """What it added stays."""
        self._held.clear()

    async def close(self) -> None:
        for held in self._held:
            await held.drop()
        self.links.close()
        await self.netlink.close()


class Client:
    """A connection from there."""

    def __init__(self, process: "subprocess.Popen[str]", served: socket.socket) -> None:
        self._process = process
        self._served = served

    async def served(self, word: str) -> str:
        """What comes back of a word that the client sends; or how the connection ended."""
        return await asyncio.to_thread(self._exchange, word)

    def _exchange(self, word: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        with contextlib.suppress(ConnectionError):
            self._served.sendall(self._served.recv(100))
        return self._process.stdout.readline().strip()


_CLIENT = """
import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
try:
    for line in sys.stdin:
        connection.sendall(line.strip().encode())
        print(connection.recv(100).decode(), flush=True)
except OSError as error:
    print("reset" if isinstance(error, (ConnectionResetError, BrokenPipeError)) else error, flush=True)
"""


def in_seconds(seconds: float) -> int:
    return now_ns() + round(seconds * SECOND_NS)
