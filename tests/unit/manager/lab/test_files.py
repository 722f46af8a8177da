from manager.lab.files import agent_toml, etcd_environment, hosts, module_toml
from manager.lab.layout import make_layout
from manager.model.config import parse_agent_config
from tests.support.configurations import mirror

LAYOUT = make_layout(("a", "b", "c"), "/lab")


def test_the_agents_configuration_is_one() -> None:
    config = parse_agent_config(agent_toml(LAYOUT, LAYOUT.machine("b"), 3))
    assert (config.cluster, config.node, config.lease.ttl_ms) == ("lab", "b", 3_000)
    assert config.etcd.endpoints[0] == "10.77.0.2:2379"
    assert config.network.addresses == ("10.77.0.2", "fd77::2")


def test_the_example_module_is_one_and_on_the_first_two_nodes() -> None:
    config = mirror(module_toml(LAYOUT))
    assert (config.name, config.nodes, config.directories) == ("db", ("a", "b"), ("/srv/db",))
    assert config.addresses[0].cidr == "10.77.0.100/24"


def test_every_member_of_etcd_names_all_three() -> None:
    for machine in LAYOUT.etcd_members:
        text = etcd_environment(LAYOUT, machine, "x86_64")
        assert f"ETCD_NAME={machine.name}\n" in text
        assert "a=http://10.77.0.1:2380,b=http://10.77.0.2:2380,witness=http://10.77.0.250:2380" in text
        assert "UNSUPPORTED" not in text


def test_etcd_on_arm_is_told_that_it_may_run() -> None:
    assert "ETCD_UNSUPPORTED_ARCH=arm64\n" in etcd_environment(LAYOUT, LAYOUT.machine("a"), "aarch64")


def test_machines_know_one_another_by_name() -> None:
    assert "10.77.0.200 client\n" in hosts(LAYOUT)
