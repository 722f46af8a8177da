"""Real replicators over TLS: who is let in, who is not and why; and the pair goes on whatever comes to its port."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from manager.cli.refused_words import known_kind
from manager.model import control
from manager.model.node_identity import AUTHORITY_CERTIFICATE, NODE_CERTIFICATE, NODE_FILES, NODE_KEY
from manager.model.refused_streams import HERE, NOBODY, THERE, RefusedStream
from replicator.core.filesystem import Limits
from replicator.reception import MAX_STRANGERS
from replicator.stranger import HANDSHAKE_S
from replicator.wire import messages
from replicator.wire.frames import HEADER, FrameKind, pack
from tests.support.certificates import Cluster
from tests.support.certificates import replace as replaced
from tests.support.replicators import COMMAND, Node, Options, Pair, changed, pair_of, running
from tests.support.trees import snapshot

PEER_TIMEOUT_MS = 5000
"""Handshakes of others cost time on the same machine."""
SECRET = b"what nobody else may read, and would find again on the wire"


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "pki", "a", "b")


@pytest.fixture
def command() -> tuple[str, ...]:
    return COMMAND


@pytest.fixture
def two(tmp_path: Path, cluster: Cluster, command: tuple[str, ...]) -> Iterator[Pair]:
    options = Options(tls_root=str(cluster.root), compression=False, peer_timeout_ms=PEER_TIMEOUT_MS, command=command)
    with pair_of(Node("a", tmp_path, options), Node("b", tmp_path, options)) as made:
        yield made


strangers_may_be_late = pytest.mark.parametrize(
    "command", [changed("from replicator import stranger; stranger.HANDSHAKE_S = 30.0")], ids=["patient"]
)
"""What they are told is not that they were."""


def lines(node: Node, event: str) -> list[dict[str, str]]:
    """What its log says of ``event``; a line may be on its way."""
    said = [json.loads(line) for line in node.log.read_text().split("\n")[:-1] if line.startswith("{")]
    return [line for line in said if line["event"] == event]


def until_said(node: Node, event: str, words: str, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not any(words in line["reason"] for line in lines(node, event)):
        assert time.monotonic() < end, f"{event} {words!r}:\n{node.said()}"
        time.sleep(0.02)


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def port_of(node: Node) -> int:
    return int(lines(node, "replicator.started")[-1]["port"])


def goes_on(two: Pair, name: str = "goes-on") -> None:
    """The pair stands as it did: a write completes at both, and nobody was lost."""
    (two.a.data / name).write_bytes(SECRET)
    assert (two.b.data / name).read_bytes() == SECRET
    for node in (two.a, two.b):
        gone = [e for e in node.collect(0.05) if isinstance(e, control.PeerLost | control.StreamLost | control.Failed)]
        assert not gone
    assert two.a.status().peers == {"b": "complete"}


@contextlib.contextmanager
def relay(port: int) -> Iterator[tuple[int, bytearray, Callable[[], None]]]:
    """A port that leads to ``port``, what passes it towards there, and how its connections are cut."""
    listener = socket.create_server(("127.0.0.1", 0))
    passed, open_ones, ended = bytearray(), list[socket.socket](), threading.Event()

    def carry(here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not ended.is_set():
                for ready in select.select([here, there], [], [], 0.1)[0]:
                    data = ready.recv(1 << 16)
                    if not data:
                        here.close()
                        there.close()
                        return
                    if ready is here:
                        passed.extend(data)
                    (there if ready is here else here).sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = listener.accept()
                there = socket.create_connection(("127.0.0.1", port))
                open_ones.extend((here, there))
                threading.Thread(target=carry, args=(here, there), daemon=True).start()

    def cut() -> None:
        for one in open_ones:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        open_ones.clear()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], passed, cut
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        cut()


def client(directory: Path, port: int) -> ssl.SSLSocket:
    """Somebody with a certificate, who says nothing yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(directory / AUTHORITY_CERTIFICATE)
    context.load_cert_chain(directory / NODE_CERTIFICATE, directory / NODE_KEY)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10))


