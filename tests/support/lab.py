"""A lab for integration tests: one for all tests of a module, taken down after the last of them.

Import the fixture into the module or its conftest: ``from tests.support.lab import lab``. The labs of one run of the
tests have a name of their own, so that they meet neither the lab that somebody plays with nor those of another run.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.lab.lab import Lab
from manager.lab.layout import NAME_VARIABLE

os.environ.setdefault(NAME_VARIABLE, f"tests-{os.getpid()}")

TTL_S = 900.0
"""A test run that is killed leaves a lab for so long at the most."""
_TAIL_LINES = 40


def make_lab(directory: Path, nodes: tuple[str, ...] = ("a", "b"), *, agents: bool = True, ttl_s: float = TTL_S) -> Lab:
    """A lab with its disks in ``directory``, which does not exist yet.

    Raises:
        LabError: this run has one already, or it cannot be made.
    """
    return Lab.up(nodes, str(directory), agents=agents, ttl_s=ttl_s)


def tell_logs(lab: Lab) -> None:
    """Print the ends of all logs: pytest shows them with a test that failed."""
    for log in sorted(Path(lab.layout.directory).glob("*/log/**/*.log")):
        lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        if lines and log.name != "etcd.log":
            print(f"--- {log}", *lines, sep="\n")


def module_name(request: pytest.FixtureRequest) -> str:
    """For the lab's directory."""
    return str(request.node.name).rpartition("/")[2].removesuffix(".py")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Nodes ``a`` and ``b`` with their agents, the witness and the client."""
    made = make_lab(tmp_path_factory.mktemp(module_name(request)) / "lab")
    try:
        yield made
    finally:
        tell_logs(made)
        made.down()


@pytest.fixture(scope="module")
def bare_lab(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The same without agents: machines, network and etcd."""
    made = make_lab(tmp_path_factory.mktemp(module_name(request)) / "lab", agents=False)
    try:
        yield made
    finally:
        made.down()
