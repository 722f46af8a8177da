import argparse
import importlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

from manager.cli.exit_codes import ExitCode
from manager.cli.main import COMMANDS, build_parser, command_in, is_of_this_machine, main
from tests.support.certificates import Cluster


@pytest.mark.parametrize(("words", "module"), [(["state"], ""), (["state", "db"], "db")])
def test_state_is_of_all_modules_or_of_one(words: list[str], module: str) -> None:
    assert build_parser(with_lab=False).parse_args(words).module == module


def test_state_refuses_what_is_no_name() -> None:
    with pytest.raises(SystemExit):
        build_parser(with_lab=False).parse_args(["state", "9 lives"])


@pytest.mark.parametrize(
    "words",
    [
        "start db",
        "stop db",
        "restart db",
        "swap db",
        "prim db",
        "maintenance db",
        "why db",
        "wait db PRIM",
        "history db",
        "logs db",
        "verify db",
        "diff db",
        "aside db",
        "farm show db",
    ],
)
def test_every_command_of_the_manual_needs_no_more_than_the_module(words: str) -> None:
    args = build_parser(with_lab=False).parse_args(words.split())
    assert (args.module, getattr(args, "node", "")) == ("db", "")


@pytest.mark.parametrize(
    "words", ["state", "why db --node a", "logs db", "verify db", "start db", "swap db", "history db", "farm show db"]
)
def test_another_nodes_agent_is_asked_for_any_command_of_an_agent(words: str) -> None:
    args = build_parser(with_lab=False).parse_args(["--node", "b", *words.split()])
    assert args.asked == "b" and not is_of_this_machine(args)
    assert getattr(args, "node", "") == ("a" if "--node" in words else "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--operator alice state", "--operator NAME goes with --node NODE"),
        ("--node b --at 10.0.0.2 state", "--at IP goes with --operator NAME"),
    ],
)
def test_an_operator_asks_another_node_and_says_which(
    words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == ExitCode.USAGE
    assert says in capsys.readouterr().err


def test_where_the_channel_is_plain_an_operator_is_refused_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "agent.toml"
    toml.write_text('cluster = "main"\nnode = "a"\n[etcd]\nendpoints = ["10.0.0.1:2379"]\n[tls]\nmode = "off"\n')
    words = ["--config", str(toml), "--node", "b", "--operator", "alice", "state"]
    assert main(words) == ExitCode.FAILED
    said = capsys.readouterr().err
    assert "An operator is known by his certificate" in said and 'tls.mode = "on"' in said
    toml.write_text(toml.read_text().replace('"off"', '"on"'))
    assert main(words) == ExitCode.FAILED
    assert "Operator alice has no certificate here." in capsys.readouterr().err
    toml.write_text(toml.read_text().replace('"on"', '"perhaps"'))
    assert main(words) == ExitCode.FAILED
    said = capsys.readouterr().err
    assert "perhaps" in said and "by default" in said and "has no certificate here" in said
    toml.unlink()
    assert main(words) == ExitCode.FAILED
    assert "by default" not in capsys.readouterr().err, "a machine that is no node has none"


@pytest.mark.parametrize(
    ("typed", "says"),
    [(b"", "has a passphrase, and none was typed"), (b"battery staple\n", "the passphrase is not that of the key"),
     (b"b\xe4ttery staple\n", "no text in UTF-8"), (b"battery" * 200 + b"\n", "is not that of the key"),
     (b"correct horse\n", "Where b is, is not known: The agent of this node does not answer")],
)  # fmt: skip
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_without_a_terminal_a_passphrase_may_come_by_a_pipe_or_is_lacking(
    tmp_path: Path, errors: str, typed: bytes, says: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cluster = Cluster(tmp_path / "pki")
    cluster.operator("alice", b"correct horse")
    toml = tmp_path / "agent.toml"
    toml.write_text(
        f'cluster = "main"\nnode = "a"\n[etcd]\nendpoints = ["10.0.0.1:2379"]\n[tls]\ndirectory = "{tmp_path}/pki"\n'
        '[paths]\nrun = "/nowhere"\n'
    )
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed), "utf-8", errors))
    main(["--config", str(toml), "--node", "b", "--operator", "alice", "state"])
    said = capsys.readouterr().err
    assert says in said and "Warning" not in said


@pytest.mark.parametrize("words", ["check", "boot on", "pki show", "etcd init", "module check /nowhere"])
def test_what_looks_at_this_machine_is_not_asked_of_another_one(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--node", "b", *words.split()]) == ExitCode.USAGE
    assert "looks at this machine itself: run it on b" in capsys.readouterr().err


def test_verify_takes_a_rate_with_its_unit() -> None:
    parse = build_parser(with_lab=False).parse_args
    assert parse(["verify", "db"]).bandwidth is None
    assert parse(["verify", "db", "--bandwidth", "20 MiB/s"]).bandwidth == 20 << 20
    assert parse(["verify", "db", "--bandwidth", "0 MiB/s"]).bandwidth == 0
    with pytest.raises(SystemExit):
        parse(["verify", "db", "--bandwidth", "20"])


def test_a_node_has_a_name() -> None:
    assert build_parser(with_lab=False).parse_args(["prim", "db", "--node", "a"]).node == "a"


@pytest.mark.parametrize("module", COMMANDS)
def test_what_is_loaded_for_a_command_declares_it(module: str) -> None:
    parser = argparse.ArgumentParser()
    declared = parser.add_subparsers()
    importlib.import_module(f"manager.cli.commands.{module}").add(declared)
    assert tuple(declared.choices) == COMMANDS[module]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("state db --json", "state"),
        ("--node b why db", "why"),
        ("--config=/tmp/agent.toml --socket /run/state lab up", "lab"),
        ("--node state wait db PRIM", "wait"),
        ("--node", ""),
        ("--conf /tmp/agent.toml state", ""),
        ("stat", ""),
        ("--help state", ""),
        ("", ""),
    ],
)
def test_the_command_is_found_where_argparse_finds_it(words: str, command: str) -> None:
    assert command_in(words.split()) == command


def test_a_word_that_is_none_is_told_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "maybe"]) == ExitCode.USAGE
    assert "choose from 'on', 'off', 'prev'" in capsys.readouterr().err


def test_a_command_loads_nothing_that_others_need() -> None:
    script = """
import sys
from manager.cli.main import main
UNNEEDED = ("http.client", "manager.cli.commands.check", "manager.lab.cli", "manager.model.control")
main(["--socket", "/nowhere", "state"])
print(*[name for name in UNNEEDED if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "\n"


def test_all_commands_are_named_when_one_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stat"]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert all(f"'{name}'" in said for declared in COMMANDS.values() for name in declared) and "'lab'" in said
