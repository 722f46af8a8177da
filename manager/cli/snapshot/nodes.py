"""A snapshot of the whole cluster: each node's part, by its agent where that answers, and who does not is unknown.

This node's own part is collected by its agent too, which may read what this operator may not; where the agent does not
answer, by the command itself.
"""

import base64
import binascii
import contextlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Final

from manager.cli.seat import Seat
from manager.cli.snapshot.archive import Archive
from manager.cli.snapshot.from_agent import known_nodes
from manager.cli.snapshot.lacking import Lacking
from manager.cli.snapshot.merging import REST, merge
from manager.cli.snapshot.node import NODES, Wanted, collect
from manager.cli.snapshot.summary import Part
from manager.model.api import ApiError
from manager.model.api_snapshot import CALL_S, SnapshotArguments, SnapshotPiece, SnapshotResult

SLACK_S: Final = 10.0
"""Beyond what an agent waits for its own part."""
UNKNOWN: Final = "unknown.txt"


class Nodes:
    """Puts them into one archive."""

    def __init__(
        self, seat: Seat, archive: Archive, directory: str | None, wanted: Wanted, check: Callable[[], object]
    ) -> None:
        """``directory``: where what comes is kept for as long as it takes, in a file without a name."""
        self._seat = seat
        self._archive = archive
        self._directory = directory
        self._wanted = wanted
        self._check = check

    def take(self, only: str = "") -> list[Part]:
        """All nodes that are known of; ``only``: that one.

        Raises:
            OSError: the archive cannot be written.
        """
        try:
            own, names, why = known_nodes(self._seat.client)
        except ApiError as error:
            if only:
                return [self._unknown(only, error.message)]
            return self._by_itself(error.message, "it was not asked, since this node's agent does not answer")
        if only:
            return [self._of(only, etcd=self._wanted.etcd)]
        parts = [*self._own(own), *(self._of(name, etcd=False) for name in names if name != own)]
        if why:
            self._seat.tell(f"mirrorfarm: of other nodes {why}")
            parts[0] = replace(parts[0], lacking=(*parts[0].lacking, Lacking("other nodes", why)))
        return parts

    def _own(self, node: str) -> list[Part]:
        part = self._of(node, etcd=self._wanted.etcd)
        return self._by_itself(part.unknown, "") if part.unknown else [part]

    def _of(self, node: str, *, etcd: bool) -> Part:
        self._seat.tell(f"mirrorfarm: node {node} is asked; it may take up to {CALL_S:.0f} s.")
        with tempfile.TemporaryFile(dir=self._directory) as file:
            trouble = self._ask(node, etcd, file)
            if not file.tell():
                return self._unknown(node, trouble or "nothing came")
            file.seek(0)
            lacking = merge(file, node, self._archive)
        if trouble:
            lacking = [*(one for one in lacking if one.what != REST), Lacking(REST, trouble)]
        return Part(node, lacking=tuple(lacking))

    def _ask(self, node: str, etcd: bool, file: IO[bytes]) -> str:
        """Has ``file`` hold what comes; why it is not all, or empty. Raises OSError."""
        full = list[OSError]()

        def take(piece: SnapshotPiece) -> None:
            try:
                file.write(base64.b64decode(piece.data, validate=True))
                file.flush()
            except OSError as error:
                full.append(error)
                raise _FullError from None  # An OSError would pass for one of the agent's socket.

        arguments = SnapshotArguments(self._wanted.since_ms, etcd)
        try:
            result: SnapshotResult = self._seat.client.call(
                arguments, timeout_s=CALL_S + SLACK_S, on_progress=take, node=node
            )
        except ApiError as error:
            return error.message
        except binascii.Error as error:
            self._seat.client.close()
            return f"what came is not understood: {error}"
        except _FullError:
            self._seat.client.close()
            raise full[0] from None
        return result.error

    def _unknown(self, node: str, why: str) -> Part:
        self._seat.tell(f"mirrorfarm: node {node} is unknown in it: {why}")
        self._archive.put(f"{NODES}/{node}/{UNKNOWN}", f"{why}\n".encode())
        return Part(node, unknown=why)

    def _by_itself(self, why: str, others: str) -> list[Part]:
        """This node's part, without its agent's help; ``others``: why all others are unknown, empty: they are not."""
        self._seat.tell(f"mirrorfarm: {why} What is on this node is collected without it.")
        collected = collect(self._seat, self._archive, self._wanted, self._check)
        own = Part(collected.node, lacking=(Lacking("agent", why), *collected.lacking))
        return [own, *(self._unknown(name, others) for name in collected.others if others)]


class _FullError(Exception):
    """What comes cannot be kept."""


def be_modest() -> None:
    """What the machine does goes before this, and when memory is short this ends first."""
    os.nice(19)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
        if int(file.read()) < 0:
            file.seek(0)
            file.write("0")
