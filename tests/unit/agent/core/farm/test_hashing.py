"""The kernel's numbers, as it gave them for these packets with the seed 77 (nftables 1.0.6, Linux 6.18)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.farm.hashing import jhash, seed_of, slot_of
from manager.model.config.farm_config import Affinity
from manager.model.farm import SLOTS

SEED = 77


@pytest.mark.parametrize(
    ("client", "port", "by_client", "by_connection"),
    [
        ("203.72.30.106", 8287, 1012, 0),
        ("124.55.132.96", 37814, 79, 0),
        ("35.90.155.200", 21629, 62, 1),
        ("134.213.143.151", 22224, 1001, 1),
        ("5cf5:3eaf:b161:5c47:98ad:d52d:8377:ce7a", 34777, 663, 0),
        ("7241:d133:960f:69a9:2454:ab8:aa32:a1fc", 37443, 881, 1),
        ("76cd:8f4f:44f8:e4f4:f49b:15fe:2300:584e", 28533, 916, 1),
        ("b248:5082:93a6:7ae7:17fd:42e9:83d1:f951", 29741, 391, 2),
    ],
)
def test_slots_are_the_kernels(client: str, port: int, by_client: int, by_connection: int) -> None:
    assert slot_of(client, port, Affinity.CLIENT, SEED) == by_client
    assert slot_of(client, port, Affinity.CONNECTION, SEED) == by_connection


@given(st.ip_addresses(), st.integers(0, 65535), st.sampled_from(Affinity), st.integers(0, (1 << 31) - 1))
def test_each_packet_has_a_slot(client: object, port: int, affinity: Affinity, seed: int) -> None:
    assert 0 <= slot_of(str(client), port, affinity, seed) < SLOTS


def test_by_client_the_port_does_not_matter() -> None:
    slots = {slot_of("192.0.2.1", port, Affinity.CLIENT, SEED) for port in range(1, 500)}
    assert len(slots) == 1


def test_clients_are_spread() -> None:
    slots = [slot_of(f"10.0.{i >> 8}.{i & 255}", 0, Affinity.CLIENT, SEED) for i in range(4096)]
    assert len(set(slots)) > SLOTS * 0.95
    assert max(slots.count(slot) for slot in set(slots)) < 20


def test_of_nothing_it_is_what_it_begins_with() -> None:
    assert jhash(b"", 5) == 0xDEADBEEF + 5


def test_a_seed_is_what_nft_takes_and_depends_on_the_module() -> None:
    seeds = {seed_of(f"module-{i}") for i in range(100)}
    assert len(seeds) == 100
    assert all(0 <= seed < 1 << 31 for seed in seeds)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody"):
        slot_of("nobody", 1, Affinity.CLIENT, SEED)
