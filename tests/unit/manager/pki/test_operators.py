"""What the authority makes for operators, and that it is nobody else's."""

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from manager.model.api import ApiError
from manager.model.node_identity import OPERATOR_FILES, OperatorIdentity
from manager.pki import certificates
from manager.pki.authority import Office
from manager.pki.register import Use

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def office(root: Path, now: datetime.datetime = NOW) -> Office:
    return Office(root / "pki", "a", now)


@pytest.fixture
def made(tmp_path: Path) -> Office:
    here = office(tmp_path)
    here.init("main")
    return here


def refused(error: pytest.ExceptionInfo[ApiError]) -> str:
    assert error.value.remedy and error.value.meaning
    return error.value.message


def revoked(path: Path) -> set[str]:
    return {f"{one.serial_number:016x}" for one in x509.load_pem_x509_crl(path.read_bytes())}


def test_an_operators_certificate_is_a_clients_alone_and_has_no_name_that_a_node_or_a_user_of_etcd_can_have(
    made: Office,
) -> None:
    certified = made.issue_operator("b", 30)
    content = (certified.directory / "operator.crt").read_bytes()
    found = x509.load_pem_x509_certificate(content)
    shown = certificates.read_operator(content)
    assert shown.identity == OperatorIdentity(made.register().cluster_id, "main", "b")
    assert (shown.not_before, shown.not_after) == (NOW - DAY, NOW + 30 * DAY)
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert certificates.common_name(content) == "operator.b"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [type(name) for name in names] == [x509.UniformResourceIdentifier], "no name or address of a machine's"
    with pytest.raises(certificates.NotOurs):
        certificates.read_node(content)
    node = (made.issue("b", []).directory / "node.crt").read_bytes()
    with pytest.raises(certificates.NotOurs):
        certificates.read_operator(node)


def test_his_files_are_whole_and_his_key_is_his_alone(made: Office) -> None:
    directory = made.issue_operator("alice").directory
    assert directory == made.layout.root / "operators/alice"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert modes == {name: 0o600 if name.endswith(".key") else 0o644 for name in OPERATOR_FILES}
    assert stat.S_IMODE(directory.stat().st_mode) == stat.S_IMODE(directory.parent.stat().st_mode) == 0o700


def test_a_key_is_kept_with_its_passphrase(made: Office) -> None:
    key = (made.issue_operator("alice", passphrase=b"correct horse").directory / "operator.key").read_bytes()
    assert serialization.load_pem_private_key(key, b"correct horse")
    with pytest.raises(ValueError, match=r"password|decrypt"):
        serialization.load_pem_private_key(key, b"battery staple")


def test_an_operator_and_a_node_of_one_name_are_issued_renewed_and_revoked_each_by_himself(made: Office) -> None:
    node, operator = made.issue("b", []).issued, made.issue_operator("b").issued
    with pytest.raises(ApiError) as error:
        made.issue_operator("b")
    assert (
        refused(error) == f"Operator b has a certificate already, serial {operator.serial}, good until "
        f"{operator.not_after}."
    )
    renewed = made.renew_operator("b")
    assert renewed.former == (operator,)
    withdrawn = made.revoke("b", uses=(Use.OPERATOR,))
    assert {one.serial for one in withdrawn.revoked} == {operator.serial, renewed.issued.serial}
    for directory in (made.layout.authority, made.layout.operators / "b", made.layout.parcel("b")):
        assert revoked(directory / "revoked.crl") == {operator.serial, renewed.issued.serial}
    again = made.issue_operator("b").issued
    assert [one.serial for one in made.revoke("b").revoked] == [node.serial], "a node's are no operator's"
    assert again.serial not in revoked(made.layout.authority / "revoked.crl")


def test_who_has_none_is_not_renewed_and_nothing_of_his_is_revoked(made: Office) -> None:
    made.issue("b", [])
    with pytest.raises(ApiError) as error:
        made.renew_operator("b")
    assert refused(error) == "Operator b has no certificate that could be renewed."
    with pytest.raises(ApiError) as error:
        made.revoke("b", uses=(Use.OPERATOR,))
    assert error.value.message == "Operator b has no certificate that is still good: there is nothing to revoke."


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    office(tmp_path).init("main", days=10)
    certified = office(tmp_path).issue_operator("alice", 30)
    shown = certificates.read_operator((certified.directory / "operator.crt").read_bytes())
    assert shown.not_after == NOW + 10 * DAY
    with pytest.raises(ApiError, match="authority itself"):
        office(tmp_path, NOW + 11 * DAY).issue_operator("bob")
