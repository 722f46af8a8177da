"""The operator makes an authority, and is told what to carry where; no key is ever in what he is told."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from manager.cli.exit_codes import ExitCode
from tests.unit.manager.cli.typing_in import typed

Type = Callable[..., tuple[int, str]]


class NoAgent:
    """There is none, and nothing is asked of it."""

    def close(self) -> None: ...


@pytest.fixture
def type_in(tmp_path: Path) -> Type:
    def type_in(words: str, *answers: str) -> tuple[int, str]:
        return typed(NoAgent(), f"pki {words} --directory {tmp_path / 'pki'}", *answers)

    return type_in


def test_from_nothing_to_two_nodes_and_back(type_in: Type, tmp_path: Path) -> None:
    code, said = type_in("init --cluster main")
    assert code == ExitCode.OK
    assert "good until" in said and "pki issue" in said
    code, said = type_in("issue b --address 10.0.0.2 --address fd00::2")
    assert code == ExitCode.OK
    assert "10.0.0.2, fd00::2" in said
    assert f"scp -p {tmp_path}/pki/nodes/b/{{authority.crt,node.crt,node.key,revoked.crl}} root@b:" in said
    code, said = type_in("renew b")
    assert code == ExitCode.OK
    assert "stays good until" in said
    type_in("issue c")
    code, said = type_in("revoke b", "b")
    assert code == ExitCode.OK
    assert said.count("Revoked: serial") == 2
    assert f"root@c:{tmp_path}/pki/revoked.crl" in said and "root@b:" not in said
    code, said = type_in("show")
    assert code == ExitCode.OK
    assert "has issued" in said


def test_a_key_is_never_shown(type_in: Type, tmp_path: Path) -> None:
    everything = ""
    for words in ("init --cluster main", "issue b", "renew b", "show", "show --json", "init --cluster main"):
        everything += type_in(words)[1]
    for path in tmp_path.rglob("*.key"):
        for line in path.read_text().splitlines()[1:-1]:
            assert line not in everything
    assert "PRIVATE" not in everything


def test_nothing_is_revoked_unless_the_node_is_named(type_in: Type) -> None:
    type_in("init --cluster main")
    type_in("issue b")
    code, said = type_in("revoke b", "c")
    assert code == ExitCode.FAILED
    assert "nothing was changed" in said
    assert type_in("revoke b --yes b")[0] == ExitCode.OK


def test_a_cluster_without_a_name_is_none(type_in: Type) -> None:
    code, said = type_in("init")
    assert code == ExitCode.FAILED
    assert "--cluster NAME" in said


def test_what_cannot_be_written_is_said(type_in: Type, tmp_path: Path) -> None:
    (tmp_path / "pki").write_text("a file in the way")
    code, said = type_in("init --cluster main")
    assert code == ExitCode.FAILED
    assert "cannot be read or written" in said
    assert os.fspath(tmp_path) in said


def test_an_operators_certificate_from_its_first_day_to_its_last(type_in: Type, tmp_path: Path) -> None:
    type_in("init --cluster main")
    code, said = type_in("issue --operator alice")
    assert code == ExitCode.OK
    assert "A certificate of operator alice of cluster main" in said and "good until" in said
    assert "without a passphrase" in said and f"{tmp_path}/pki/operators/alice" in said
    assert "mirrorfarm --node NODE --operator alice state" in said
    code, said = type_in("renew --operator alice")
    assert code == ExitCode.OK and "mirrorfarm pki revoke --operator alice --serial" in said
    said = type_in("show")[1]
    assert said.count("alice  operator") == 2
    code, said = type_in("revoke --operator alice", "bob")
    assert code == ExitCode.FAILED and "nothing was changed: the operator whose certificates are revoked" in said
    type_in("issue c")
    code, said = type_in("revoke --operator alice", "alice")
    assert code == ExitCode.OK and said.count("of operator alice") == 2
    assert f"root@c:{tmp_path}/pki/revoked.crl" in said and "etcd" not in said


def test_a_passphrase_is_typed_twice_and_never_shown(type_in: Type, tmp_path: Path) -> None:
    type_in("init --cluster main")
    for answers, why in (((), "characters at the least"), (("short",), "at the least"),
                         (("ä horse" * 128,) * 2, "1,023 bytes at the most; this one has 1,024"),
                         (("correct horse", "battery staple"), "not the same")):  # fmt: skip
        code, said = type_in("issue --operator alice --passphrase", *answers)
        assert code == ExitCode.FAILED and why in said and "horse" not in said
        assert not (tmp_path / "pki/operators").exists()
    longest = "correct horse" + "!" * 1010
    code, said = type_in("issue --operator alice --passphrase", longest, longest)
    assert code == ExitCode.OK and "horse" not in said and "without a passphrase" not in said
    assert "ENCRYPTED" in (tmp_path / "pki/operators/alice/operator.key").read_text()


@pytest.mark.parametrize(
    "words",
    ["issue", "issue b --operator alice", "issue b --passphrase", "issue --operator alice --address 10.0.0.1",
     "renew", "revoke", "revoke b --operator b"],
)  # fmt: skip
def test_whose_certificate_is_meant_has_to_be_clear(type_in: Type, words: str, tmp_path: Path) -> None:
    type_in("init --cluster main")
    code, said = type_in(words)
    assert code == ExitCode.FAILED and "Nothing was made or changed." in said
    assert not (tmp_path / "pki/nodes").exists() and not (tmp_path / "pki/operators").exists()
