import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from manager.model.api import ApiError, ErrorKind
from manager.model.node_identity import NODE_FILES, NodeIdentity
from manager.pki import certificates
from manager.pki.authority import Certified, Office

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


def office(root: Path, now: datetime.datetime = NOW, own_node: str = "a") -> Office:
    return Office(root / "pki", own_node, now)


@pytest.fixture
def made(tmp_path: Path) -> Office:
    here = office(tmp_path)
    here.init("main")
    return here


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def revoked(path: Path) -> set[int]:
    return {one.serial_number for one in x509.load_pem_x509_crl(path.read_bytes())}


def modes(root: Path) -> dict[str, int]:
    return {str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in sorted(root.rglob("*"))}


def refused(error: pytest.ExceptionInfo[ApiError]) -> str:
    assert error.value.kind is ErrorKind.REFUSED
    assert error.value.remedy
    return error.value.message


def test_an_authority_signs_itself_and_may_sign_no_other(made: Office) -> None:
    own = certificate(made.layout.authority / "authority.crt")
    own.verify_directly_issued_by(own)
    constraints = own.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    usage = own.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign and usage.crl_sign and not usage.digital_signature
    assert revoked(made.layout.authority / "revoked.crl") == set()


def test_a_nodes_certificate_says_who_it_is_and_until_when(made: Office) -> None:
    certified = made.issue("b", ["10.0.0.2", "fd00::2"], days=30)
    found = certificate(certified.directory / "node.crt")
    found.verify_directly_issued_by(certificate(certified.directory / "authority.crt"))
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    identity = NodeIdentity(made.register().cluster_id, "main", "b")
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [identity.uri]
    assert names.get_values_for_type(x509.DNSName) == ["b"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.2", "fd00::2"]
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    moment = NOW.replace(microsecond=0)
    assert (found.not_valid_before_utc, found.not_valid_after_utc) == (moment - DAY, moment + 30 * DAY)


def test_a_key_is_that_of_its_certificate_and_of_no_other(made: Office) -> None:
    keys = set()

    def look(certified: Certified) -> None:
        key = serialization.load_pem_private_key((certified.directory / "node.key").read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.public_key() == certificate(certified.directory / "node.crt").public_key()
        keys.add(key.private_numbers().private_value)

    look(made.issue("b", []))
    look(made.issue("c", []))
    look(made.renew("b", None))
    assert len(keys) == 3


def test_no_certificate_outlives_its_authority(tmp_path: Path) -> None:
    here = office(tmp_path)
    here.init("main", days=10)
    certified = here.issue("b", [], days=700)
    assert certificate(certified.directory / "node.crt").not_valid_after_utc == NOW.replace(microsecond=0) + 10 * DAY


def test_only_the_owner_reads_what_is_private_whatever_the_umask(made: Office, tmp_path: Path) -> None:
    made.issue("a", [])
    made.issue("b", [])
    assert modes(tmp_path) == {
        "pki": 0o700,
        "pki/authority": 0o700,
        "pki/authority/authority.crt": 0o644,
        "pki/authority/authority.key": 0o600,
        "pki/authority/register.json": 0o600,
        "pki/authority/revoked.crl": 0o644,
        "pki/authority.crt": 0o644,
        "pki/node.crt": 0o644,
        "pki/node.key": 0o600,
        "pki/revoked.crl": 0o644,
        "pki/nodes": 0o700,
        "pki/nodes/b": 0o700,
        "pki/nodes/b/authority.crt": 0o644,
        "pki/nodes/b/node.crt": 0o644,
        "pki/nodes/b/node.key": 0o600,
        "pki/nodes/b/revoked.crl": 0o644,
    }


def test_own_files_are_where_the_node_looks_and_those_of_others_are_to_be_carried(made: Office) -> None:
    here, there = made.issue("a", []), made.issue("b", [])
    assert (here.is_here, here.directory) == (True, made.layout.root)
    assert (there.is_here, there.directory) == (False, made.layout.root / "nodes" / "b")
    for certified in (here, there):
        assert all((certified.directory / name).exists() for name in NODE_FILES)


def test_the_authoritys_key_is_in_no_file_but_its_own(made: Office, tmp_path: Path) -> None:
    made.issue("a", [])
    made.issue("b", [])
    key = made.layout.authority_key.read_bytes()
    assert [path for path in tmp_path.rglob("*") if path.is_file() and key in path.read_bytes()] == [
        made.layout.authority_key
    ]


def test_a_second_authority_is_refused_and_changes_nothing(made: Office) -> None:
    before = made.layout.authority_key.read_bytes()
    with pytest.raises(ApiError) as error:
        made.init("main")
    assert "has an authority already" in refused(error)
    assert made.layout.authority_key.read_bytes() == before


def test_a_node_of_another_machines_authority_does_not_become_one_by_mistake(made: Office, tmp_path: Path) -> None:
    carried = made.issue("b", []).directory
    there = office(tmp_path / "there", own_node="b")
    there.layout.root.mkdir(parents=True)
    for name in NODE_FILES:
        (there.layout.root / name).write_bytes((carried / name).read_bytes())
    with pytest.raises(ApiError) as error:
        there.init("main")
    assert "another machine" in refused(error)


def test_an_init_that_was_broken_off_is_begun_anew(tmp_path: Path) -> None:
    here = office(tmp_path)
    here.layout.root.mkdir(parents=True)
    left = here.layout.root / "authority.new"
    left.mkdir()
    (left / "authority.key").write_text("half of one")
    here.init("main")
    assert here.issue("b", []).issued.node == "b"
    assert not left.exists()


def test_without_an_authority_nothing_is_issued(tmp_path: Path) -> None:
    with pytest.raises(ApiError) as error:
        office(tmp_path).issue("a", [])
    assert "no authority" in refused(error)


def test_a_node_has_one_certificate_until_it_is_renewed(made: Office) -> None:
    first = made.issue("b", ["10.0.0.2"])
    with pytest.raises(ApiError) as error:
        made.issue("b", [])
    assert first.issued.serial in refused(error)
    second = made.renew("b", None)
    assert second.issued.addresses == ("10.0.0.2",)
    assert second.former == (first.issued,)
    assert made.renew("b", ["10.0.0.3"]).issued.addresses == ("10.0.0.3",)


def test_what_is_over_may_be_issued_anew_and_renewed(tmp_path: Path) -> None:
    here = office(tmp_path)
    here.init("main")
    here.issue("b", ["10.0.0.2"], days=10)
    here.issue("c", [], days=10)
    later = office(tmp_path, NOW + 11 * DAY)
    assert later.issue("b", []).former == ()
    assert later.renew("c", None).former == ()


def test_a_node_without_a_certificate_is_not_renewed(made: Office) -> None:
    with pytest.raises(ApiError) as error:
        made.renew("b", None)
    assert "pki issue b" in error.value.remedy
    made.issue("b", [])
    made.revoke("b")
    with pytest.raises(ApiError):
        made.renew("b", None)


def test_an_authority_that_is_over_issues_nothing(tmp_path: Path) -> None:
    office(tmp_path).init("main", days=10)
    with pytest.raises(ApiError) as error:
        office(tmp_path, NOW + 10 * DAY).issue("b", [])
    assert "good until" in refused(error)


def test_what_is_revoked_is_on_every_list_that_is_here_and_signed(made: Office) -> None:
    own = made.issue("a", [])
    lost = made.issue("b", [])
    renewed = made.renew("b", None)
    other = made.issue("c", [])
    withdrawn = made.revoke("b")
    assert withdrawn.revoked == (renewed.issued, lost.issued)
    assert withdrawn.other_nodes == ("c",)
    serials = {int(lost.issued.serial, 16), int(renewed.issued.serial, 16)}
    for directory in (made.layout.authority, own.directory, other.directory, lost.directory):
        assert revoked(directory / "revoked.crl") == serials
        signed = x509.load_pem_x509_crl((directory / "revoked.crl").read_bytes())
        public = certificate(made.layout.authority / "authority.crt").public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        assert signed.is_signature_valid(public)


def test_a_list_stays_good_as_long_as_its_authority(made: Office) -> None:
    listed = x509.load_pem_x509_crl((made.layout.authority / "revoked.crl").read_bytes())
    assert listed.next_update_utc == certificate(made.layout.authority / "authority.crt").not_valid_after_utc


def test_each_list_has_a_higher_number_and_what_was_on_one_stays(tmp_path: Path) -> None:
    here = office(tmp_path)
    here.init("main")
    numbers = []
    for name in ("b", "c"):
        here.issue(name, [], days=5)
        path = here.revoke(name).list_file
        listed = x509.load_pem_x509_crl(path.read_bytes())
        numbers.append(listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
    assert numbers == [2, 3]
    later = office(tmp_path, NOW + 30 * DAY)
    later.issue("d", [])
    assert len(revoked(later.revoke("d").list_file)) == 3


def test_one_certificate_alone_is_revoked_by_its_serial(made: Office) -> None:
    former = made.issue("b", [])
    renewed = made.renew("b", None)
    made.revoke("b", former.issued.serial)
    assert made.register().good("b", "2026-03-02") == (renewed.issued,)
    with pytest.raises(ApiError) as error:
        made.revoke("b", former.issued.serial)
    assert "nothing to revoke" in refused(error)


def test_a_certificate_made_after_a_revocation_is_good(made: Office) -> None:
    made.issue("b", [])
    made.revoke("b")
    again = made.issue("b", [])
    assert int(again.issued.serial, 16) not in revoked(again.directory / "revoked.crl")


def test_a_key_that_others_could_read_is_not_used(made: Office) -> None:
    made.layout.authority_key.chmod(0o640)
    with pytest.raises(ApiError) as error:
        made.issue("b", [])
    assert "0640" in refused(error)


@pytest.mark.parametrize("damage", ["authority.key", "authority.crt", "register.json"])
def test_a_damaged_authority_says_so_and_not_what_is_in_the_key(made: Office, damage: str) -> None:
    path = made.layout.authority / damage
    secret = made.layout.authority_key.read_text().splitlines()[2]
    path.write_bytes(path.read_bytes()[:-80])
    with pytest.raises(ApiError) as error:
        made.issue("b", [])
    assert error.value.kind is ErrorKind.FAILED
    assert secret not in f"{error.value.message} {error.value.meaning} {error.value.remedy}"


def test_another_authoritys_key_is_no_key_of_this_one(made: Office, tmp_path: Path) -> None:
    other = office(tmp_path / "other")
    other.init("main")
    made.layout.authority_key.write_bytes(other.layout.authority_key.read_bytes())
    with pytest.raises(ApiError) as error:
        made.issue("b", [])
    assert "not that of the certificate" in error.value.message


def test_two_clusters_of_one_name_are_told_apart(made: Office, tmp_path: Path) -> None:
    other = office(tmp_path / "other")
    other.init("main")
    ours, theirs = (
        certificates.read_node((o.issue("b", []).directory / "node.crt").read_bytes()) for o in (made, other)
    )
    assert ours.identity.cluster == theirs.identity.cluster
    assert not ours.identity.is_of_cluster(theirs.identity)


def test_what_is_no_nodes_certificate_is_not_read_as_one(made: Office) -> None:
    for content in (b"", b"garbage", (made.layout.authority / "authority.crt").read_bytes()):
        with pytest.raises(certificates.NotOurs):
            certificates.read_node(content)
