"""The directories that are carried to etcd's members, and the administrator's: written as a whole, or not at all."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from manager.etcd_setup.plan import EtcdPlan
from manager.etcd_setup.settings import (
    ENVIRONMENT,
    MEMBER_CERTIFICATE,
    MEMBER_KEY,
    ROOT_CERTIFICATE,
    ROOT_ENVIRONMENT,
    ROOT_KEY,
    member_file,
    root_file,
)
from manager.model.api import ApiError, ErrorKind
from manager.model.node_identity import AUTHORITY_CERTIFICATE, ETCD_REVOKED, ETCD_ROOT
from manager.pki import files
from manager.pki.authority import EtcdCertified, ForEtcd, Office
from manager.pki.register import Use

_SECRET = frozenset({MEMBER_KEY, ROOT_KEY})


def write_all(office: Office, plan: EtcdPlan, days: int) -> tuple[EtcdCertified, ...]:
    """Certificates and files for every member and the administrator; the administrator's is the last.

    Raises ApiError, OSError: then there is no directory, and neither when it is interrupted; certificates may stand in
    the register that nobody has.
    """
    target = office.layout.etcd
    if target.exists() or target.is_symlink():
        raise ApiError(
            ErrorKind.REFUSED,
            f"{target} has the files of an etcd already.",
            meaning="Another one would share no data with it: what it knows of the cluster would be missing.",
            remedy="mirrorfarm etcd renew MEMBER makes new certificates for it. To begin anew, move the directory "
            "away; mirrorfarm pki show lists the certificates that it has.",
        )
    wanted = [ForEtcd(member.name, Use.ETCD, _addresses(str(member.address))) for member in plan.members]
    made = office.certify_etcd([*wanted, ForEtcd(ETCD_ROOT, Use.ADMINISTRATOR)], days)
    new = target.with_name(f"{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of one that was broken off
    has_name = False
    try:
        for member, certified in zip(plan.members, made, strict=False):
            _write(new / member.name, {ENVIRONMENT: member_file(plan, member).encode(), **_member_files(certified)})
        certified = made[-1]
        contents = {
            ROOT_ENVIRONMENT: root_file(plan, str(target / ETCD_ROOT)).encode(),
            AUTHORITY_CERTIFICATE: certified.authority,
            ROOT_CERTIFICATE: certified.certificate,
            ROOT_KEY: certified.key,
        }
        _write(new / ETCD_ROOT, contents)
        files.sync_directory(new)
        os.rename(new, target)
        has_name = True
        files.sync_directory(target.parent)
    except BaseException:  # an interrupt, too: there are keys in it
        shutil.rmtree(target if has_name else new, ignore_errors=True)
        raise
    return made


def write_renewed(office: Office, member: str, days: int) -> tuple[EtcdCertified, Path]:
    """Another certificate of ``member``, with a new key, and the directory where it is. Raises ApiError, OSError."""
    former = [one for one in office.register().issued if one.node == member and one.use is Use.ETCD]
    if not former:
        raise ApiError(
            ErrorKind.REFUSED,
            f"etcd has no member {member} whose certificate was made here.",
            meaning="There is nothing to renew.",
            remedy="mirrorfarm pki show lists what there is.",
        )
    (certified,) = office.certify_etcd([ForEtcd(member, Use.ETCD, former[-1].addresses)], days)
    directory = office.layout.etcd / member
    _write(directory, _member_files(certified))
    return certified, directory


def _addresses(own: str) -> tuple[str, ...]:
    """What a member may be reached at, and come from: its own machine is among the others' clients."""
    return tuple(dict.fromkeys((own, "127.0.0.1", "::1")))


def _member_files(certified: EtcdCertified) -> dict[str, bytes]:
    return {
        AUTHORITY_CERTIFICATE: certified.authority,
        ETCD_REVOKED: certified.revoked,
        MEMBER_KEY: certified.key,
        MEMBER_CERTIFICATE: certified.certificate,
    }


def _write(directory: Path, contents: Mapping[str, bytes]) -> None:
    files.make_directory(directory)
    for name, content in contents.items():
        files.write(directory / name, content, files.SECRET_MODE if name in _SECRET else files.PUBLIC_MODE)
