"""Which replicator of a former agent is adopted."""

import dataclasses

import pytest

from agent.runtime.replicator_hand import is_of
from manager.model.config.agent_config import LogLevel
from manager.model.replicator_spec import ReplicatorSpec, SpecAddress

SPEC = ReplicatorSpec(
    cluster_id="c", module="db", module_id="m", node="a", boot_id="boot", directories=("/srv/db",),
    control_socket="/run/s", listen_host="", listen_port=0, peer_timeout_ms=5000, acknowledge_disk=False,
    compression=True, must_exist=(), cgroup="/cg", log_file="/var/log/r.log",
)  # fmt: skip


@pytest.mark.parametrize(
    "newer",
    [
        {"log_level": LogLevel.DEBUG},
        {"peer_timeout_ms": 7000, "compression": False, "listen_port": 77},
        {"addresses": (SpecAddress("10.0.0.1", 24, ""),)},
    ],
)
def test_what_counts_from_the_next_start_is_no_reason_to_end_it(newer: dict[str, object]) -> None:
    assert is_of(SPEC, dataclasses.replace(SPEC, **newer))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        {"module_id": "m2"}, {"cluster_id": "c2"}, {"directories": ("/srv/other",)}, {"boot_id": "boot+1"},
        {"cgroup": ""},
    ],
)  # fmt: skip
def test_another_module_directory_or_memory_is_not_adopted(other: dict[str, object]) -> None:
    assert not is_of(SPEC, dataclasses.replace(SPEC, **other))  # type: ignore[arg-type]
