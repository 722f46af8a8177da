"""The operator has the files of an etcd made: all of them or none, and is told what goes where."""

import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from manager.cli.commands import etcd
from manager.cli.exit_codes import ExitCode
from manager.etcd_setup.access import Access, Step
from manager.etcd_setup.client import Refused
from manager.model.node_identity import find_identity
from manager.pki import files
from tests.unit.manager.cli.typing_in import typed
from tests.unit.manager.etcd_setup.test_access import take

Type = Callable[..., tuple[int, str]]
THREE = "--member a=10.0.0.1 --member b=10.0.0.2 --member w=fd00::3"


class NoAgent:
    """There is none, and nothing is asked of it."""

    def close(self) -> None: ...


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    return tmp_path / "pki"


@pytest.fixture
def type_in(pki: Path) -> Type:
    return lambda words, *answers: typed(NoAgent(), f"{words} --directory {pki}", *answers)


@pytest.fixture
def made(type_in: Type) -> str:
    assert type_in("pki init --cluster main")[0] == ExitCode.OK
    code, said = type_in(f"etcd init {THREE}")
    assert code == ExitCode.OK
    return said


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def name_in(found: x509.Certificate) -> str:
    return str(found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def everything(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_each_member_has_its_files_and_its_key_is_nobodys(made: str, pki: Path) -> None:
    names = {"default", "authority.crt", "etcd.crt", "etcd.key", "etcd.crl"}
    for member in ("a", "b", "w"):
        directory = pki / "etcd" / member
        assert {path.name for path in directory.iterdir()} == names
        assert stat.S_IMODE((directory / "etcd.key").stat().st_mode) == 0o600
        assert f"ETCD_NAME={member}\n" in (directory / "default").read_text()
    assert {path.name for path in (pki / "etcd").iterdir()} == {"a", "b", "w", "root"}
    assert stat.S_IMODE((pki / "etcd/root/root.key").stat().st_mode) == 0o600


def test_a_members_certificate_is_good_at_both_ends_and_no_nodes(made: str, pki: Path) -> None:
    found = certificate(pki / "etcd/w/etcd.crt")
    found.verify_directly_issued_by(certificate(pki / "authority/authority.crt"))
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["fd00::3", "127.0.0.1", "::1"]
    assert names.get_values_for_type(x509.DNSName) == []
    assert find_identity(names.get_values_for_type(x509.UniformResourceIdentifier)) is None
    usage = set(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usage == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert name_in(found) == "etcd.main"
    assert name_in(certificate(pki / "etcd/root/root.crt")) == "root"


def test_the_list_is_of_the_form_that_every_etcd_reads(made: str, pki: Path) -> None:
    assert list(x509.load_der_x509_crl((pki / "etcd/a/etcd.crl").read_bytes())) == []


def test_the_operator_is_told_what_goes_where(made: str, pki: Path) -> None:
    for address in ("10.0.0.1", "10.0.0.2", "[fd00::3]"):
        assert f"root@{address}:/etc/etcd/" in made
    assert "ssh root@fd00::3 install" in made
    assert f"mirrorfarm etcd secure --directory {pki}" in made
    assert 'endpoints = ["10.0.0.1:2379", "10.0.0.2:2379", "[fd00::3]:2379"]' in made
    assert 'cert_file = "/etc/mirrorfarm/pki/node.crt"' in made
    for path in pki.rglob("*.key"):
        assert not any(line in made for line in path.read_text().splitlines())


@pytest.mark.parametrize(("node", "address"), [("a", "10.9.9.9"), ("other", "10.0.0.1")])
def test_the_member_of_this_machine_gets_its_files_without_ssh(
    pki: Path, tmp_path: Path, node: str, address: str
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'cluster = "main"\nnode = "{node}"\n[network]\naddresses = ["{address}"]\n')
    for words in ("pki init", f"etcd init {THREE}"):
        code, said = typed(NoAgent(), f"{words} --directory {pki}", config_file=str(config))
        assert code == ExitCode.OK
    assert f"    cp -p {pki}/etcd/a/{{default,authority.crt,etcd.crt,etcd.key,etcd.crl}} /etc/etcd/\n" in said
    assert "    install -d -m 750 -g etcd /etc/etcd\n" in said
    assert "10.0.0.1 " not in said and "ssh root@10.0.0.2 install" in said


def test_a_second_etcd_is_refused_and_changes_nothing(made: str, type_in: Type, pki: Path) -> None:
    before = everything(pki)
    code, said = type_in(f"etcd init {THREE}")
    assert code == ExitCode.FAILED
    assert "has the files of an etcd already" in said
    assert everything(pki) == before


@pytest.mark.parametrize("members", ["", "--member a=10.0.0.1", THREE.replace("10.0.0.2", "10.0.0.1")])
def test_what_cannot_be_leaves_nothing(type_in: Type, pki: Path, members: str) -> None:
    type_in("pki init --cluster main")
    before = everything(pki)
    code, said = type_in(f"etcd init {members}")
    assert code == ExitCode.FAILED
    assert "No etcd can be set up so" in said
    assert everything(pki) == before
    assert not (pki / "etcd").exists()


def test_without_an_authority_nothing_is_made(type_in: Type, pki: Path) -> None:
    code, said = type_in(f"etcd init {THREE}")
    assert code == ExitCode.FAILED
    assert "There is no authority" in said and "mirrorfarm pki init" in said
    assert not pki.exists()


def test_a_disk_that_is_full_halfway_leaves_nothing(type_in: Type, pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    type_in("pki init --cluster main")
    write = files.write

    def full(path: Path, content: bytes, mode: int) -> None:
        if path.parent.name == "b" and path.name == "etcd.key":
            raise OSError(28, "No space left on device")
        write(path, content, mode)

    monkeypatch.setattr(files, "write", full)
    code, said = type_in(f"etcd init {THREE}")
    assert code == ExitCode.FAILED
    assert "No space left" in said
    assert [path.name for path in pki.iterdir()] == ["authority"]
    monkeypatch.setattr(files, "write", write)
    assert type_in(f"etcd init {THREE}")[0] == ExitCode.OK


@pytest.mark.parametrize("last", [KeyboardInterrupt, OSError(5, "Input/output error")])
def test_what_is_broken_off_at_its_last_step_leaves_no_key(
    type_in: Type, pki: Path, monkeypatch: pytest.MonkeyPatch, last: BaseException | type[BaseException]
) -> None:
    type_in("pki init --cluster main")
    sync = files.sync_directory

    def broken(path: Path) -> None:
        if path == pki and (pki / "etcd").exists():
            raise last
        sync(path)

    monkeypatch.setattr(files, "sync_directory", broken)
    assert type_in(f"etcd init {THREE}")[0] != ExitCode.OK
    assert [path.name for path in pki.iterdir()] == ["authority"]


def test_an_interrupt_halfway_leaves_no_key(type_in: Type, pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    type_in("pki init --cluster main")
    write = files.write

    def interrupted(path: Path, content: bytes, mode: int) -> None:
        write(path, content, mode)
        if path.parent.name == "b" and path.name == "etcd.key":
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "write", interrupted)
    assert type_in(f"etcd init {THREE}")[0] != ExitCode.OK
    assert [path.name for path in pki.iterdir()] == ["authority"]


def test_a_node_called_root_would_be_etcds_administrator(type_in: Type, pki: Path) -> None:
    type_in("pki init --cluster main")
    code, said = type_in("pki issue root")
    assert code == ExitCode.FAILED
    assert "cannot be called root" in said
    code, said = type_in("etcd secure --node root")
    assert code == ExitCode.FAILED


def test_a_renewed_certificate_has_another_key_and_the_same_addresses(made: str, type_in: Type, pki: Path) -> None:
    former, key = certificate(pki / "etcd/b/etcd.crt"), (pki / "etcd/b/etcd.key").read_bytes()
    code, said = type_in("etcd renew b")
    assert code == ExitCode.OK
    assert f"scp -p {pki}/etcd/b/{{etcd.key,etcd.crt}} root@10.0.0.2:/etc/etcd/" in said
    again = certificate(pki / "etcd/b/etcd.crt")
    assert again.serial_number != former.serial_number
    assert (pki / "etcd/b/etcd.key").read_bytes() != key
    for kind in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage):
        assert again.extensions.get_extension_for_class(kind) == former.extensions.get_extension_for_class(kind)
    code, said = type_in("etcd renew c")
    assert code == ExitCode.FAILED
    assert "no member c" in said


def test_a_lost_machine_is_revoked_as_a_node_and_as_a_member(made: str, type_in: Type, pki: Path) -> None:
    type_in("pki issue b")
    serials = {certificate(pki / place).serial_number for place in ("etcd/b/etcd.crt", "nodes/b/node.crt")}
    code, said = type_in("pki revoke b --yes b")
    assert code == ExitCode.OK
    assert f"scp -p {pki}/authority/etcd.crl root@10.0.0.1:/etc/etcd/etcd.crl" in said
    assert f"{pki}/authority/etcd.crl root@[fd00::3]:" in said and "root@10.0.0.2" not in said
    for place in ("authority", "etcd/a", "etcd/w"):
        found = x509.load_der_x509_crl((pki / place / "etcd.crl").read_bytes())
        assert {one.serial_number for one in found} == serials
    found = x509.load_pem_x509_crl((pki / "authority/revoked.crl").read_bytes())
    assert {one.serial_number for one in found} == serials


def test_what_is_shown_says_what_each_is_for(made: str, type_in: Type) -> None:
    type_in("pki issue b")
    said = type_in("pki show")[1]
    uses = [line.split()[1] for line in said.splitlines() if re.match(r"(a|b|w|root) ", line)]
    assert uses == ["etcd", "etcd", "etcd", "administrator", "node"]


def test_a_member_is_no_node_that_could_be_renewed(made: str, type_in: Type) -> None:
    code, said = type_in("pki renew w")
    assert code == ExitCode.FAILED
    assert "no certificate that could be renewed" in said


def test_nobody_is_shut_out_for_want_of_names(made: str, type_in: Type) -> None:
    code, said = type_in("etcd secure")
    assert code == ExitCode.FAILED
    assert "not known which nodes" in said and "pki issue NODE" in said


def test_who_is_not_the_administrator_is_told_where_that_is(type_in: Type, pki: Path) -> None:
    code, said = type_in("etcd secure --node a")
    assert code == ExitCode.FAILED
    assert f"{pki}/etcd/root does not hold the files of etcd's administrator" in said


class Etcd:
    """What etcd has, and after how many questions about it it refuses the next."""

    def __init__(self, answers: int = 2) -> None:
        self.has = Access()
        self._answers = answers

    def __enter__(self) -> "Etcd":
        return self

    def __exit__(self, *_: object) -> None: ...

    def access(self) -> Access:
        if not self._answers:
            raise Refused("permission denied")
        self._answers -= 1
        return self.has

    def take(self, step: Step) -> None:
        self.has = take(self.has, step)


def test_the_first_time_no_node_is_shut_out_because_another_was_named(
    made: str, type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    for node in ("a", "b"):
        type_in(f"pki issue {node}")
    there = Etcd(answers=4)
    monkeypatch.setattr(etcd, "_administrator", lambda office: ("main", there))
    code, said = type_in("etcd secure --node c")
    assert code == ExitCode.OK
    assert there.has.is_on and set(there.has.users) == {"root", "a", "b", "c"}
    assert "a, b, c" in said and "not named" in said
    code, said = type_in("etcd secure --node d")
    assert code == ExitCode.OK
    assert "not named" not in said and "user d: made" in said and "nothing else: a, b, c, d." in said


def test_what_is_refused_after_etcd_asks_is_told_as_it_is(
    made: str, type_in: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in("pki issue a")
    monkeypatch.setattr(etcd, "_administrator", lambda office: ("main", Etcd(answers=1)))
    code, said = type_in("etcd secure")
    assert code == ExitCode.FAILED
    assert "no node lost a right" not in said and "authentication is on" in said
    monkeypatch.setattr(etcd, "_administrator", lambda office: ("main", Etcd(answers=0)))
    assert "no node lost a right" in type_in("etcd secure")[1]
