"""``depends``: what may be said, what is refused by the modules that are there, and how scripts are told."""

import pytest

from manager.model.config import (
    AnyModule,
    InvalidConfig,
    application_of,
    dependents_of,
    parse_module,
    refuse_dependencies,
    variable_of,
)
from manager.model.config.dependencies import MOST

MIRROR = 'name = "{name}"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/{name}"]\ndepends = {depends}\n'
FARM = """name = "{name}"
kind = "farm"
nodes = ["a", "b"]
depends = {depends}
[[address]]
ip = "10.77.0.100/24"
[[rule]]
protocol = "tcp"
ports = "80"
"""


def module(name: str, *depends: str, text: str = MIRROR, more: str = "") -> AnyModule:
    listed = ", ".join(f'"{one}"' for one in depends)
    return parse_module(text.format(name=name, depends=f"[{listed}]") + more, {})


def wrong(name: str, *depends: str, text: str = MIRROR, more: str = "") -> str:
    with pytest.raises(InvalidConfig) as raised:
        module(name, *depends, text=text, more=more)
    return str(raised.value)


@pytest.mark.parametrize("text", [MIRROR, FARM])
def test_a_module_of_either_kind_may_depend_on_others(text: str) -> None:
    web = module("web", "db", "queue-1", text=text)
    assert web.depends == ("db", "queue-1")
    assert application_of(web).depends == {"db": (), "queue-1": ()}
    assert module("web", text=text).depends == ()


@pytest.mark.parametrize("text", [MIRROR, FARM])
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    assert 'depends[1]: found "web", which is this module' in wrong("web", "db", "web", text=text)
    assert 'depends[0]: found "1"' in wrong("web", "1", text=text)
    assert '"db" again' in wrong("web", "db", "db", text=text)
    assert f"{MOST + 1} modules; allowed: at most {MOST}" in wrong(
        "web", *(f"m{i}" for i in range(MOST + 1)), text=text
    )


def test_two_names_of_one_variable_are_refused() -> None:
    assert variable_of("my-db") == variable_of("My_db") == "DEPENDS_MY_DB_ADDRESS"
    told = wrong("web", "my-db", "My_db")
    assert 'depends[1]: found "My_db" beside "my-db"' in told and "both would be DEPENDS_MY_DB_ADDRESS" in told


def test_what_the_agent_sets_is_not_set_by_the_module() -> None:
    env = '[env]\nDEPENDS_DB_ADDRESS = "10.0.0.1"\n'
    assert "env.DEPENDS_DB_ADDRESS: found a name that the agent sets itself" in wrong("web", "db", more=env)
    assert module("web", "other", more=env).env == {"DEPENDS_DB_ADDRESS": "10.0.0.1"}


def refused(config: AnyModule, *others: AnyModule, unknown: str = "") -> str:
    there: dict[str, AnyModule | None] = {other.name: other for other in others}
    with pytest.raises(InvalidConfig) as raised:
        refuse_dependencies(config, {**there, unknown: None} if unknown else there)
    return str(raised.value)


def test_a_module_that_is_not_there_is_refused_with_those_that_are() -> None:
    told = refused(module("web", "db", "bd"), module("db"), module("cache"))
    assert told.splitlines() == [
        'module.toml: depends[1]: found "bd", and there is no such module; allowed: a module that is there: '
        '"cache" or "db"'
    ]
    assert "there is no other module yet" in refused(module("web", "db"))
    assert '"newer"' in refused(module("web", "db"), unknown="newer")


def test_one_that_is_there_and_not_understood_may_be_depended_on() -> None:
    refuse_dependencies(module("web", "newer"), {"newer": None})


def test_a_module_that_would_wait_for_itself_is_refused_with_the_way() -> None:
    assert "web -> db -> web" in refused(module("web", "db"), module("db", "web"))
    chain = (module("db", "disk"), module("disk", "log", "web"), module("log"))
    assert "web -> db -> disk -> web" in refused(module("web", "db"), *chain)
    refuse_dependencies(module("log", "clock"), {"clock": module("clock"), **{m.name: m for m in chain}})


def test_its_own_former_configuration_does_not_count() -> None:
    refuse_dependencies(
        module("db", "log"), {"db": module("db", "web"), "web": module("web", "db"), "log": module("log")}
    )


def test_others_that_already_wait_for_each_other_end_the_search() -> None:
    refuse_dependencies(module("web", "x"), {"x": module("x", "y"), "y": module("y", "x")})


def test_who_depends_on_a_module() -> None:
    others = (module("web", "db"), module("shop", "db", text=FARM), module("log"))
    assert dependents_of("db", others) == ("shop", "web")
    assert dependents_of("web", others) == ()
