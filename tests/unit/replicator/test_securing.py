import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model.node_identity import (
    AUTHORITY_CERTIFICATE,
    NODE_CERTIFICATE,
    NODE_KEY,
    OPERATOR_CERTIFICATE,
    OPERATOR_KEY,
)
from manager.model.refused_streams import THERE
from replicator.refusals import kind_of
from tests.support.certificates import Cluster, Watched
from tests.unit.replicator.loops import SteppedLoop, stepped_loop
from tests.unit.replicator.tls_ends import Handshake, shake_hands


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped_loop() as loop:
        yield loop


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "pki", "a", "b")


@pytest.mark.parametrize(
    ("kind", "found"),
    [("expired", "tls_expired"), ("of_an_equal_authority", "tls_stranger"), ("revoked", "tls_revoked")],
)
def test_who_is_not_good_is_refused_by_the_other_end_and_told(
    loop: SteppedLoop, cluster: Cluster, kind: str, found: str
) -> None:
    directory = getattr(cluster, kind)("c")
    cluster.hand_out_revoked("b")
    server = Watched(cluster.directory("b"), "b").credentials.contexts().server
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cluster.directory("b") / AUTHORITY_CERTIFICATE)
    client.load_cert_chain(directory / NODE_CERTIFICATE, directory / NODE_KEY)
    client.set_alpn_protocols(["mirrorfarm-stream"])
    ends = shake_hands(loop, server, client, socket.socketpair())
    assert ends[0].trouble is not None
    assert ends[0].trouble.kind == found
    assert ends[1].secure is not None  # of TLS 1.3 the client is ready before it is judged
    told = None
    while told is None:
        loop.turn()
        try:
            ends[1].secure.recv_into(memoryview(bytearray(10)))
        except BlockingIOError:
            continue
        except OSError as error:
            told = error.strerror
    assert told.startswith("the other node says that this node's certificate is")
    assert kind_of(f"connection lost: {told}") == (found.replace("tls_", "tls_told_"), THERE)
    ends[1].close()
    loop.until(lambda: ends[0].ended)


def test_a_client_takes_no_server_of_another_authority(loop: SteppedLoop, cluster: Cluster) -> None:
    server = Watched(cluster.of_an_equal_authority("c"), "c").credentials.contexts().server
    client = Watched(cluster.directory("a"), "a").credentials.contexts().client
    ends = shake_hands(loop, server, client, socket.socketpair())
    assert ends[1].trouble is not None and ends[1].trouble.kind == "tls_stranger"
    assert ends[0].trouble is not None and ends[0].trouble.kind == "tls_told_stranger"
    for end in ends:
        end.close()


def test_an_operator_is_no_peer_though_he_is_called_like_one(loop: SteppedLoop, cluster: Cluster) -> None:
    directory = cluster.operator("a")
    server = Watched(cluster.directory("b"), "b").credentials.contexts().server
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(directory / AUTHORITY_CERTIFICATE)
    client.load_cert_chain(directory / OPERATOR_CERTIFICATE, directory / OPERATOR_KEY)
    client.set_alpn_protocols(["mirrorfarm-stream"])
    ends = shake_hands(loop, server, client, socket.socketpair())
    assert ends[0].trouble is not None and ends[0].trouble.kind == "tls_nobody"
    for end in ends:
        end.close()


def test_what_is_no_tls_and_no_certificate_and_another_use_are_told_apart(loop: SteppedLoop, cluster: Cluster) -> None:
    server = Watched(cluster.directory("b"), "b").credentials.contexts().server

    def client(alpn: str, shows: bool, newest: ssl.TLSVersion) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname = False
        made.maximum_version = newest
        made.load_verify_locations(cluster.directory("b") / AUTHORITY_CERTIFICATE)
        if shows:
            made.load_cert_chain(cluster.directory("a") / NODE_CERTIFICATE, cluster.directory("a") / NODE_KEY)
        made.set_alpn_protocols([alpn])
        return made

    for alpn, shows, newest, kind in (
        ("http/1.1", True, ssl.TLSVersion.TLSv1_3, "tls_other_use"),
        ("mirrorfarm-stream", False, ssl.TLSVersion.TLSv1_3, "tls_no_certificate"),
        ("mirrorfarm-stream", True, ssl.TLSVersion.TLSv1_2, "tls_garbage"),
    ):
        ends = shake_hands(loop, server, client(alpn, shows, newest), socket.socketpair())
        assert ends[0].trouble is not None
        assert ends[0].trouble.kind == kind
        for end in ends:
            end.close()
    here, there = socket.socketpair()
    end = Handshake(loop, server, here, True)
    there.send(b"\x16\x03\x01\x00\x05garbage and more of it")
    loop.until(lambda: end.over)
    assert end.trouble is not None and end.trouble.kind == "tls_garbage"
    there.close()
    loop.until(lambda: end.ended)


def test_a_handshake_that_is_given_up_calls_nobody(loop: SteppedLoop, cluster: Cluster) -> None:
    server = Watched(cluster.directory("b"), "b").credentials.contexts().server
    here, there = socket.socketpair()
    end = Handshake(loop, server, here, True)
    loop.turn()
    end.close()
    assert there.recv(1) == b""
    there.close()
    loop.turn()
    assert not end.over and not end.ended
