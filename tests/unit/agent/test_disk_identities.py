"""The agent finds what the replicator has written."""

import os
from pathlib import Path

from agent.adapters.disk_identities import common_identity
from manager.model.records import DiskIdentity
from replicator.disk.identity import NotedIdentity, write_identity


def test_what_the_replicator_writes_is_what_the_agent_reads(tmp_path: Path) -> None:
    identity = NotedIdentity("cluster", "module", 7, 900, "1a2b", node="a")
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        write_identity(root, identity)
    finally:
        os.close(root)
    assert common_identity([str(tmp_path)]) == DiskIdentity("cluster", "module", 7, 900, "1a2b")