def test_nothing_of_what_is_written_is_on_the_wire(tmp_path: Path, cluster: Cluster) -> None:
    options = Options(tls_root=str(cluster.root), compression=False, peer_timeout_ms=PEER_TIMEOUT_MS)
    a, b = Node("a", tmp_path, options), Node("b", tmp_path, options)
    with running((a, b)):
        a.serve(1)
        b.follow("a", 1)
        with relay(port_of(b)) as (port, passed, _):
            a.tell(control.Peer("b", "127.0.0.1", port))
            a.wait(control.PeerComplete)
            a.settled(1, ("b",), 2)
            (a.data / "visible-name").write_bytes(SECRET * 1000)
            assert (b.data / "visible-name").read_bytes() == SECRET * 1000
            assert len(passed) > len(SECRET) * 1000
            assert SECRET not in passed and b"visible-name" not in passed and b"cluster" not in passed
            assert passed[:2] == b"\x16\x03"


def test_large_and_small_writes_are_the_same_at_both(two: Pair) -> None:
    with open(two.a.data / "file", "wb", buffering=0) as file:
        for size in (1, 4096, 16384 - 52, 16384, 16385, 100_000, (1 << 20) + 1, 3 << 20):
            file.write(os.urandom(size))
        os.fsync(file.fileno())
    with open(two.a.data / "many", "wb", buffering=0) as file:
        for number in range(500):
            file.write(b"%04d" % number * 64)
    assert snapshot(str(two.a.data)) == snapshot(str(two.b.data))
    goes_on(two)


def test_more_than_the_connection_takes_waits_and_arrives_whole(two: Pair) -> None:
    """The secondary stands still while much is written by several, and a fsync and pings come between."""
    assert two.b.process is not None
    data = [os.urandom(6 << 20) for _ in range(3)]

    def write(number: int) -> None:
        with open(two.a.data / f"file{number}", "wb") as file:
            file.write(data[number])
            file.flush()
            os.fsync(file.fileno())

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    two.b.process.send_signal(signal.SIGSTOP)
    for writer in writers:
        writer.start()
    time.sleep(0.8)  # less than the peer timeout
    two.b.process.send_signal(signal.SIGCONT)
    for writer in writers:
        writer.join(30)
    assert [(two.b.data / f"file{number}").read_bytes() for number in range(3)] == data
    goes_on(two)


@pytest.mark.parametrize(
    ("kind", "said_here", "said_there"),
    [
        ("of_an_equal_authority", "tls_", "not signed by this cluster's authority"),
        ("of_another_cluster", "identity: its certificate is of cluster main", "its certificate is of another cluster"),
    ],
)
def test_another_clusters_node_is_refused_by_both(
    two: Pair, cluster: Cluster, tmp_path: Path, kind: str, said_here: str, said_there: str
) -> None:
    """``c`` refuses ``b`` before it says hello, so that ``b`` hears of it by an alert or by a closed connection."""
    root = getattr(cluster, kind)("c").parent
    c = Node("c", tmp_path, replace(two.a.options, tls_root=str(root)))
    with running((c,)):
        c.serve(1)
        c.tell(control.Peer("b", "127.0.0.1", port_of(two.b)))
        until_said(c, "peer.not_connected", said_there)
        goes_on(two)
    assert not [line for line in lines(two.b, "event.sent") if line.get("primary") == "c"]
    with contextlib.suppress(OSError), client_of_the_cluster(root / "c", cluster, port_of(two.b)) as intruder:
        intruder.recv(1)
    if kind == "of_an_equal_authority":
        until_said(two.b, "stream.refused", "tls_stranger: its certificate was not signed by this cluster's authority")
    goes_on(two, "after")


