"""The checks, on trees and member lists of the tests' own."""

import dataclasses
import datetime
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from manager.cli.checks import machine, modules
from manager.cli.checks.etcd import Endpoint, Member, etcd, known_bugs
from manager.cli.checks.finding import Finding, Level, error, note, ok, warning, worst
from manager.model.config import AddressConfig, AnyModule, FarmConfig, ModuleConfig, Protocol, RuleConfig
from manager.model.states import ModuleKind
from manager.mountinfo import Mount
from manager.open_files import Worker, workers
from tests.support.mounts import mount_at

MOUNTINFO = """\
21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 21 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw
31 21 8:2 / /srv/with\\040space rw - xfs /dev/sdb rw
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in (
        "proc/self",
        "dev",
        "etc/rc2.d",
        "etc/init.d",
        "etc/systemd/system/multi-user.target.wants",
        "srv/db",
    ):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/filesystems").write_text("nodev\tproc\nnodev\tfuse\n\text4\n")
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTINFO)
    (tmp_path / "dev/fuse").touch()
    (tmp_path / "etc/rc2.d/S01mirrorfarm-agent").touch()
    return tmp_path


NOW = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)


def look(endpoints: list[Endpoint], members: Sequence[Member] | None) -> Iterator[Finding]:
    return etcd(endpoints, members, NOW)


def bad(findings: Iterable[Finding]) -> list[Finding]:
    return [f for f in findings if f.level is not Level.OK]


def test_a_good_machine(root: Path) -> None:
    assert bad(machine.machine(root, "6.1.0-18-amd64", 0)) == []


@pytest.mark.parametrize("release", ["4.19.0", "5.13.7", "weird"])
def test_an_old_kernel(release: str) -> None:
    assert machine.kernel(release).level is Level.ERROR


@pytest.mark.parametrize(
    ("path", "content", "subject"),
    [
        ("proc/filesystems", "ext4\n", "FUSE"),
        ("dev/fuse", None, "FUSE"),
        ("proc/self/mountinfo", MOUNTINFO.replace("cgroup2", "cgroup"), "cgroup2"),
        ("proc/self/mountinfo", MOUNTINFO.replace("rw,nosuid", "ro,nosuid"), "cgroup2"),
        ("etc/rc2.d/S01mirrorfarm-agent", None, "boot"),
    ],
)
def test_each_lack_is_found_with_its_remedy(root: Path, path: str, content: str | None, subject: str) -> None:
    if content is None:
        (root / path).unlink()
    else:
        (root / path).write_text(content)
    found = bad(machine.machine(root, "6.1.0", 0))
    assert [f.subject for f in found] == [subject]
    assert found[0].remedy


def test_a_clock_that_nobody_keeps_is_a_note() -> None:
    assert machine.clock(5).level is Level.NOTE
    assert machine.clock(0).level is Level.OK
    assert 0 <= machine.adjtimex_state() <= 5


def test_mounts_are_read_with_their_escapes(root: Path) -> None:
    assert [mount.point for mount in machine.mounts(root)][2] == "/srv/with space"


def db(**changes: object) -> ModuleConfig:
    fields: dict[str, object] = {
        "name": "db",
        "kind": ModuleKind.MIRROR,
        "nodes": ("a", "b"),
        "directories": ("/srv/db",),
    }
    return ModuleConfig(**(fields | changes))  # type: ignore[arg-type]


def of_module(root: Path, config: AnyModule, mounts: Iterable[Mount] = ()) -> list[Finding]:
    return bad(modules.module(config, root, list(mounts)))


def test_a_good_module(root: Path) -> None:
    assert of_module(root, db()) == []


def test_a_directory_that_is_not_there_or_a_link(root: Path) -> None:
    assert "mkdir -p /srv/none" in of_module(root, db(directories=("/srv/none",)))[0].remedy
    (root / "srv/link").symlink_to(root / "srv/db")
    assert "symbolic link" in of_module(root, db(directories=("/srv/link",)))[0].says


def test_a_mount_inside_is_refused_and_one_below_is_not(root: Path) -> None:
    inside = mount_at("/srv/db/wal")
    assert "/srv/db/wal" in of_module(root, db(), [inside])[0].says
    assert of_module(root, db(), [mount_at("/srv")]) == []
    assert of_module(root, db(), [mount_at("/srv/dbx")]) == []


def test_a_mount_that_lacks_and_a_subvolume_inside_are_named(root: Path) -> None:
    (root / "etc/fstab").write_text("UUID=1 /srv xfs nofail 0 2\n")
    (found,) = of_module(root, db())
    assert found.level is Level.ERROR and "/srv is not mounted" in found.says
    assert of_module(root, db(), [mount_at("/srv", "xfs")]) == []
    assert modules.subvolumes(Path("/dev")) != [], "mounts are as subvolumes there, to whom the device is told"
    assert modules.subvolumes(root / "srv") == []


def test_a_directory_in_use_is_left_alone(root: Path) -> None:
    assert of_module(root, db(), [mount_at("/srv/db", "fuse.mirrorfarm", "db")]) == []


def process(root: Path, pid: int, cwd: str, command: str = "postgres\0-D\0/x", **files: tuple[str, int]) -> None:
    """One in the test's own ``proc``: ``files`` are its descriptors, each with its path and how it was opened."""
    here = root / f"proc/{pid}"
    for folder in ("fd", "fdinfo"):
        (here / folder).mkdir(parents=True)
    (here / "comm").write_text(f"{command.partition(chr(0))[0]}\n")
    (here / "cmdline").write_text(command)
    (here / "cwd").symlink_to(f"{root}{cwd}")
    for name, (path, flags) in files.items():
        file = Path(f"{root}{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        (here / "fd" / name.removeprefix("_")).symlink_to(file)
        (here / "fdinfo" / name.removeprefix("_")).write_text(f"pos:\t0\nflags:\t0{flags:o}\nmnt_id:\t9\n")


def test_who_works_in_a_directory_by_other_means_is_named(root: Path) -> None:
    process(root, 7, "/", _3=("/srv/db/base/1", os.O_RDWR | os.O_CLOEXEC))
    process(root, 12, "/srv/db", "bash")
    process(root, 9, "/srv/dbx", _3=("/srv/db/base/1", os.O_RDONLY), _4=("/srv/db2/1", os.O_WRONLY))
    process(root, 20, "/srv/db", "python\0-m\0replicator.main\0", _3=("/srv/db/base/1", os.O_RDWR))
    (found,) = of_module(root, db())
    assert found.level is Level.ERROR and found.subject == "db: /srv/db"
    assert ": postgres (7), bash (12). What it writes" in found.says
    for pid in (30, 31):
        process(root, pid, "/srv/db/base")
    assert "bash (12), postgres (30) and 1 more" in of_module(root, db())[0].says
    in_use = [mount_at("/srv/db", "fuse.mirrorfarm", "db")]
    assert of_module(root, db(), in_use) == [], "the application, started by the module"


def test_a_real_process_is_found_by_what_it_has_open(tmp_path: Path) -> None:
    root, mine = Path("/"), Worker(os.getpid(), Path("/proc/self/comm").read_text().strip())
    file = tmp_path / "file"
    file.touch()
    with file.open("rb"):
        assert mine not in workers(root, str(tmp_path))
    with file.open("ab"):
        assert mine in workers(root, str(tmp_path))


def test_a_file_system_without_trusted_attributes(root: Path) -> None:
    assert modules.xattr_problem(root / "srv/db") == ""
    assert modules.xattr_problem(Path("/proc/self")) == os.strerror(95)


def test_services_must_exist_and_not_start_at_boot(root: Path) -> None:
    assert of_module(root, db(services=("redis",)))[0].level is Level.ERROR
    (root / "etc/init.d/redis").touch()
    assert of_module(root, db(services=("redis",))) == []
    (root / "etc/rc2.d/S05redis").touch()
    assert of_module(root, db(services=("redis",)))[0].level is Level.WARNING
    (root / "etc/rc2.d/S05redis").unlink()
    (root / "etc/systemd/system/multi-user.target.wants/redis.service").symlink_to("/nowhere")
    found = of_module(root, db(services=("redis",)))
    assert found[0].level is Level.WARNING
    assert "disable redis" in found[0].remedy


def test_an_instance_of_a_template_is_a_service(root: Path) -> None:
    (root / "lib/systemd/system").mkdir(parents=True)
    (root / "lib/systemd/system/postgresql@.service").touch()
    assert of_module(root, db(services=("postgresql@15-main",))) == []


def test_must_exist_and_interface(root: Path) -> None:
    assert of_module(root, db(must_exist=("/srv/db/PG_VERSION",)))[0].level is Level.WARNING
    (root / "srv/db/PG_VERSION").touch()
    assert of_module(root, db(must_exist=("/srv/db/PG_VERSION",))) == []
    address = AddressConfig("10.0.0.1", 24, interface="eth7")
    assert "eth7" in of_module(root, db(addresses=(address,)))[0].says


def test_a_farm_needs_nft_and_what_any_module_needs(root: Path) -> None:
    addresses = (AddressConfig("10.0.0.1", 24, interface="eth7"),)
    rules = (RuleConfig(Protocol.TCP, 80, 80),)
    web = FarmConfig("web", ModuleKind.FARM, ("a", "b"), addresses, rules, services=("nginx",))
    assert [f.subject for f in of_module(root, web)] == ["web: nftables", "web: service nginx", "web: address"]
    (root / "usr/sbin").mkdir(parents=True)
    (root / "usr/sbin/nft").touch()
    (root / "etc/init.d/nginx").touch()
    (root / "sys/class/net/eth7").mkdir(parents=True)
    assert of_module(root, web) == []


@pytest.mark.parametrize(("used", "warns"), [(499, False), (500, True), (1000, True)])
def test_a_farm_needs_room_for_its_connections(root: Path, used: int, warns: bool) -> None:
    (root / "usr/sbin").mkdir(parents=True)
    (root / "usr/sbin/nft").touch()
    kernel = root / "proc/sys/net/netfilter"
    kernel.mkdir(parents=True)
    (kernel / "nf_conntrack_count").write_text(f"{used}\n")
    (kernel / "nf_conntrack_max").write_text("1000\n")
    addresses, rules = (AddressConfig("10.0.0.1", 24),), (RuleConfig(Protocol.TCP, 80, 80),)
    web = FarmConfig("web", ModuleKind.FARM, ("a", "b"), addresses, rules)
    found = [(f.subject, f.level) for f in of_module(root, web)]
    assert found == ([("web: connections", Level.WARNING)] if warns else [])


KEEPALIVE, STALE = "keepalives", "stale"


@pytest.mark.parametrize(
    ("version", "bugs"),
    [
        ("3.4.23", [KEEPALIVE, STALE]),
        ("3.4.37", [KEEPALIVE, STALE]),
        ("3.4.38", [STALE]),
        ("3.4.41", [STALE]),
        ("3.4.42", []),
        ("3.5.22", [KEEPALIVE, STALE]),
        ("3.5.23", [STALE]),
        ("3.5.28", []),
        ("3.6.4", [KEEPALIVE, STALE]),
        ("3.6.5", [STALE]),
        ("3.6.9", []),
        ("3.7.0", []),
        ("4.0.0", []),
        ("3.3.25", [KEEPALIVE, STALE]),
        ("nonsense", [KEEPALIVE, STALE]),
        ("3.6.9-rc.1", []),
    ],
)
def test_known_bugs_by_version(version: str, bugs: list[str]) -> None:
    found = known_bugs(version)
    assert len(found) == len(bugs)
    assert all(bug in text for bug, text in zip(bugs, found, strict=True))


def voter(name: str, host: str) -> Member:
    return Member(name, (f"http://{host}:2380",), True)


THREE = (voter("a", "10.0.0.1"), voter("b", "10.0.0.2"), voter("w", "10.0.0.3"))


def endpoints(*versions: str) -> list[Endpoint]:
    return [Endpoint(f"10.0.0.{i}:2379", v, "" if v else "refused") for i, v in enumerate(versions, 1)]


def test_three_voters_on_three_hosts_are_in_order() -> None:
    assert bad(look(endpoints("3.6.9", "3.6.9", "3.6.9"), THREE)) == []


def test_no_endpoint_answers() -> None:
    found = list(look(endpoints("", ""), None))
    assert [f.level for f in found] == [Level.ERROR]
    assert "10.0.0.1:2379: refused; 10.0.0.2:2379: refused" in found[0].says


def test_one_endpoint_does_not_answer() -> None:
    found = bad(look(endpoints("3.6.9", "", "3.6.9"), THREE))
    assert [(f.level, f.subject) for f in found] == [(Level.WARNING, "etcd 10.0.0.2:2379")]


def test_a_member_that_answers_and_is_not_well_is_an_error() -> None:
    first, *others = endpoints("3.6.9", "3.6.9", "3.6.9")
    [found] = bad(look([dataclasses.replace(first, unwell="ALARM NOSPACE"), *others], THREE))
    assert (found.level, found.subject) == (Level.ERROR, "etcd 10.0.0.1:2379")
    assert "ALARM NOSPACE" in found.says and "its database is full" in found.remedy


def test_an_old_server_is_named_with_the_release_to_take() -> None:
    found = bad(look(endpoints("3.4.23", "3.6.9", "3.6.9"), THREE))
    assert {f.level for f in found} == {Level.WARNING}
    assert all("3.4.42" in f.remedy for f in found)


def test_the_faults_of_a_release_are_one_warning_whatever_the_number_of_its_members() -> None:
    [found] = bad(look(endpoints("3.4.23", "3.4.23", "3.4.23"), THREE))
    assert (found.level, found.subject) == (Level.WARNING, "etcd version")
    assert all(word in found.says for word in (KEEPALIVE, STALE, "10.0.0.1:2379, 10.0.0.2:2379, 10.0.0.3:2379"))
    assert found.remedy.startswith("Nothing, if Mirrorfarm alone uses it.")


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_voters(count: int) -> None:
    found = bad(look(endpoints(*["3.6.9"] * 3), THREE[:count]))
    assert [f.level for f in found] == [Level.WARNING]
    assert "witness" in found[0].remedy


def test_a_learner_does_not_vote() -> None:
    learner = Member("w", ("http://10.0.0.3:2380",), False)
    assert "2 voters" in bad(look(endpoints(*["3.6.9"] * 3), (*THREE[:2], learner)))[0].says


@pytest.mark.parametrize("host", ["10.0.0.1", "[fd77::1]", "localhost"])
def test_two_voters_on_one_host(host: str) -> None:
    members = (voter("a", host), Member("b", (f"https://{host}:3380",), True), voter("w", "10.0.0.3"))
    found = bad(look(endpoints(*["3.6.9"] * 3), members))
    assert len(found) == 1
    assert found[0].says.startswith("a, b are on one host")


def test_too_few_endpoints_and_an_even_number_are_notes() -> None:
    four = (*THREE, voter("x", "10.0.0.4"))
    assert [f.level for f in bad(look(endpoints("3.6.9"), four))] == [Level.NOTE, Level.NOTE]
    assert [f.level for f in bad(look(endpoints("3.6.9"), None))] == [Level.WARNING]


def test_a_members_certificate_that_is_soon_over_is_said_from_any_node() -> None:
    first, *others = endpoints("3.6.9", "3.6.9", "3.6.9")
    for days, level in ((61, None), (59, Level.WARNING)):
        ends = dataclasses.replace(first, not_after=NOW + datetime.timedelta(days=days))
        found = bad(look([ends, *others], THREE))
        assert [f.level for f in found] == ([] if level is None else [level])
        assert all(ends.endpoint in f.subject and "etcd renew" in f.remedy for f in found)


def test_the_worst_decides() -> None:
    assert worst([]) is Level.OK
    assert worst([ok("", ""), note("", ""), warning("", "", ""), note("", "")]) is Level.WARNING
    assert worst([error("", "", ""), warning("", "", "")]) is Level.ERROR
