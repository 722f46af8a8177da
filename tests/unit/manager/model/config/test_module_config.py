"""module.toml and scripts/: the least module, and every mistake named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.config import AddressConfig, InvalidConfig, ModuleConfig, parse_module, refuse_conflicts
from manager.model.config.durations import format_duration, parse_duration_ms
from manager.model.states import ModuleKind
from tests.support.configurations import mirror

LEAST = """name = "db"
kind = "mirror"
nodes = ["a", "b"]
directories = ["/srv/db"]

[[address]]
ip = "10.77.0.100/24"
"""
BARE = LEAST.partition("\n[[")[0] + "\n"
SH = "#!/bin/sh\n"


def findings(text: str, scripts: dict[str, str] | None = None) -> str:
    with pytest.raises(InvalidConfig) as raised:
        parse_module(text, scripts or {})
    for line in str(raised.value).splitlines():
        assert line.startswith("module.toml: ")
        assert ": found " in line
        assert "; allowed: " in line
    return str(raised.value)


def test_the_least_module_works_as_it_stands() -> None:
    assert parse_module(LEAST, {}) == ModuleConfig(
        "db", ModuleKind.MIRROR, ("a", "b"), ("/srv/db",), addresses=(AddressConfig("10.77.0.100", 24),)
    )


@pytest.mark.parametrize(
    ("text", "where", "found", "allowed"),
    [
        (BARE.replace('"mirror"', '"light"'), "kind", '"light"', "is for a later release"),
        (BARE.replace('"mirror"', '"miror"'), "kind", '"miror"', '"mirror"'),
        (BARE.replace('["a", "b"]', '["a"]'), "nodes", '["a"]', "2 different nodes"),
        (BARE.replace('["a", "b"]', '["a", "a"]'), "nodes[1]", '"a" again', "each entry once"),
        (BARE.replace("/srv/db", "/srv/db/"), "directories[0]", '"/srv/db/"', "shortest form"),
        (BARE.replace("/srv/db", "/"), "directories[0]", '"/"', 'not "/"'),
        (BARE.replace("/srv/db", "/usr"), "directories", '"/usr"', "not of the system"),
        (BARE.replace("/srv/db", "/var/lib"), "directories", '"/var/lib"', "apart from Mirrorfarm's own"),
        (BARE.replace('["/srv/db"]', '["/srv", "/srv/db"]'), "directories", '"/srv/db" inside "/srv"', "one another"),
        (BARE + 'exclude = ["tmp"]\n', "exclude", '["tmp"]', "later release"),
        (BARE + 'initial_primary = "c"\n', "initial_primary", '"c"', '"a" or "b"'),
        (BARE + 'preferred_primary = "c"\n', "preferred_primary", '"c"', '"a" or "b"'),
        (BARE + 'after_power_loss = "stay"\n', "after_power_loss", '"stay"', '"start" or "wait"'),
        (BARE + 'failover = "maybe"\n', "failover", '"maybe"', '"on" or "off"'),
        (BARE + 'must_exist = ["/etc/passwd"]\n', "must_exist", '"/etc/passwd"', 'paths in "/srv/db"'),
        (BARE + 'services = ["../x"]\n', "services[0]", '"../x"', "the name of a service"),
        (BARE + "[replication]\nport = 70000\n", "replication.port", "70000", "from 0 to 65535"),
        (BARE + '[replication]\nacknowledge = "never"\n', "replication.acknowledge", '"never"', '"memory" or "disk"'),
        (BARE + '[replication]\npeer_timeout = "1 ms"\n', "replication.peer_timeout", '"1 ms"', "500 ms"),
        (BARE + '[env]\nNODE = "x"\n', "env.NODE", "a name that the agent sets itself", "any but"),
        (BARE + '[env]\n"a b" = "x"\n', "env.a b", "the name", "letters, digits"),
        (BARE + "[[address]]\n", "address[0].ip", "nothing", "prefix length"),
        (BARE + '[[address]]\nip = "10.0.0.1"\n', "address[0].ip", '"10.0.0.1"', "prefix length"),
        (BARE + '[[address]]\nip = "10.0.0.0/24"\n', "address[0].ip", "the network's own address", "one node can have"),
        (BARE + '[[address]]\nip = "127.0.0.1/8"\n', "address[0].ip", "loopback", "one node can have"),
        (BARE + '[[address]]\nip = "ff02::1/64"\n', "address[0].ip", "multicast", "one node can have"),
        (LEAST + '[[address]]\nip = "10.77.0.100/25"\n', "address[1].ip", "10.77.0.100 again", "each address once"),
        (BARE + "directory = 1\n", "directory", "an unknown key", '"directories" is the nearest'),
    ],
)
def test_each_mistake_is_named(text: str, where: str, found: str, allowed: str) -> None:
    told = findings(text)
    line = next((f for f in told.splitlines() if f.startswith(f"module.toml: {where}: ")), "")
    assert found in line.partition("; allowed: ")[0]
    assert allowed in line.partition("; allowed: ")[2]


DIGITS = "9" * 5000
"""More than Python makes a number of, or writes one with, since that takes too long."""


@pytest.mark.parametrize(
    "text",
    [
        f"name = {DIGITS}\n",
        f"name = 0x{'f' * 5000}\n",
        BARE + f"[replication]\nport = 0x{'f' * 5000}\n",
        BARE.replace('["a", "b"]', f"[0x{'f' * 5000}]"),
    ],
    ids=["decimal", "hexadecimal", "of a number", "in a list"],
)
def test_what_toml_has_and_python_has_not_is_a_finding(text: str) -> None:
    """Whoever reads it is an agent: all of a cluster's would end of what is none."""
    assert len(findings(text)) < 1000


