"""A farm's addresses on the loopback, in network namespaces of the real kernel: silent, and taken back whole."""

import asyncio
import socket
import subprocess
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from agent.adapters.addresses import VirtualAddresses
from agent.adapters.held_addresses import LIFE_S, remove_leftovers
from agent.adapters.neighbours import AddressInUse
from agent.adapters.stations import unplaced
from manager.model.config import AddressConfig
from manager.model.errors import ConfigError, DefiniteFailure
from tests.integration.agent.cable import FOUR, SIX, Agent, Net, in_seconds, sh

HELD = {"10.99.0.100/32", "fd99::100/128"}
SILENT, FORMER = (1, 2), (0, 0)


def settings(link: str = "mfh") -> tuple[int, ...]:
    """Of the namespace that the calling thread is in."""
    names = ("arp_ignore", "arp_announce")
    return tuple(int(Path(f"/proc/sys/net/ipv4/conf/{link}/{name}").read_text()) for name in names)


def source(there: str) -> str:
    """Of what this node sends there by itself."""
    with socket.socket(socket.AF_INET6 if ":" in there else socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((there, 9))
        return str(asking.getsockname()[0])


def directing(agent: Agent, wanted: AddressConfig) -> VirtualAddresses:
    return agent.of(replace(wanted, reset_connections=False))


async def nobody_answers(agent: Agent) -> None:
    await agent.of(FOUR, SIX).probe()


def test_they_are_held_in_silence_and_never_a_source_and_all_is_given_back(net: Net, tmp_path: Path) -> None:
    async def hold(agent: Agent) -> None:
        held = agent.held(FOUR, SIX)
        assert settings() == FORMER
        assert set(await held.hold()) == {"10.99.0.100", "fd99::100"}
        assert set(net.addresses("lo")) >= HELD and settings() == SILENT
        ours = [a for a in await agent.netlink.addresses() if agent.marks.ours(a)]
        assert len(ours) == 2 and all(LIFE_S - 10 < a.valid_s <= LIFE_S for a in ours)
        assert await held.hold() == () == await held.keep()
        # Nor on the way through a link that has no address itself, for which the kernel takes one of another link.
        sh("ip", "-n", net.here, "link", "add", "mfn", "type", "veth", "peer", "name", "mfo")
        sh("ip", "-n", net.here, "link", "set", "mfn", "up")
        sh("ip", "-n", net.here, "route", "add", "192.0.2.0/24", "dev", "mfn")
        assert {source(there) for there in ("10.99.0.2", "192.0.2.1")} == {"10.99.0.1"}
        assert source("fd99::2") == "fd99::1"

    async def release(agent: Agent) -> None:
        assert await agent.held(FOUR, SIX).release() == 0
        assert settings() == FORMER and not agent.settings.addresses()
        assert await agent.held(FOUR, SIX).release() == 0

    net.play(hold, tmp_path / "marks")
    net.play(nobody_answers, tmp_path / "marks-there", net.there)
    net.play(release, tmp_path / "marks")
    assert not set(net.addresses("lo")) & HELD


def test_a_second_link_on_the_same_network_keeps_silent_too(net: Net, tmp_path: Path) -> None:
    """As of a server with two cables to one switch."""
    sh("ip", "-n", net.here, "link", "add", "mfo", "type", "veth", "peer", "name", "mfp", "netns", net.there)
    for name, link in ((net.here, "mfo"), (net.there, "mfp")):
        sh("ip", "-n", name, "link", "set", link, "up")

    def answers() -> bool:
        argv = ("ip", "netns", "exec", net.there, "arping", "-D", "-c", "2", "-w", "2", "-I", "mfp", FOUR.ip)
        return subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode == 1

    async def story(agent: Agent) -> None:
        sh("ip", "-n", net.here, "addr", "add", f"{FOUR.ip}/32", "dev", "lo")
        assert answers(), "Linux answers on each link for all addresses"
        sh("ip", "-n", net.here, "addr", "del", f"{FOUR.ip}/32", "dev", "lo")
        held = agent.held(FOUR)
        await held.hold()
        assert not answers()
        await held.release()
        assert Path("/proc/sys/net/ipv4/conf/mfo/arp_ignore").read_text() == "0\n"

    try:
        net.play(story, tmp_path / "marks")
    finally:
        sh("ip", "-n", net.here, "link", "del", "mfo")


def test_what_was_taken_away_meanwhile_is_held_again(net: Net, tmp_path: Path) -> None:
    async def hold(agent: Agent) -> None:
        await agent.held(FOUR, SIX).hold()
        Path("/proc/sys/net/ipv4/conf/mfh/arp_ignore").write_text("0")

    async def keep(agent: Agent) -> None:
        held = agent.held(FOUR, SIX)
        sh("ip", "-n", net.here, "addr", "del", "10.99.0.100/32", "dev", "lo")
        assert await held.keep() == ("10.99.0.100",)
        assert settings() == SILENT
        # Another link of the same name, as after a reset of the card, has the settings of a new one.
        sh("ip", "-n", net.here, "link", "del", "mfh")
        with pytest.raises(ConfigError, match="same subnet"):
            await held.keep()
        assert set(net.addresses("lo")) >= HELD
        net.lay()
        assert settings() == FORMER
        assert await held.keep() == ()
        assert settings() == SILENT
        await held.release()
        assert settings() == FORMER

    net.play(hold, tmp_path / "marks")
    with pytest.raises(AddressInUse, match=r"10\.99\.0\.100"):
        net.play(nobody_answers, tmp_path / "marks-there", net.there)
    net.play(keep, tmp_path / "marks")


def test_a_link_keeps_silent_until_the_last_of_its_addresses_is_released(net: Net, tmp_path: Path) -> None:
    async def story(agent: Agent) -> None:
        first, second = agent.held(FOUR), agent.held(AddressConfig("10.99.0.101", 24))
        Path("/proc/sys/net/ipv4/conf/mfh/arp_announce").write_text("1")
        await first.hold()
        await second.hold()
        await first.release()
        assert settings() == SILENT
        await second.release()
        assert settings() == (0, 1)
        # What sufficed before, or was set by another since, is not ours to take back.
        Path("/proc/sys/net/ipv4/conf/mfh/arp_ignore").write_text("2")
        await first.hold()
        assert settings() == (2, 2)
        Path("/proc/sys/net/ipv4/conf/mfh/arp_announce").write_text("0")
        await first.release()
        assert settings() == (2, 0)

    net.play(story, tmp_path / "marks")


@pytest.mark.parametrize("link", ["lo", "mfh"])
def test_an_address_that_somebody_configured_here_is_left_alone(net: Net, tmp_path: Path, link: str) -> None:
    sh("ip", "-n", net.here, "addr", "add", "10.99.0.100/32", "dev", link)

    async def story(agent: Agent) -> None:
        held = agent.held(SIX, FOUR)
        with pytest.raises(DefiniteFailure, match="not by Mirrorfarm"):
            await held.hold()
        await held.release()
        assert await remove_leftovers(agent.netlink, agent.settings, agent.marks) == ()
        assert settings() == FORMER

    net.play(story, tmp_path / "marks")
    assert "10.99.0.100/32" in net.addresses(link) and "fd99::100/128" not in net.addresses("lo")


def test_without_ipv6_none_is_held(net: Net, tmp_path: Path) -> None:
    async def story(agent: Agent) -> None:
        Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").write_text("1")
        with pytest.raises(DefiniteFailure, match="IPv6"):
            await agent.held(FOUR, SIX).hold()
        assert settings() == FORMER and not agent.settings.addresses()

    net.play(story, tmp_path / "marks")
    assert not set(net.addresses("lo")) & HELD


def test_neither_the_loopback_nor_no_link_will_do(net: Net, tmp_path: Path) -> None:
    async def story(agent: Agent) -> None:
        links = ("", "none0", "lo", "mfh")
        asked = [AddressConfig(f"192.0.2.{place}", 24, link) for place, link in enumerate(links, 1)]
        assert await unplaced((FOUR, SIX, *asked), agent.netlink, agent.marks) == {
            "192.0.2.1": "no address of a link is of the same subnet: 10.99.0.1/24 on mfh, fd99::1/64 on mfh",
            "192.0.2.2": "there is no interface none0",
            "192.0.2.3": "lo leads to no other machine",
        }
        with pytest.raises(ConfigError, match="found lo; allowed: a link"):
            await agent.held(AddressConfig("10.99.0.100", 24, interface="lo")).hold()
        with pytest.raises(ConfigError, match="same subnet"):
            await agent.held(AddressConfig("192.0.2.1", 24)).hold()

    net.play(story, tmp_path / "marks")


@pytest.mark.parametrize("adopted", [True, False])
def test_an_agent_killed_between_silence_and_address_leaves_nothing(net: Net, tmp_path: Path, adopted: bool) -> None:
    async def killed(agent: Agent) -> None:
        agent.settings.silence(["mfh"], [ip_address(FOUR.ip)])
        assert settings() == SILENT

    async def next_one(agent: Agent) -> None:
        assert await remove_leftovers(agent.netlink, agent.settings, agent.marks, [FOUR.ip] if adopted else []) == ()
        assert settings() == (SILENT if adopted else FORMER)
        held = agent.held(FOUR)
        assert await held.hold() == (FOUR.ip,)
        await held.release()
        assert settings() == FORMER

    net.play(killed, tmp_path / "marks")
    net.play(next_one, tmp_path / "marks")


def test_what_a_killed_agent_held_is_removed_save_for_what_is_to_be_kept(net: Net, tmp_path: Path) -> None:
    other = AddressConfig("10.99.0.101", 24)

    async def first(agent: Agent) -> None:
        await agent.held(FOUR, SIX).hold()
        await agent.held(other).hold()
        await directing(agent, FOUR).add(in_seconds(60))
        agent.killed()

    async def second(agent: Agent) -> None:
        removed = await remove_leftovers(agent.netlink, agent.settings, agent.marks, [FOUR.ip, SIX.ip])
        assert removed == ("10.99.0.101/32",)
        assert set(net.addresses("lo")) >= HELD and settings() == SILENT
        assert await agent.held(FOUR, SIX).hold() == ()

    async def third(agent: Agent) -> None:
        removed = await remove_leftovers(agent.netlink, agent.settings, agent.marks)
        assert set(removed) == {*HELD, "10.99.0.100/24"}
        assert settings() == FORMER

    for story in (first, second, third):
        net.play(story, tmp_path / "marks")


@pytest.mark.parametrize("wanted", [FOUR, SIX], ids=["ipv4", "ipv6"])
def test_who_answers_changes_and_the_connections_stay(net: Net, tmp_path: Path, wanted: AddressConfig) -> None:
    async def story(agent: Agent) -> None:
        held, answering = agent.held(wanted), directing(agent, wanted)
        await held.hold()
        assert await answering.missing() == (wanted.ip,)
        await answering.add(in_seconds(60))
        assert await answering.missing() == () and wanted.cidr in net.addresses()
        with net.client(wanted.ip) as client:
            assert await client.served("one") == "one"
            assert await answering.drop() == 0
            assert wanted.cidr not in net.addresses() and set(net.addresses("lo")) & HELD
            assert await client.served("two") == "two"
            await answering.add(in_seconds(60))
            # An end of life, and one that no other node answers for yet.
            sh("ip", "-n", net.here, "addr", "del", wanted.cidr, "dev", "mfh")
            assert await answering.renew(in_seconds(60)) == (wanted.ip,)
            await answering.drop()
            assert await client.served("three") == "three"
            assert await held.release() >= 1
            assert await client.served("four") == "reset"

    net.play(story, tmp_path / "marks")


def test_an_address_that_is_wanted_on_the_loopback_is_removed_there(net: Net, tmp_path: Path) -> None:
    async def story(agent: Agent) -> None:
        there = agent.of(AddressConfig("10.99.0.100", 32, interface="lo"))
        await there.add(in_seconds(60))
        assert "10.99.0.100/32" in net.addresses("lo")
        await there.drop()
        assert "10.99.0.100/32" not in net.addresses("lo")

    net.play(story, tmp_path / "marks")


def test_the_links_of_addresses_are_told_and_told_again_when_they_change(net: Net, tmp_path: Path) -> None:
    async def story(agent: Agent) -> None:
        told: asyncio.Queue[dict[str, tuple[str, str, bool]]] = asyncio.Queue()
        links = agent.links_of(FOUR, SIX, AddressConfig("192.0.2.1", 24))

        def changed(found: object) -> None:
            assert isinstance(found, dict)
            told.put_nowait({a: (i.name, i.mac.hex(":"), i.up) for a, i in found.items()})

        following = asyncio.create_task(links.follow(changed, agent.trouble.append, lambda: None))
        first = await asyncio.wait_for(told.get(), 3)
        assert set(first) == {FOUR.ip, SIX.ip} and {name for name, _, _ in first.values()} == {"mfh"}
        sh("ip", "-n", net.here, "link", "set", "mfh", "address", "02:00:00:00:00:77")
        expected = ("mfh", "02:00:00:00:00:77", True)
        while await asyncio.wait_for(told.get(), 3) != {FOUR.ip: expected, SIX.ip: expected}:
            pass
        sh("ip", "-n", net.here, "link", "del", "mfh")
        while await asyncio.wait_for(told.get(), 3) != {}:
            pass
        following.cancel()
        assert agent.trouble == []

    net.play(story, tmp_path / "marks")
