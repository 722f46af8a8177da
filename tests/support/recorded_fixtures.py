"""A recorded cluster for all tests of a module, and what each of them finds and leaves.

For a conftest. A module whose tests all work so says ``pytestmark = pytest.mark.usefixtures("worked")``.
"""

from collections.abc import Iterator

import pytest

from manager.lab.lab import Lab
from tests.support.recorded_cluster import RecordedCluster

__all__ = ["cluster", "worked"]


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> RecordedCluster:
    """With its module applied and two copies; one for all tests of the module."""
    made = RecordedCluster(lab)
    made.open()
    return made


@pytest.fixture
def worked(cluster: RecordedCluster) -> Iterator[None]:
    """Each test finds two copies and clients that are served, and leaves nothing lost."""
    cluster.start()
    cluster.start_clients(2)
    cluster.wait_for_answers()
    yield
    cluster.heal()
    cluster.wait_for_answers()
    cluster.end_clients()
    cluster.stop()
    wrong = cluster.violations()
    cluster.forget()
    assert wrong == []
