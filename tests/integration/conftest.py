"""In which order the files are handed to the processes of ``pytest -n 3 --dist loadfile --no-loadscope-reorder``.

Those that take longest come first: else the last of them begins when all others have ended. The tests of one file stay
in one process, since they share a lab, an etcd or two disks, and follow one another in it.
"""

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_LONGEST = (
    "lab/test_forced_start.py",
    "lab/test_who_stands.py",
    "lab/test_without_etcd.py",
    "lab/test_cluster.py",
    "lab/test_farm.py",
    "lab/test_farm_faults.py",
    "lab/test_farm_operating.py",
    "lab/test_depends.py",
    "agent/test_two_agents.py",
    "lab/test_agent_away.py",
    "pair/test_resyncs_in_a_row.py",
    "pair/test_resync.py",
    "lab/test_frozen_node.py",
    "pair/test_set_aside.py",
    "pair/test_same_as_local.py",
    "replicator/test_pair.py",
    "filesystem/test_same_as_local.py",
    "install/test_installation.py",
    "lab/test_tutorial.py",
    "lab/test_operator.py",
    "lab/test_verify_schedule.py",
    "lab/test_demo.py",
    "pair/test_history.py",
    "lab/test_machines.py",
    "pair/test_postgres.py",
    "lab/test_leaves_nothing.py",
    "replicator/test_join.py",
    "replicator/test_failing_disk.py",
    "replicator/test_repair.py",
    "pair/test_resync_cost.py",
    "lab/test_modules.py",
    "store/test_etcd_faults.py",
    "lab/test_faults.py",
)
"""Below this directory, from two minutes to a quarter of one; the others are quicker."""


def _place(item: pytest.Item) -> int:
    if not item.path.is_relative_to(_HERE):
        return len(_LONGEST)
    name = item.path.relative_to(_HERE).as_posix()
    return _LONGEST.index(name) if name in _LONGEST else len(_LONGEST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)
