"""A lab for integration tests: one for all tests of a module, taken down after the last of them.

Import the fixture into the module or its conftest: ``from tests.support.lab import lab``. The labs of one run of the
tests have a name of their own, so that they meet neither the lab that somebody plays with nor those of another run.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.lab.lab import Lab
from manager.lab.layout import DEFAULT_LEASE_TTL_S, NAME_VARIABLE

os.environ.setdefault(NAME_VARIABLE, f"tests-{os.getpid()}")
# Tests that run in several processes (pytest-xdist) have a lab each.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ[NAME_VARIABLE] += f"-{os.environ['PYTEST_XDIST_WORKER']}"

MEMORY = Path("/dev/shm")
"""For the disks: an fsync of the lab's etcd must not wait for whatever else this machine writes, or leases end."""
_ENOUGH_BYTES = 4 << 30
TTL_S = 2 * 3600.0 if os.environ.get("MIRRORFARM_SOAK") == "1" else 900.0
"""A test run that is killed leaves a lab for so long at the most. In a soak a module's tests take up to an hour."""
_TAIL_LINES = 40


def make_lab(
    directory: Path, nodes: tuple[str, ...] = ("a", "b"), *, agents: bool = True, ttl_s: float = TTL_S,
    lease_ttl_s: int = DEFAULT_LEASE_TTL_S,
) -> Lab:  # fmt: skip
    """A lab with its disks in ``directory``, which does not exist yet.

    Raises:
        LabError: this run has one already, or it cannot be made.
    """
    return Lab.up(nodes, str(directory), agents=agents, ttl_s=ttl_s, lease_ttl_s=lease_ttl_s)


class LogKeeper:
    """Says the ends of a lab's logs after tests that failed, since they go with the lab."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._session = request.session
        self._failed = request.session.testsfailed
        self._reporter = request.config.pluginmanager.get_plugin("terminalreporter")

    def tell(self, lab: Lab) -> None:
        """To the terminal, when a test has failed since."""
        if self._session.testsfailed == self._failed or self._reporter is None:
            return
        for log in sorted(Path(lab.layout.directory).glob("*/log/mirrorfarm/**/*.log")):
            self._reporter.write_line(f"--- {log}")
            for line in log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]:
                self._reporter.write_line(line)


def lab_directory(otherwise: Path) -> Path:
    """A directory for a lab, which does not exist yet: in memory, where there is enough of it."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= _ENOUGH_BYTES:
        return MEMORY / f"mirrorfarm-lab-{os.environ[NAME_VARIABLE]}"
    return otherwise / "lab"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Nodes ``a`` and ``b`` with their agents, the witness and the client."""
    logs = LogKeeper(request)
    made = make_lab(lab_directory(tmp_path_factory.mktemp("lab")))
    try:
        yield made
    finally:
        logs.tell(made)
        made.down()


@pytest.fixture(scope="module")
def bare_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The same without agents: machines, network and etcd."""
    made = make_lab(lab_directory(tmp_path_factory.mktemp("lab")), agents=False)
    try:
        yield made
    finally:
        made.down()
