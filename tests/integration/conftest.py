"""In which order the files are handed to the processes of ``pytest -n 4 --dist loadfile --no-loadscope-reorder``.

Those that take longest come first: else the last of them begins when all others have ended. The tests of one file stay
in one process, since they share a lab, an etcd or two disks, and follow one another in it.
"""

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_LONGEST = (
    "lab/test_forced_start.py",
    "pair/test_set_aside.py",
    "install/test_installation.py",
    "lab/test_without_etcd.py",
    "pair/test_resync.py",
    "lab/test_farm_faults.py",
    "lab/test_who_stands.py",
    "lab/test_cluster.py",
    "lab/test_tutorial.py",
    "lab/test_operator.py",
    "replicator/test_tls.py",
    "lab/test_tls.py",
    "lab/test_agents_channel.py",
    "replicator/test_failing_disk.py",
    "agent/test_two_agents.py",
    "lab/test_demo.py",
    "lab/test_farm_operating.py",
    "lab/test_agent_away.py",
    "agent/test_giving_up.py",
    "lab/test_modules.py",
    "lab/test_farm.py",
    "replicator/test_verify.py",
    "lab/test_verify_schedule.py",
    "pair/test_same_as_local.py",
    "lab/test_machines.py",
    "replicator/test_pair.py",
    "replicator/test_join.py",
    "lab/test_leaves_nothing.py",
    "replicator/test_repair.py",
    "pair/test_postgres.py",
    "filesystem/test_same_as_local.py",
    "pair/test_data_path.py",
    "store/test_etcd_faults.py",
    "pair/test_protected_copies.py",
    "lab/test_frozen_node.py",
    "pair/test_history.py",
    "agent/test_nft_fragments.py",
    "replicator/test_occupied.py",
    "lab/test_depends.py",
    "replicator/test_roles.py",
)
"""Below this directory, from two minutes and a half to a quarter of one; the others are quicker."""


def _place(item: pytest.Item) -> int:
    if not item.path.is_relative_to(_HERE):
        return len(_LONGEST)
    name = item.path.relative_to(_HERE).as_posix()
    return _LONGEST.index(name) if name in _LONGEST else len(_LONGEST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_place)
