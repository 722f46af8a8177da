"""The password file, and what is said of files that are wrong. Certificates are tried against a real etcd."""

from pathlib import Path

import pytest

from manager.model.config.agent_config import EtcdConfig
from manager.model.config.findings import InvalidConfig
from manager.store.credentials import Credentials, read_credentials, signatures


def test_nothing_is_needed_by_default() -> None:
    credentials = read_credentials(EtcdConfig())
    assert (credentials.ca_file, credentials.cert_file, credentials.key_file, credentials.user) == (
        None,
        None,
        None,
        "",
    )


@pytest.mark.parametrize("content", ["word", "word\n", "word\r\nand more\n", "word  \n"])
def test_the_password_is_the_first_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "password"
    file.write_text(content)
    credentials = read_credentials(EtcdConfig(user="agent", password_file=str(file)))
    assert (credentials.user, credentials.password) == ("agent", "word")
    assert "'word'" not in repr(credentials)


@pytest.mark.parametrize("content", [None, b"", b"\nword\n", b"\xff\xfe"])
def test_a_password_file_without_a_password_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidConfig) as raised:
        read_credentials(EtcdConfig(user="agent", password_file=str(file)))
    (finding,) = raised.value.findings
    assert (finding.file, finding.key) == (str(file), "etcd.password_file")


def test_a_file_that_is_another_one_has_another_signature(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("ca", "cert", "key")]
    for file in files:
        file.write_text("one")
    credentials = Credentials(*map(str, files))
    seen = {signatures(credentials)}
    assert signatures(credentials) in seen
    for file in files:
        new = file.with_suffix(".new")
        new.write_text("two")
        new.rename(file)
        assert signatures(credentials) not in seen
        seen.add(signatures(credentials))
        file.unlink()
        assert signatures(credentials) not in seen
        file.write_text("three")
    assert signatures(Credentials()) == (None, None, None)
