"""What a link had before it was silenced: noted first, given back last, whatever an agent is killed between."""

import shutil
from ipaddress import ip_address
from pathlib import Path

import pytest

from agent.adapters import link_settings
from agent.adapters.link_settings import LinkSettings
from manager.model.errors import DefiniteFailure
from manager.note_file import write_note

FIRST, SECOND = ip_address("10.0.0.1"), ip_address("10.0.0.2")


def machine(at: Path, **links: tuple[int, int]) -> Path:
    """The settings of a kernel: arp_ignore and arp_announce of each link."""
    for link, (ignore, announce) in links.items():
        (at / link).mkdir(parents=True, exist_ok=True)
        (at / link / "arp_ignore").write_text(f"{ignore}\n")
        (at / link / "arp_announce").write_text(f"{announce}\n")
    return at


def shown(at: Path, link: str = "eth0") -> tuple[int, int]:
    return int((at / link / "arp_ignore").read_text()), int((at / link / "arp_announce").read_text())


def made(tmp_path: Path, settings: Path) -> LinkSettings:
    """As of an agent that has just begun."""
    return LinkSettings(str(tmp_path / "note"), str(settings))


def test_each_link_gets_back_what_it_had_with_its_own_last_address(tmp_path: Path) -> None:
    at = machine(tmp_path / "conf", eth0=(0, 1), eth1=(0, 0))
    made(tmp_path, at).silence(["eth0"], [FIRST])
    made(tmp_path, at).silence(["eth0"], [SECOND])
    made(tmp_path, at).silence(["eth1"], [ip_address("10.0.1.1")])
    assert shown(at) == shown(at, "eth1") == (1, 2)
    made(tmp_path, at).release([FIRST])
    assert shown(at) == (1, 2)
    made(tmp_path, at).release([FIRST, SECOND])
    assert (shown(at), shown(at, "eth1")) == ((0, 1), (1, 2))
    made(tmp_path, at).release_others(["10.0.1.1"])
    assert shown(at, "eth1") == (1, 2)
    made(tmp_path, at).release_others([])
    assert shown(at, "eth1") == (0, 0) and not made(tmp_path, at).addresses()


def test_more_silence_than_we_want_is_left_as_it_is(tmp_path: Path) -> None:
    at = machine(tmp_path / "conf", eth0=(2, 0))
    made(tmp_path, at).silence(["eth0"], [FIRST])
    assert shown(at) == (2, 2)
    made(tmp_path, at).release([FIRST])
    assert shown(at) == (2, 0)


def test_our_own_value_is_never_taken_for_the_former_one(tmp_path: Path) -> None:
    at = machine(tmp_path / "conf", eth0=(0, 0))
    for _ in range(3):
        made(tmp_path, at).silence(["eth0"], [FIRST])
    made(tmp_path, at).release([FIRST])
    assert shown(at) == (0, 0)


def test_killed_after_the_note_and_before_the_setting(tmp_path: Path) -> None:
    noted = machine(tmp_path / "noted", eth0=(0, 0))
    made(tmp_path, noted).silence(["eth0"], [FIRST])
    at = machine(tmp_path / "conf", eth0=(0, 0))
    made(tmp_path, at).silence(["eth0"], [FIRST])
    assert shown(at) == (1, 2)
    made(tmp_path, at).release([FIRST])
    assert shown(at) == (0, 0)
    # And released without having been set at all.
    made(tmp_path, noted).silence(["eth0"], [FIRST])
    made(tmp_path, at).release([FIRST])
    assert shown(at) == (0, 0)


def test_killed_after_the_settings_were_given_back_and_before_the_note_was(tmp_path: Path) -> None:
    at = machine(tmp_path / "conf", eth0=(0, 0))
    made(tmp_path, at).silence(["eth0"], [FIRST])
    note = (tmp_path / "note").read_text()
    made(tmp_path, at).release([FIRST])
    (tmp_path / "note").write_text(note)
    # Meanwhile somebody wants more silence than we ever did: it is his.
    machine(tmp_path / "conf", eth0=(2, 2))
    made(tmp_path, at).release([FIRST])
    assert shown(at)[0] == 2


def test_a_link_that_is_gone_cannot_be_silenced_and_needs_nothing_back(tmp_path: Path) -> None:
    at = machine(tmp_path / "conf", eth0=(0, 0))
    made(tmp_path, at).silence(["eth0"], [FIRST])
    (at / "eth0").rename(at / "eth9")
    failed = made(tmp_path, at).silence(["eth0"], [SECOND])
    assert "eth0 is gone" in str(failed["eth0"])
    made(tmp_path, at).release([FIRST])
    assert shown(at, "eth9") == (1, 2) and not made(tmp_path, at).addresses()


def test_nothing_is_set_that_could_not_be_noted(tmp_path: Path) -> None:
    at = machine(tmp_path / "conf", eth0=(0, 0))
    with pytest.raises(DefiniteFailure, match="noting"):
        LinkSettings(str(tmp_path / "none" / "note"), str(at)).silence(["eth0"], [FIRST])
    assert shown(at) == (0, 0)


@pytest.mark.parametrize("note", ["", "[]", '{"links": {"eth0": {}}}', "\xff"])
def test_a_note_that_cannot_be_read_is_none(tmp_path: Path, note: str) -> None:
    at = machine(tmp_path / "conf", eth0=(1, 2))
    (tmp_path / "note").write_bytes(note.encode("latin-1"))
    settings = made(tmp_path, at)
    assert not settings.addresses()
    settings.silence(["eth0"], [FIRST])
    settings.release([FIRST])
    assert shown(at) == (1, 2)


def test_many_links_are_silenced_together_and_one_that_is_gone_keeps_no_other_one_from_it(tmp_path: Path) -> None:
    at = machine(tmp_path / "conf", eth0=(0, 0), eth1=(0, 1))
    failed = made(tmp_path, at).silence(["eth0", "gone", "eth1"], [FIRST, SECOND])
    assert failed.keys() == {"gone"} and shown(at) == shown(at, "eth1") == (1, 2)
    made(tmp_path, at).release([FIRST])
    assert shown(at) == (1, 2)
    made(tmp_path, at).release([SECOND])
    assert (shown(at), shown(at, "eth1")) == ((0, 0), (0, 1))


def test_the_note_is_written_once_for_all_and_not_again_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be hundreds of containers' links, which are looked at again and again, in the addresses' thread."""
    names = [f"cali{number}" for number in range(50)]
    at, writes = machine(tmp_path / "conf", **dict.fromkeys(names, (0, 0))), list[str]()

    def write(path: str, text: str) -> None:
        writes.append(text)
        write_note(path, text)

    monkeypatch.setattr(link_settings, "write_note", write)
    settings = made(tmp_path, at)
    for _ in range(2):
        assert settings.silence(names, [FIRST, SECOND]) == {}
    assert len(writes) == 1


def test_links_that_come_and_go_are_not_noted_for_ever(tmp_path: Path) -> None:
    at = machine(tmp_path / "conf", eth0=(0, 0))
    settings = made(tmp_path, at)
    for number in range(5):
        machine(at, **{f"cali{number}": (0, 0)})
        settings.silence(["eth0", f"cali{number}"], [FIRST])
        shutil.rmtree(at / f"cali{number}")
    assert "cali4" in (tmp_path / "note").read_text() and "cali3" not in (tmp_path / "note").read_text()
    settings.release([FIRST])
    assert shown(at) == (0, 0)
