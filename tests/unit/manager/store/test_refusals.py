"""Whoever is refused is told who he was taken for, and what he was refused."""

import pytest
from etcd3 import etcdrpc

from manager.store.api import Delete, DeletePrefix, Get, KeyAbsent, Put, Range, Txn
from manager.store.credentials import Credentials
from manager.store.refusals import explanation
from manager.store.translate import get_request, range_request, txn_request

DENIED = "etcdserver: permission denied"
CERTIFICATE = Credentials("ca.crt", "node.crt", "node.key")


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        (get_request("/theirs/k"), "/theirs/k"),
        (range_request("/theirs/"), "/theirs/"),
        (txn_request(Txn(then=(Put("/theirs/k", "v"),))), "/theirs/k"),
        (txn_request(Txn(then=(Delete("/theirs/k"),))), "/theirs/k"),
        (txn_request(Txn(then=(DeletePrefix("/theirs/"),))), "/theirs/"),
        (txn_request(Txn((KeyAbsent("/theirs/k"),))), "/theirs/k"),
        (txn_request(Txn(otherwise=(Get("/theirs/k"), Range("/theirs/")))), ""),
        (etcdrpc.LeaseGrantRequest(TTL=3), ""),
    ],
)
def test_user_keys_and_remedy_are_named(request_: object, key: str) -> None:
    said = explanation(DENIED, CERTIFICATE, request_)
    assert "etcd's user of the name in node.crt" in said
    assert "mirrorfarm etcd secure" in said
    assert (f"with {key};" in said) if key else ("with" not in said)


def test_a_user_with_a_password_is_named() -> None:
    assert "etcd's user agent may not" in explanation(DENIED, Credentials(user="agent", password="w"), get_request("k"))
    assert "without user and certificate" in explanation(DENIED, Credentials(), get_request("k"))


FAILED = "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:127.0.0.1:2379: "


@pytest.mark.parametrize(
    ("details", "begins"),
    [
        (f"{FAILED}Unwrap failed (TSI_DATA_CORRUPTED)", " (by TLS: "),
        (f"{FAILED}Ssl handshake failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED", " (by TLS: "),
        (f"{FAILED}Socket closed", " (perhaps by TLS: "),
        (f"{FAILED}recvmsg:Connection reset by peer (104)", " (perhaps by TLS: "),
    ],
)
def test_a_certificate_that_is_not_taken_is_named(details: str, begins: str) -> None:
    said = explanation(details, CERTIFICATE, get_request("k"))
    assert said.startswith(begins)
    assert "node.crt" in said and "ca.crt" in said
    assert "etcd.cert_file names none" in explanation(details, Credentials("ca.crt"), get_request("k"))
    assert explanation(details, Credentials(), get_request("k")) == ""


@pytest.mark.parametrize("details", [f"{FAILED}Connection refused", "etcdserver: no leader", "", "Socket closed"])
def test_what_says_enough_is_left_as_it_is(details: str) -> None:
    assert explanation(details, CERTIFICATE, get_request("k")) == ""