def test_what_is_nested_is_a_finding_however_deep() -> None:
    for depth in (1, 10, 100, *range(300, 600, 3), 10_000):
        told = findings(BARE.replace('["a", "b"]', "[" * depth + "]" * depth))
        assert told.startswith("module.toml") and len(told.splitlines()[0]) < 500


@pytest.mark.parametrize(
    ("scripts", "what"),
    [
        ({"start_prin": SH}, "scripts/start_prin: found a script that this release does not run"),
        ({"start_prim": "echo"}, "scripts/start_prim: found no interpreter in its first line"),
        ({"start_prim": SH + "\0"}, "scripts/start_prim: found the character NUL"),
        ({"start_prim": SH + "\ud800"}, "half of a surrogate pair in module.toml or a script"),
        ({"start_prim": SH + "x" * (512 << 10)}, "KiB of module.toml and scripts together"),
    ],
)
def test_scripts_are_checked(scripts: dict[str, str], what: str) -> None:
    assert what in findings(LEAST, scripts)


def test_services_and_scripts_that_start_exclude_one_another() -> None:
    told = findings(BARE + 'services = ["x"]\n', {"start_prim": SH})
    assert "services, and scripts/start_prim too" in told
    parse_module(BARE + 'services = ["x"]\n', {"prestart": SH, "poststop": SH})


def module(name: str, directory: str = "/srv/db", ip: str = "", nodes: str = '["a", "b"]') -> ModuleConfig:
    text = f'name = "{name}"\nkind = "mirror"\nnodes = {nodes}\ndirectories = ["{directory}"]\n'
    return mirror(text + (f'[[address]]\nip = "{ip}"\n' if ip else ""))


@pytest.mark.parametrize("directory", ["/srv/db", "/srv", "/srv/db/x"])
def test_directories_of_another_module_on_the_same_node_are_refused(directory: str) -> None:
    with pytest.raises(InvalidConfig, match='module two has "/srv/db" on the same node'):
        refuse_conflicts(module("one", directory), [module("two")], {})
    refuse_conflicts(module("one", directory), [module("two", nodes='["c", "d"]')], {})


def test_an_address_of_another_module_is_refused_wherever_it_runs() -> None:
    other = module("two", ip="10.0.0.9/24", nodes='["c", "d"]')
    with pytest.raises(InvalidConfig, match="an address of module two"):
        refuse_conflicts(module("one", ip="10.0.0.9/25"), [other], {})


def test_an_address_of_a_node_is_refused_though_the_module_is_not_for_it() -> None:
    nodes = {"a": ("10.0.0.1", "fd00::1"), "c": ("10.0.0.3", "FD00:0::3", "c.example")}
    for ip in ("10.0.0.3/24", "fd00::3/64"):
        with pytest.raises(InvalidConfig, match=r"address\[0\]\.ip: found [^,]+, which node c has by itself"):
            refuse_conflicts(module("one", ip=ip), [], nodes)
    refuse_conflicts(module("one", ip="10.0.0.30/24"), [], nodes)


def test_a_modules_former_self_is_no_conflict() -> None:
    refuse_conflicts(module("one"), [module("one")], {})


@given(st.integers(0, 10**9))
def test_durations_are_read_back(milliseconds: int) -> None:
    assert parse_duration_ms(format_duration(milliseconds)) == milliseconds


@pytest.mark.parametrize("text", ["", "10", "10 x", "-1 s", "1e3 s", "0.0001 s", "\u0661 s", "1  s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="found"):
        parse_duration_ms(text)
