"""In which order files are handed to the processes of ``pytest -n 4 --dist loadfile --no-loadscope-reorder``.

Those that take longest come first: else the last of them begins when all others have ended, and a process is alone with
it. The tests of one file stay in one process, since they share a lab, an etcd or two disks, and follow one another in
it.
"""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
LONGEST = (
    "integration/pair/test_set_aside.py",
    "integration/lab/test_forced_start.py",
    "integration/agent/test_two_agents.py",
    "integration/pair/test_resync.py",
    "integration/lab/test_farm_faults.py",
    "integration/install/test_installation.py",
    "robustness/test_history.py",
    "integration/replicator/test_failing_disk.py",
    "integration/lab/test_who_stands.py",
    "integration/lab/test_without_etcd.py",
    "integration/lab/test_tutorial.py",
    "integration/lab/test_tls.py",
    "integration/lab/test_agent_away.py",
    "integration/lab/test_cluster.py",
    "integration/lab/test_farm_operating.py",
    "robustness/test_schedules.py",
    "integration/replicator/test_tls.py",
    "integration/lab/test_operator.py",
    "robustness/test_bank.py",
    "integration/lab/test_demo.py",
    "integration/lab/test_modules.py",
    "integration/lab/test_agents_channel.py",
    "integration/replicator/test_verify.py",
    "robustness/test_farm.py",
    "integration/lab/test_farm.py",
    "integration/lab/test_machines.py",
    "integration/replicator/test_pair.py",
    "integration/pair/test_same_as_local.py",
    "integration/filesystem/test_same_as_local.py",
    "integration/replicator/test_join.py",
    "integration/lab/test_leaves_nothing.py",
    "integration/pair/test_applications.py",
    "integration/lab/test_verify_schedule.py",
    "integration/pair/test_resyncs_in_a_row.py",
    "integration/lab/test_depends.py",
    "integration/agent/test_nft_fragments.py",
    "integration/pair/test_history.py",
    "integration/replicator/test_repair.py",
    "integration/replicator/test_roles.py",
    "integration/pair/test_protected_copies.py",
    "integration/agent/test_init_script.py",
    "integration/lab/test_frozen_node.py",
    "integration/pair/test_postgres.py",
    "integration/replicator/test_occupied.py",
    "integration/store/test_etcd_faults.py",
    "integration/pair/test_data_path.py",
    "integration/replicator/test_full_disk.py",
    "integration/agent/test_nft.py",
    "integration/pair/test_resync_cost.py",
    "integration/lab/test_faults.py",
)
"""Below this directory, from three minutes to a quarter of one; the others are quicker."""


def sort(items: list[pytest.Item]) -> None:
    """Files that are not named stay behind them, as they are."""
    places = {name: place for place, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> int:
        path = item.path
        return places.get(path.relative_to(HERE).as_posix(), len(places)) if path.is_relative_to(HERE) else len(places)

    items.sort(key=place)
