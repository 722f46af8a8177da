"""What of a module its application is: the same object, whatever the kind."""

from manager.model.config import SCRIPT_NAMES, ApplicationConfig, ScriptsConfig, application_of, parse_module

SH = "#!/bin/sh\n"
MIRROR = 'name = "db"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/db", "/srv/x"]\n'
FARM = """name = "web"
kind = "farm"
nodes = ["a", "b"]
services = ["nginx"]
[[address]]
ip = "10.77.0.100/24"
[[rule]]
protocol = "tcp"
ports = "80"
[scripts]
stop_timeout = "3 s"
[env]
PORT = "80"
"""


def test_a_mirrors_application_is_started_where_its_data_is() -> None:
    application = application_of(parse_module(MIRROR, {"start_prim": SH, "fence": SH}))
    assert application == ApplicationConfig(
        "db", "start_prim", "stop_prim", ("/srv/db", "/srv/x"), (), ScriptsConfig(), {},
        {"start_prim": SH, "fence": SH},
    )  # fmt: skip


def test_a_farms_application_is_started_on_each_node_and_has_no_directories() -> None:
    application = application_of(parse_module(FARM, {"prestart": SH}))
    limits = ScriptsConfig(stop_timeout_ms=3000)
    assert application == ApplicationConfig(
        "web", "start_both", "stop_both", (), ("nginx",), limits, {"PORT": "80"}, {"prestart": SH}
    )


def test_a_script_of_both_kinds_has_one_name() -> None:
    assert SCRIPT_NAMES == ("prestart", "start_prim", "stop_prim", "poststop", "fence", "start_both", "stop_both")
