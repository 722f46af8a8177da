import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from manager.lab.host import Host, Owner
from manager.lab.layout import make_layout
from manager.lab.plan import make_plan
from tests.support.mounts import mount_at

LAYOUT = make_layout(("a", "b"), "/var/lib/lab")
HOST = Host(
    mounts=(mount_at("/", "ext4", "/dev/sda1"), mount_at("/proc", "proc", "proc")),
    project="/home/me/mirrorfarm", etc=str(Path(__file__).parents[4] / "etc"),
    prefix="/home/me/mirrorfarm/.venv", base_prefix="/usr",
    owners={"etcd": Owner(100, 101), "postgres": Owner(102, 103)}, architecture="x86_64",
)  # fmt: skip


def plan_of(name: str, host: Host = HOST) -> dict[str, Any]:
    return make_plan(LAYOUT, LAYOUT.machine(name), host, "/sys/fs/cgroup/lab/x", 3)


def targets(plan: dict[str, Any]) -> list[str]:
    return [arguments[-1].removeprefix(plan["root"]) or "/" for arguments in plan["mounts"]]


def test_a_plan_is_json() -> None:
    assert json.loads(json.dumps(plan_of("a"))) == plan_of("a")


def test_a_node_has_its_own_of_everything_that_is_not_the_hosts() -> None:
    mounted = targets(plan_of("a"))
    for path in ("/srv", "/tmp", "/run", "/var/lib/mirrorfarm", "/etc/mirrorfarm", "/var/lib/postgresql", "/proc"):
        assert path in mounted, path


def test_the_root_comes_first_and_the_project_after_what_may_cover_it() -> None:
    mounted = targets(plan_of("a", replace(HOST, project="/tmp/checkout", prefix="/tmp/checkout/.venv")))
    assert mounted[0] == "/"
    assert mounted.index("/tmp/checkout") > mounted.index("/tmp")
    assert "/tmp/checkout/.venv" not in mounted


def test_a_virtual_environment_elsewhere_and_a_python_of_its_own_are_there_too() -> None:
    mounted = targets(plan_of("a", replace(HOST, prefix="/opt/venv", base_prefix="/root/python")))
    assert {"/home/me/mirrorfarm", "/opt/venv", "/root/python"} <= set(mounted)


def test_nothing_of_the_host_can_be_changed_from_inside() -> None:
    host = replace(HOST, mounts=(*HOST.mounts, mount_at("/home", "ext4", "/dev/sda2")))
    plan = plan_of("a", host)
    for arguments in plan["mounts"]:
        if "--rbind" in arguments:
            assert arguments[1:3] == ["-o", "ro"], arguments
    assert "/home" in targets(plan)


def test_the_other_machines_disks_are_hidden() -> None:
    assert targets(plan_of("a"))[-1] == "/var/lib/lab"


def test_the_witness_and_the_client_have_no_srv() -> None:
    for name in ("witness", "client"):
        plan = plan_of(name)
        assert "/srv" not in targets(plan)
        assert plan["disks"] == ["/", "/var/lib/mirrorfarm"]


def test_files_of_each_role() -> None:
    written = {
        name: {made["path"] for made in plan_of(name)["first_boot_files"]} for name in ("a", "b", "witness", "client")
    }
    assert "/etc/mirrorfarm/agent.toml" in written["a"]
    assert {"/etc/init.d/mirrorfarm-agent", "/etc/mirrorfarm/modules/mirror/scripts/start_prim"} <= written["b"]
    assert "/etc/default/etcd" in written["witness"]
    assert "/etc/mirrorfarm/agent.toml" not in written["witness"]
    assert "/etc/default/etcd" not in written["client"]
