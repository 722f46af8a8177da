"""Settings of the kernel that hurt are named; those that a machine comes with are not."""

from pathlib import Path

import pytest

from manager.cli.checks.finding import Level
from manager.cli.checks.kernel_settings import held_writes, taken_ports
from manager.cli.checks.ports import Port, User


def sysctl(root: Path, **settings: str) -> Path:
    for name, value in settings.items():
        file = root / "proc/sys" / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return root


def port(number: int, *, lasts: bool = True) -> Port:
    setting = "set [replication] port in module.toml."
    return Port("TCP", number, User.REPLICATOR, "the stream of db", "No copy is made.", setting, lasts=lasts)


@pytest.mark.parametrize("settings", [{}, {"fs__fuse__max_request_timeout": "0", "kernel__hung_task_panic": "0"}])
def test_what_a_machine_comes_with_is_fine(tmp_path: Path, settings: dict[str, str]) -> None:
    assert list(held_writes(sysctl(tmp_path, **settings))) == []


def test_what_ends_a_write_that_is_held_is_named(tmp_path: Path) -> None:
    root = sysctl(tmp_path, fs__fuse__default_request_timeout="30", kernel__hung_task_panic="1")
    timeout, panic = held_writes(root)
    assert timeout.level is panic.level is Level.WARNING
    assert timeout.subject == "fs.fuse.default_request_timeout" and "held for 30 s" in timeout.says
    assert panic.subject == "kernel.hung_task_panic" and "restart" in panic.says


def test_a_port_that_a_connection_may_take_is_named(tmp_path: Path) -> None:
    root = sysctl(tmp_path, net__ipv4__ip_local_port_range="32768\t60999", net__ipv4__ip_local_reserved_ports="")
    (found,) = taken_ports(root, [port(9800), port(40000), port(41000, lasts=False)])
    assert found.subject == "TCP port 40000" and "32768 to 60999" in found.says
    assert found.remedy.endswith("set [replication] port in module.toml.")
    for reserved in ("40000", "1-5,39999-40001"):
        sysctl(root, net__ipv4__ip_local_reserved_ports=reserved)
        assert list(taken_ports(root, [port(40000)])) == []


def test_a_kernel_without_them_says_nothing(tmp_path: Path) -> None:
    assert list(taken_ports(tmp_path, [port(40000)])) == []
