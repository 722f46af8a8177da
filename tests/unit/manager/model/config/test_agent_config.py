"""agent.toml: every default, and every mistake named with file, key, what was found and what is allowed."""

import pytest

from manager.model.config import AgentConfig, InvalidConfig, LogTarget, parse_agent_config
from manager.model.config.parse_agent import default_timing

LEAST = 'cluster = "main"\nnode = "a"\n'


def findings(text: str) -> str:
    with pytest.raises(InvalidConfig) as raised:
        parse_agent_config(text, "/etc/x.toml")
    for line in str(raised.value).splitlines():
        assert line.startswith("/etc/x.toml")
        assert ": found " in line
        assert "; allowed: " in line
    return str(raised.value)


def test_two_keys_are_enough() -> None:
    assert parse_agent_config(LEAST) == AgentConfig(cluster="main", node="a")


@pytest.mark.parametrize("ttl_ms", [2_000, 3_000, 5_000, 10_000, 60_000, 300_000])
def test_the_default_timing_of_every_ttl_holds(ttl_ms: int) -> None:
    config = parse_agent_config(f'{LEAST}[lease]\nttl = "{ttl_ms // 1000} s"\n')
    call_ms, lease = default_timing(ttl_ms)
    assert (config.lease, config.etcd.call_timeout_ms) == (lease, call_ms)
    assert lease.renew_interval_ms + 2 * call_ms + lease.stop_budget_ms + lease.margin_ms <= ttl_ms


def test_timing_that_does_not_fit_shows_the_sum() -> None:
    told = findings(f'{LEAST}[lease]\nttl = "5 s"\nrenew_interval = "4 s"\n')
    assert "renew_interval 4 s + 2 x etcd.call_timeout 1 s + stop_budget 1.25 s + margin 500 ms = 7.75 s" in told
    assert "which is more than ttl 5 s" in told


@pytest.mark.parametrize(
    ("text", "where", "found", "allowed"),
    [
        ("", "cluster", "nothing, and it has no default", "a name"),
        ('cluster = "main"\nnode = "9"\n', "node", '"9"', "a letter, then"),
        (LEAST + "nodes = 3\n", "nodes", "an unknown key", '"node" is the nearest'),
        (LEAST + "[lease]\nttl = 10\n", "lease.ttl", "10", "a duration"),
        (LEAST + '[lease]\nttl = "1 s"\n', "lease.ttl", '"1 s"', "from 2 s to 5 min"),
        (LEAST + '[lease]\nttl = "2.5 s"\n', "lease.ttl", '"2.5 s"', "whole seconds"),
        (LEAST + "[etcd]\nendpoints = []\n", "etcd.endpoints", "[]", "at least one entry"),
        (LEAST + '[etcd]\nendpoints = ["10.0.0.1"]\n', "etcd.endpoints[0]", '"10.0.0.1"', '"host:port"'),
        (LEAST + '[etcd]\nendpoints = ["a:1", "a:1"]\n', "etcd.endpoints[1]", '"a:1" again', "each entry once"),
        (LEAST + '[etcd]\nuser = "root"\n', "etcd.user", '"root"', "password_file is missing"),
        (LEAST + '[etcd]\ncert_file = "/c"\nkey_file = "/k"\n', "etcd.cert_file", '"/c"', "only with ca_file"),
        (LEAST + "etcd = 3\n", "etcd", "3", "a table, begun by [etcd]"),
        (LEAST + '[network]\naddresses = ["fe80::1%eth0"]\n', "network.addresses[0]", "%eth0", "an IP address"),
        (LEAST + "[network]\nprobe_port = 0\n", "network.probe_port", "0", "a whole number from 1 to 65535"),
        (LEAST + '[paths]\nrun = "run"\n', "paths.run", '"run"', "an absolute path"),
        (LEAST + f'[paths]\nrun = "/{"x" * 60}"\n', "paths.run", "xxx", "at most 50 bytes"),
        (LEAST + '[paths]\nrun = "/r"\nlog = "/r"\n', "paths.run", '"/r"', "three different directories"),
        (LEAST + '[log]\nlevel = "loud"\n', "log.level", '"loud"', '"debug", "info", "warning" or "error"'),
        (LEAST + '[log]\nto = "syslog"\n', "log.to", '"syslog"', "a list in [ ]"),
        (LEAST + "[log]\nto = []\n", "log.to", "[]", 'at least one entry, each "file" or "syslog"'),
        (LEAST + '[log]\nto = ["file", "journal"]\n', "log.to[1]", '"journal"', '"file" or "syslog"'),
        (LEAST + '[log]\nto = ["file", "file"]\n', "log.to[1]", '"file" again', "each entry once"),
        (LEAST + '[log]\nsyslog_socket = "log"\n', "log.syslog_socket", '"log"', "an absolute path"),
        (LEAST + f'[log]\nsyslog_socket = "/{"x" * 107}"\n', "log.syslog_socket", "xxx", "at most 107 bytes"),
        (LEAST + '[socket]\ngroup = ""\n', "socket.group", '""', "a group"),
        ("cluster = main\n", "", "a mistake in the TOML", "TOML 1.0"),
    ],
)
def test_each_mistake_is_named(text: str, where: str, found: str, allowed: str) -> None:
    told = findings(text)
    line = next((f for f in told.splitlines() if f.startswith(f"/etc/x.toml: {where}" if where else "/etc/x.toml")), "")
    assert found in line.partition("; allowed: ")[0]
    assert allowed in line.partition("; allowed: ")[2]


def test_where_it_logs_is_a_list_of_words() -> None:
    log = parse_agent_config(f'{LEAST}[log]\nto = ["syslog", "file"]\nsyslog_socket = "/run/log"\n').log
    assert log.to == (LogTarget.SYSLOG, LogTarget.FILE) and log.syslog_socket == "/run/log"


def test_all_mistakes_are_told_at_once() -> None:
    assert len(findings('cluster = 1\n[log]\nlevel = "x"\n[sockets]\n').splitlines()) == 4
