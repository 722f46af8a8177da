"""The commented examples in etc/ load as they are, and what they show as defaults are the defaults."""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from manager.config_files import load_agent_config, load_module_folder
from manager.model.config import (
    AgentConfig,
    FarmConfig,
    ModuleConfig,
    RuleConfig,
    parse_agent_config,
    parse_module,
    variable_of,
)
from manager.model.config.application_config import START_AND_STOP
from manager.model.config.own_keys import OWN_KEYS
from manager.model.states import ModuleKind
from tests.support.configurations import farm, mirror

ETC = Path(__file__).parents[2] / "etc"
AGENT = ETC / "agent.toml"
MODULES = sorted(p.parent for p in ETC.glob("modules/*/module.toml"))
_COMMENTED_KEY = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)


def uncommented(text: str) -> str:
    return _COMMENTED_KEY.sub("", text)


def keys_of(record: Any) -> set[str]:
    names = (f.name.removesuffix("_ms").removesuffix("_bytes_s") for f in dataclasses.fields(record))
    return {name.removesuffix("_bytes") for name in names}


def test_agent_example_loads_and_is_the_defaults() -> None:
    assert load_agent_config(AGENT) == AgentConfig(cluster="main", node="a")


def test_agent_example_uncommented_is_the_defaults() -> None:
    assert parse_agent_config(uncommented(AGENT.read_text())) == AgentConfig(cluster="main", node="a")


def test_agent_example_has_every_key() -> None:
    shown = tomllib.loads(uncommented(AGENT.read_text()))
    config = AgentConfig(cluster="main", node="a")
    assert set(shown) == keys_of(config)
    for name, section in shown.items():
        if isinstance(section, dict):
            assert set(section) == keys_of(getattr(config, name)), name


def test_there_are_module_examples() -> None:
    assert [m.name for m in MODULES] == ["farm", "mirror", "nginx", "postgresql"]


@pytest.mark.parametrize("folder", MODULES, ids=lambda p: p.name)
def test_module_example_loads(folder: Path) -> None:
    toml, scripts = load_module_folder(folder)
    assert parse_module(toml, scripts).nodes == ("a", "b")


@pytest.mark.parametrize("script", sorted(ETC.glob("modules/*/scripts/*")), ids=lambda p: f"{p.parts[-3]}/{p.name}")
def test_scripts_of_examples_can_be_run(script: Path) -> None:
    assert script.stat().st_mode & 0o111 == 0o111


def test_the_web_servers_depend_on_the_database_of_the_other_template() -> None:
    servers = farm(*load_module_folder(ETC / "modules" / "nginx"))
    database = mirror(*load_module_folder(ETC / "modules" / "postgresql"))
    assert servers.depends == (database.name,)
    assert variable_of(database.name) in servers.scripts[START_AND_STOP[ModuleKind.FARM][0]]
    assert {a.ip for a in servers.addresses}.isdisjoint(a.ip for a in database.addresses)


def mirror_example() -> tuple[str, dict[str, str]]:
    return load_module_folder(ETC / "modules" / "mirror")


def test_mirror_example_uncommented_is_the_defaults() -> None:
    toml, scripts = mirror_example()
    plain = mirror(toml, scripts)
    assert mirror(uncommented(toml), scripts) == plain
    least = ModuleConfig(plain.name, plain.kind, plain.nodes, plain.directories)
    assert dataclasses.replace(least, addresses=plain.addresses, env=plain.env, scripts=plain.scripts) == plain
    address = plain.addresses[0]
    assert dataclasses.replace(type(address)(address.ip, address.prefix_length)) == address


def test_mirror_example_has_every_key() -> None:
    toml, scripts = mirror_example()
    config = mirror(toml, scripts)
    shown = tomllib.loads(uncommented(toml))
    # In the file the limits are in [scripts] and an address in [[address]].
    renamed = {"limits": "scripts", "addresses": "address"}
    fields = {renamed.get(k, k) for k in keys_of(config) if k != "scripts"}
    assert set(shown) == fields
    assert set(shown["scripts"]) == keys_of(config.limits)
    assert set(shown["replication"]) == keys_of(config.replication)
    assert set(shown["resync"]) == keys_of(config.resync)
    assert set(shown["verify"]) == keys_of(config.verify)
    assert set(shown["address"][0]) == keys_of(config.addresses[0]) - {"prefix_length"}


def farm_example() -> tuple[str, dict[str, str]]:
    return load_module_folder(ETC / "modules" / "farm")


def test_farm_example_uncommented_is_the_defaults() -> None:
    toml, scripts = farm_example()
    plain, shown = farm(toml, scripts), farm(uncommented(toml), scripts)
    assert dataclasses.replace(shown, weights={}) == plain
    assert [shown.weight(node) for node in shown.nodes] == [plain.weight(node) for node in plain.nodes] == [1, 1]
    least = FarmConfig(plain.name, plain.kind, plain.nodes, plain.addresses, plain.rules)
    assert dataclasses.replace(least, env=plain.env, scripts=plain.scripts) == plain
    [address], [rule] = plain.addresses, plain.rules
    assert type(address)(address.ip, address.prefix_length, reset_connections=False) == address
    assert RuleConfig(rule.protocol, rule.first_port, rule.last_port) == rule


def test_farm_example_has_every_key() -> None:
    toml, scripts = farm_example()
    config = farm(toml, scripts)
    shown = tomllib.loads(uncommented(toml))
    renamed = {"limits": "scripts", "addresses": "address", "rules": "rule"}
    assert set(shown) == {renamed.get(k, k) for k in keys_of(config) if k != "scripts"}
    assert set(shown["scripts"]) == keys_of(config.limits)
    assert set(shown["weights"]) == set(config.nodes)
    assert set(shown["address"][0]) == keys_of(config.addresses[0]) - {"prefix_length", "reset_connections"}
    assert set(shown["rule"][0]) == keys_of(config.rules[0]) - {"first_port", "last_port"} | {"ports"}


def test_each_kind_knows_the_others_keys() -> None:
    """A key of one kind that the other's example does not have is named as such, and not as unknown."""
    shown = {}
    for kind in ModuleKind:
        toml, _ = load_module_folder(ETC / "modules" / kind)
        shown[kind] = set(tomllib.loads(uncommented(toml)))
    later = {"exclude"}
    for kind, other in ((ModuleKind.MIRROR, ModuleKind.FARM), (ModuleKind.FARM, ModuleKind.MIRROR)):
        assert set(OWN_KEYS[kind]) - later == shown[kind] - shown[other]
