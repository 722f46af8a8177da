"""What several tests here need: a control group of a test's own, a short path, a cable between two namespaces, and the
orphans of what they start."""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.adapters.cgroups import Cgroup, own_directory
from agent.adapters.orphans import adopt_orphans
from tests.integration.agent.cable import Net

_GONE_S = 10.0


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose name leaves room for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="mf-", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture
def cgroup_base() -> Iterator[str]:
    """Below this process's own group; ended and removed whatever becomes of the test."""
    base = os.path.join(own_directory(), f"mirrorfarm-test-{os.getpid()}-{time.monotonic_ns()}")
    os.mkdir(base)
    yield base
    asyncio.run(Cgroup(base).kill(_GONE_S))
    for directory, _, _ in os.walk(base, topdown=False):
        os.rmdir(directory)


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture
def adopted() -> Iterator[None]:
    """What a script leaves behind comes to this process, as to an agent."""
    assert adopt_orphans()
    try:
        yield
    finally:
        adopt_orphans(on=False)
