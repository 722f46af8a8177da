"""What a member's file says, and that whoever is to read it does."""

import ipaddress
import shlex
from pathlib import Path

import pytest

from manager.cli.checks.etcd import QUICK_ELECTION_MS
from manager.cli.checks.local_etcd import DEFAULTS_FILE, election_timeout
from manager.etcd_setup.plan import Asked, make_plan
from manager.etcd_setup.settings import (
    DEBIAN_FILE,
    agent_section,
    member_environment,
    member_file,
    read_root_file,
    root_file,
    scp_target,
    ssh_target,
)
from manager.model.config import parse_agent_config
from manager.model.errors import ConfigError

PLAN = make_plan("main", Asked(("a=10.0.0.1", "b=10.0.0.2", "witness=fd00::3")), "mirrorfarm-main-1234")
A, _, WITNESS = PLAN.members


def test_both_listeners_want_certificates_of_the_authority_that_are_not_revoked() -> None:
    found = member_environment(PLAN, A)
    for listener in ("ETCD", "ETCD_PEER"):
        assert found[f"{listener}_CLIENT_CERT_AUTH"] == "true"
        assert found[f"{listener}_TRUSTED_CA_FILE"] == "/etc/etcd/authority.crt"
        assert found[f"{listener}_CERT_FILE"] == "/etc/etcd/etcd.crt"
        assert found[f"{listener}_KEY_FILE"] == "/etc/etcd/etcd.key"
    assert found["ETCD_CLIENT_CRL_FILE"] == found["ETCD_PEER_CRL_FILE"] == "/etc/etcd/etcd.crl"
    assert found["ETCD_PEER_CERT_ALLOWED_CN"] == "etcd.main"


def test_nothing_is_said_in_plain() -> None:
    for member in PLAN.members:
        urls = [value for name, value in member_environment(PLAN, member).items() if name.endswith("URLS")]
        assert len(urls) == 4
        assert all(url.startswith("https://") for url in urls)


def test_a_member_is_found_at_its_address() -> None:
    found = member_environment(PLAN, WITNESS)
    assert found["ETCD_LISTEN_CLIENT_URLS"] == found["ETCD_ADVERTISE_CLIENT_URLS"] == "https://[fd00::3]:2379"
    assert found["ETCD_LISTEN_PEER_URLS"] == found["ETCD_INITIAL_ADVERTISE_PEER_URLS"] == "https://[fd00::3]:2380"
    everybody = "a=https://10.0.0.1:2380,b=https://10.0.0.2:2380,witness=https://[fd00::3]:2380"
    assert found["ETCD_INITIAL_CLUSTER"] == everybody
    assert found["ETCD_INITIAL_CLUSTER_TOKEN"] == "mirrorfarm-main-1234"


def test_an_election_is_as_quick_as_check_wants_it(tmp_path: Path) -> None:
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / DEFAULTS_FILE).write_text(member_file(PLAN, A))
    assert f"/{DEFAULTS_FILE}" == DEBIAN_FILE
    found = election_timeout(tmp_path)
    assert found is not None and found.milliseconds == QUICK_ELECTION_MS
    # etcd refuses less than five of them in an election timeout (etcd 3.4, embed/config.go).
    assert 5 * int(member_environment(PLAN, A)["ETCD_HEARTBEAT_INTERVAL"]) <= QUICK_ELECTION_MS


def test_a_shell_and_systemd_read_the_same() -> None:
    for line in member_file(PLAN, WITNESS).splitlines():
        if not line.startswith("#"):
            assert shlex.split(line) == [line]


def test_the_administrators_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_root_file(root_file(PLAN, f"{tmp_path}/with space")) == ("main", PLAN.endpoints)


@pytest.mark.parametrize("text", ["", "ETCDCTL_ENDPOINTS=\nMIRRORFARM_CLUSTER=main\n", "A='", "ETCDCTL_ENDPOINTS=x:1"])
def test_an_administrators_file_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError):
        read_root_file(text)


def test_an_agent_takes_what_it_is_told_to_take() -> None:
    text = 'cluster = "main"\nnode = "a"\n' + agent_section(PLAN, "/etc/mirrorfarm/pki")
    etcd = parse_agent_config(text).etcd
    assert etcd.endpoints == PLAN.endpoints
    assert (etcd.ca_file, etcd.user) == ("/etc/mirrorfarm/pki/authority.crt", "")
    assert (etcd.cert_file, etcd.key_file) == ("/etc/mirrorfarm/pki/node.crt", "/etc/mirrorfarm/pki/node.key")


def test_where_ssh_and_scp_go() -> None:
    assert (ssh_target("10.0.0.1"), scp_target("10.0.0.1")) == ("root@10.0.0.1", "root@10.0.0.1")
    six = str(ipaddress.ip_address("fd00::3"))
    assert (ssh_target(six), scp_target(six)) == ("root@fd00::3", "root@[fd00::3]")
