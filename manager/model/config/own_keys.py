"""Which keys of ``module.toml`` one kind of module has and another one has not."""

from collections.abc import Mapping
from types import MappingProxyType

from manager.model.config.tables import Table
from manager.model.states import ModuleKind

OWN_KEYS: Mapping[ModuleKind, tuple[str, ...]] = MappingProxyType(
    {
        ModuleKind.MIRROR: (
            "directories", "must_exist", "exclude", "initial_primary", "failover", "after_power_loss",
            "preferred_primary", "replication", "resync", "verify",
        ),
        ModuleKind.FARM: ("rule", "weights", "chain", "traffic"),
    }
)  # fmt: skip


def refuse_keys_of_others(top: Table, kind: ModuleKind) -> None:
    """Find keys in ``top`` that belong to a module of another kind than ``kind``."""
    for other, keys in OWN_KEYS.items():
        if other is not kind:
            for key in keys:
                top.refuse_known(key, f"no such key in a {kind}: it belongs to a {other}")