@contextlib.contextmanager
def client_of_the_cluster(directory: Path, cluster: Cluster, port: int) -> Iterator[ssl.SSLSocket]:
    """One that trusts the cluster, whatever its own certificate is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cluster.office.layout.authority / AUTHORITY_CERTIFICATE)
    context.load_cert_chain(directory / NODE_CERTIFICATE, directory / NODE_KEY)
    context.set_alpn_protocols(["mirrorfarm-stream"])
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10)) as made:
        yield made


@strangers_may_be_late
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("expired", "tls_expired: its certificate is over"),
        ("revoked", "tls_revoked: its certificate is revoked"),
        ("of_an_equal_authority", "tls_stranger: its certificate was not signed by this cluster's authority"),
    ],
)
def test_what_is_not_good_any_more_is_refused_and_told_so(two: Pair, cluster: Cluster, kind: str, said: str) -> None:
    directory = getattr(cluster, kind)("c")
    cluster.hand_out_revoked("b")
    with (
        pytest.raises(ssl.SSLError, match="alert"),
        client_of_the_cluster(directory, cluster, port_of(two.b)) as intruder,
    ):
        intruder.send(b"x" * 100)
        intruder.recv(1)
    until_said(two.b, "stream.refused", said)
    goes_on(two)


@strangers_may_be_late
def test_another_clusters_node_by_the_same_authority_is_refused_by_its_identity(two: Pair, cluster: Cluster) -> None:
    """It is let into TLS, and refused at its Hello: by what its certificate says."""
    limits = (Limits(1 << 40, 4095, 65000, 65536, (), True),)
    for directory, node, said in (
        (cluster.of_another_cluster("a"), "a", "identity: its certificate is of cluster main, identity ffff"),
        (cluster.directory("b"), "a", "identity: its certificate is that of node b, and it says that it is a"),
    ):
        hello = messages.Hello("cluster", "module", node, "boot", "instance", 1, 1, limits)
        body = messages.encode_handshake(hello)
        with client_of_the_cluster(directory, cluster, port_of(two.b)) as intruder:
            intruder.send(pack(FrameKind.HELLO, 1, 0, body) + body)
            answer = intruder.recv(1 << 16)
            refused = messages.decode_refused(memoryview(answer)[HEADER.size :])
            assert refused.reason is messages.Refusal.IDENTITY
        until_said(two.b, "stream.refused", said)
        two.b.follow("a", 1)  # tells each reason anew
        two.b.tell(control.Sync())
        two.b.wait(control.Synced)
        goes_on(two)


def test_a_node_that_answers_for_another_one_is_refused(tmp_path: Path, cluster: Cluster) -> None:
    cluster.office.issue("c", [])
    options = Options(tls_root=str(cluster.root), peer_timeout_ms=PEER_TIMEOUT_MS)
    a, c = Node("a", tmp_path, options), Node("c", tmp_path, options)
    with running((a, c)):
        a.serve(1)
        c.follow("a", 1)
        a.tell(control.Peer("b", "127.0.0.1", port_of(c)))
        until_said(a, "peer.not_connected", "its certificate is that of node c, and b was expected")
        assert not [event for event in a.collect(0.5) if isinstance(event, control.PeerConnected)]


@pytest.mark.parametrize("who", ["a", "b"])
def test_plain_and_tls_refuse_each_other_and_say_why(tmp_path: Path, cluster: Cluster, who: str) -> None:
    """``who`` is configured for TLS, the other one is not."""
    with_tls = Options(tls_root=str(cluster.root), peer_timeout_ms=PEER_TIMEOUT_MS)
    a, b = (Node(name, tmp_path, with_tls if name == who else Options()) for name in ("a", "b"))
    with running((a, b)):
        a.serve(1)
        b.follow("a", 1)
        a.tell(control.Peer("b", "127.0.0.1", port_of(b)))
        if who == "a":
            until_said(b, "stream.refused", "protocol: TLS, and this node takes plain connections only")
            until_said(a, "peer.not_connected", "the other node may take plain connections only")
        else:
            until_said(b, "stream.refused", "tls: in plain, and this node takes TLS only")
            until_said(a, "peer.not_connected", "refused: tls: in plain, and this node takes TLS only")
        (a.data / "alone").write_bytes(SECRET)
        assert not (b.data / "alone").exists()


def test_slow_handshakes_and_a_flood_do_not_disturb_the_pair(two: Pair) -> None:
    port = port_of(two.b)
    slow = []
    for beginning in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", b"garbage, and no line end"):
        one = socket.create_connection(("127.0.0.1", port), timeout=10)
        one.send(beginning)
        slow.append(one)
    began = time.monotonic()
    goes_on(two)
    for one in slow:
        with contextlib.suppress(ConnectionResetError):
            assert one.recv(100) == b"" or one.recv(100) == b""
        one.close()
    assert time.monotonic() - began < 2.5 * HANDSHAKE_S
    before = sockets(two.b)
    flood = []
    for number in range(300):
        one = socket.create_connection(("127.0.0.1", port), timeout=10)
        one.send(b"\x16\x03\x01\x02\x00\x01")
        flood.append(one)
        if number % 100 == 0:
            goes_on(two, f"flooded{number}")
    assert sockets(two.b) < before + 2 * MAX_STRANGERS
    for one in flood:
        one.close()
    until(lambda: sockets(two.b) <= before)
    goes_on(two, "after")


def sockets(node: Node) -> int:
    """How many it has open."""
    found = 0
    for descriptor in Path(f"/proc/{node.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            found += os.readlink(descriptor).startswith("socket:")
    return found


def reconnect(two: Pair) -> None:
    """The stream is lost, and another one is joined by a new connection."""
    two.a.tell(control.Forget("b"))
    two.a.wait(control.PeerLost)
    two.b.wait(control.StreamLost)
    two.settle(())
    two.join()
    two.b.status()  # with it, all that came before is there
    two.b.events = [event for event in two.b.events if not isinstance(event, control.StreamLost)]  # told by a greeting


def test_certificates_are_replaced_without_a_stop(two: Pair, cluster: Cluster) -> None:
    """The stream that stands goes on; the next connection shows the new ones: the former ones are revoked."""
    former = cluster.office.register().issued
    for node in ("a", "b"):
        cluster.renew(node)
    for one in former:
        cluster.office.revoke(one.node, one.serial)
    cluster.hand_out_revoked("a", "b")
    goes_on(two)
    assert len(lines(two.a, "tls.files_taken")) == 1
    reconnect(two)
    goes_on(two, "by-the-new-ones")
    assert len(lines(two.a, "tls.files_taken")) == 2 and len(lines(two.b, "tls.files_taken")) == 2


@pytest.mark.parametrize("spoiled", [NODE_KEY, NODE_CERTIFICATE, AUTHORITY_CERTIFICATE, "revoked.crl", "missing"])
def test_files_that_are_half_copied_leave_the_former_ones_in_use(two: Pair, cluster: Cluster, spoiled: str) -> None:
    directory = cluster.directory("b")
    name = NODE_KEY if spoiled == "missing" else spoiled
    whole = (directory / name).read_bytes()
    if spoiled == "missing":
        (directory / name).unlink()
    else:
        (directory / name).write_bytes(whole[: len(whole) // 2])
    reconnect(two)
    goes_on(two)
    (said,) = lines(two.b, "tls.files_refused")
    assert said["means"] == "the former ones stay in use"
    key = (cluster.directory("b") / NODE_KEY).read_text().splitlines()[1:-1] if spoiled != "missing" else []
    assert not [line for line in key if line in two.b.log.read_text()]


def test_a_primary_without_a_certificate_serves_alone_and_takes_one_when_it_is_there(
    tmp_path: Path, cluster: Cluster
) -> None:
    kept = tmp_path / "kept"
    cluster.directory("a").rename(kept)
    options = Options(tls_root=str(cluster.root), peer_timeout_ms=PEER_TIMEOUT_MS)
    a, b = Node("a", tmp_path, options), Node("b", tmp_path, options)
    with running((a, b)):
        a.serve(1)
        (a.data / "alone").write_bytes(SECRET)
        b.follow("a", 1)
        a.tell(control.Peer("b", "127.0.0.1", port_of(b)))
        until_said(a, "peer.not_connected", "this node has no certificate that it could show")
        shutil.copytree(kept, cluster.directory("a"))
        assert all((cluster.directory("a") / name).exists() for name in NODE_FILES)
        a.wait(control.PeerComplete)
        assert (b.data / "alone").read_bytes() == SECRET


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, cluster: Cluster) -> None:
    (cluster.directory("a") / NODE_KEY).chmod(0o644)
    a = Node("a", tmp_path, Options(tls_root=str(cluster.root), peer_timeout_ms=PEER_TIMEOUT_MS))
    with running((a,)):
        (said,) = lines(a, "tls.files_refused")
        assert "mode 0644" in said["reason"]


def until_refused(node: Node, kind: str, seconds: float = 30) -> RefusedStream:
    """What its status says of a stream that has not come about for a while."""
    end = time.monotonic() + seconds
    while True:
        told = node.status().refused
        assert told is not None
        found = [one for one in told if one.kind == kind]
        if found:
            return found[0]
        assert time.monotonic() < end, f"{kind} is not in {told}:\n{node.said()}"
        time.sleep(0.2)


def test_a_certificate_that_ends_is_told_by_both_until_there_is_another_one(tmp_path: Path, cluster: Cluster) -> None:
    """The pair stands when it ends, and goes on; the next connection is refused, by the one that finds it over."""
    good = cluster.directory("b")
    kept = tmp_path / "kept"
    good.rename(kept)
    lasts_s = 20.0
    began = time.monotonic()
    cluster.lasting("b", lasts_s).rename(good)
    options = Options(tls_root=str(cluster.root), compression=False, peer_timeout_ms=PEER_TIMEOUT_MS)
    with pair_of(Node("a", tmp_path, options), Node("b", tmp_path, options)) as two:
        goes_on(two)
        assert (two.a.status().refused, two.b.status().refused) == ((), ())
        time.sleep(max(0.0, began + lasts_s + 1.5 - time.monotonic()))
        goes_on(two, "after-its-end")
        two.a.tell(control.Forget("b"))
        two.a.wait(control.PeerLost)
        two.settle(())
        two.a.tell(control.Peer("b", "127.0.0.1", port_of(two.b)))
        here, there = until_refused(two.a, "tls_expired"), until_refused(two.b, "tls_told_expired")
        assert (here.node, here.by, here.address) == ("b", HERE, f"127.0.0.1:{port_of(two.b)}")
        assert (there.node, there.by, there.address) == ("", THERE, "127.0.0.1")
        assert here.count > 1 and here.since.endswith("Z")
        for name in NODE_FILES:
            replaced(good / name, (kept / name).read_bytes())
        two.a.wait(control.PeerComplete)
        assert (two.a.status().refused, two.b.status().refused) == ((), ())


@pytest.mark.parametrize("who", ["a", "b"])
def test_where_one_takes_plain_connections_only_both_tell_it(tmp_path: Path, cluster: Cluster, who: str) -> None:
    """``who`` is configured for TLS, the other one is not."""
    with_tls = Options(tls_root=str(cluster.root), peer_timeout_ms=PEER_TIMEOUT_MS)
    a, b = (Node(name, tmp_path, with_tls if name == who else Options()) for name in ("a", "b"))
    with running((a, b)):
        a.serve(1)
        b.follow("a", 1)
        a.tell(control.Peer("b", "127.0.0.1", port_of(b)))
        kinds = ("tls_closed", "plain_only") if who == "a" else ("tls", "tls")
        assert [until_refused(node, kind).by for node, kind in zip((a, b), kinds, strict=True)] == [
            NOBODY if who == "a" else THERE,
            HERE,
        ]
        assert all(known_kind(kind) for kind in kinds)
