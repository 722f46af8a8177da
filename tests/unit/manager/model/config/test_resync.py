"""The [resync] table, and the rates that it is written in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.config import InvalidConfig, ResyncConfig, ResyncWindow
from manager.model.config.rates import format_rate, parse_rate
from manager.model.config.sizes import format_size, parse_size
from tests.support.configurations import mirror

LEAST = """name = "db"
kind = "mirror"
nodes = ["a", "b"]
directories = ["/srv/db"]

[resync]
"""
NIGHT = '[[resync.schedule]]\nfrom = "22:00"\nto = "06:00"\nbandwidth = "0 MiB/s"\n'


def resync(text: str) -> ResyncConfig:
    return mirror(LEAST + text).resync


def test_without_the_table_there_is_no_limit() -> None:
    assert mirror(LEAST.replace("[resync]", "")).resync == ResyncConfig(0, ()) == resync("")


def test_a_bandwidth_and_a_schedule() -> None:
    lunch = '[[resync.schedule]]\nfrom = "12:00"\nto = "13:30"\nbandwidth = "1.5 GiB/s"\n'
    assert resync('bandwidth = "20 MiB/s"\n' + NIGHT + lunch) == ResyncConfig(
        20 << 20, (ResyncWindow(22 * 60, 6 * 60, 0), ResyncWindow(12 * 60, 13 * 60 + 30, 3 << 29))
    )


def test_a_schedule_in_one_list() -> None:
    text = 'schedule = [{ from = "00:00", to = "24:00", bandwidth = "64 KiB/s" }]\n'
    assert resync(text).schedule == (ResyncWindow(0, 24 * 60, 64 << 10),)


@pytest.mark.parametrize(
    ("size", "kept_bytes"), [("0 GiB", 0), ("1 MiB", 1 << 20), ("2.5 GiB", 5 << 29), ("1024 TiB", 1 << 50)]
)
def test_how_much_may_be_set_aside(size: str, kept_bytes: int) -> None:
    assert resync(f'set_aside = "{size}"\n').set_aside_bytes == kept_bytes
    assert resync("").set_aside_bytes == 10 << 30


@pytest.mark.parametrize(
    ("text", "where", "found", "allowed"),
    [
        ("bandwidth = 20\n", "resync.bandwidth", "20", "a rate: a number and its unit (KiB/s, MiB/s or GiB/s)"),
        ('bandwidth = "20"\n', "resync.bandwidth", '"20"', '"0 MiB/s": no limit'),
        ('bandwidth = "20 MB/s"\n', "resync.bandwidth", '"20 MB/s"', 'as in "20 MiB/s"'),
        ('bandwidth = "63 KiB/s"\n', "resync.bandwidth", '"63 KiB/s"', "from 64 KiB/s to 1024 GiB/s"),
        ('bandwith = "1 MiB/s"\n', "resync.bandwith", "an unknown key", '"bandwidth" is the nearest'),
        ("set_aside = 10\n", "resync.set_aside", "10", "a size: a number and its unit (KiB, MiB, GiB or TiB)"),
        ('set_aside = "10 GB"\n', "resync.set_aside", '"10 GB"', 'as in "10 GiB"'),
        ('set_aside = "1023 KiB"\n', "resync.set_aside", '"1023 KiB"', "from 1 MiB to 1024 TiB"),
        ('set_aside = "1025 TiB"\n', "resync.set_aside", '"1025 TiB"', '"0 GiB": none'),
        ('setaside = "1 GiB"\n', "resync.setaside", "an unknown key", '"set_aside" is the nearest'),
        ('schedule = "22:00"\n', "resync.schedule", '"22:00"', "each begun by [[resync.schedule]]"),
        (NIGHT.replace("22:00", "22.00"), "resync.schedule[0].from", '"22.00"', 'from "00:00" to "23:59"'),
        (NIGHT.replace("22:00", "24:00"), "resync.schedule[0].from", '"24:00"', 'from "00:00" to "23:59"'),
        (NIGHT.replace("06:00", "6:00"), "resync.schedule[0].to", '"6:00"', 'from "00:00" to "24:00"'),
        (NIGHT.replace("06:00", "24:01"), "resync.schedule[0].to", '"24:01"', 'from "00:00" to "24:00"'),
        (NIGHT.replace("06:00", "22:00"), "resync.schedule[0].to", '"22:00"', 'another time than "from"'),
        (NIGHT.replace("bandwidth", "rate"), "resync.schedule[0].bandwidth", "nothing", "a rate: a number"),
        (NIGHT.replace("bandwidth", "rate"), "resync.schedule[0].rate", "an unknown key", "in [resync.schedule]"),
        (NIGHT.replace("from", "#"), "resync.schedule[0].from", "nothing", "a time of the day"),
        (NIGHT + NIGHT.replace("0 M", "no M"), "resync.schedule[1].bandwidth", '"no MiB/s"', "a rate: a number"),
        (NIGHT * 65, "resync.schedule", "65 windows", "at most 64"),
    ],
)
def test_each_mistake_is_named(text: str, where: str, found: str, allowed: str) -> None:
    with pytest.raises(InvalidConfig) as raised:
        resync(text)
    told = str(raised.value)
    line = next((f for f in told.splitlines() if f.startswith(f"module.toml: {where}: ")), told)
    assert found in line.partition("; allowed: ")[0]
    assert allowed in line.partition("; allowed: ")[2]


@given(st.integers(0, 10**9 - 1))
def test_rates_are_read_back(kibibytes_s: int) -> None:
    assert parse_rate(format_rate(kibibytes_s << 10)) == kibibytes_s << 10


@pytest.mark.parametrize("text", ["", "10", "10 MiB", "10 Mbit/s", "-1 MiB/s", "1e3 KiB/s", "\u0661 MiB/s", "1  KiB/s"])
def test_no_rates(text: str) -> None:
    with pytest.raises(ValueError, match="found"):
        parse_rate(text)


@given(st.integers(0, 10**9 - 1))
def test_sizes_are_read_back(kibibytes: int) -> None:
    assert parse_size(format_size(kibibytes << 10)) == kibibytes << 10


@pytest.mark.parametrize("text", ["", "10", "10 GB", "10 GiB/s", "-1 GiB", "1e3 KiB", "\u0661 GiB", "1  GiB", "1gib"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="found"):
        parse_size(text)
