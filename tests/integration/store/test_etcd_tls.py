"""A real etcd as ``mirrorfarm etcd init`` and ``secure`` set it up: who gets in, how far, and who does not.

The tests follow one another on one cluster: nodes ``a`` and ``b`` keep their rights, each test brings its own others.
"""

import asyncio
import http.client
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import etcd3
import grpc
import pytest
from etcd3 import etcdrpc

from manager.cli.checks.probe import Probe
from manager.cli.main import main
from manager.etcd_setup.access import GiveRole
from manager.etcd_setup.client import EtcdClient, Papers, Refused
from manager.model.config.agent_config import EtcdConfig
from manager.store.api import Changes, Delete, KeyAbsent, Put, Snapshot, Store, StoreRefused, StoreUnreachable, Txn
from manager.store.etcd import connect
from tests.support.certificates import Cluster
from tests.support.secured_etcd import MEMBERS, SecuredEtcd

MINE = "/mirrorfarm/main/"
KEY = f"{MINE}k"
OTHERS = ("/mirrorfarm", "/mirrorfarm/main0", "/mirrorfarm/main-2/k", "/mirrorfarm/mai/k", "/other")
QUICK_MS = 2_000
BOUND_S = 30.0
"""No scenario takes longer, whatever is refused."""

pytestmark = pytest.mark.timeout(180)

Scenario = Callable[[Store], Awaitable[None]]


@pytest.fixture(scope="module")
def etcd() -> Iterator[SecuredEtcd]:
    with SecuredEtcd() as started:
        yield started


@pytest.fixture(scope="module")
def secured(etcd: SecuredEtcd) -> SecuredEtcd:
    etcd.command("etcd", "secure")
    return etcd


def run(config: EtcdConfig, scenario: Scenario) -> None:
    async def play() -> None:
        store = connect(config)
        try:
            async with asyncio.timeout(BOUND_S):
                await scenario(store)
        finally:
            await store.close()

    asyncio.run(play())


def refusal(config: EtcdConfig, error: type[Exception]) -> str:
    """What somebody is told who is let in nowhere; he is told it in time."""
    told = []

    async def scenario(store: Store) -> None:
        for call in (store.commit(Txn(then=(Put(KEY, "v"),))), store.get(KEY)):
            with pytest.raises(error) as raised:
                await call
            told.append(str(raised.value))

    begun = time.monotonic()
    run(config, scenario)
    assert time.monotonic() - begun < 2 * config.call_timeout_ms / 1000 + 5
    return told[-1]


# --- secure -----------------------------------------------------------------------------------------------


def test_before_it_is_secured_a_node_has_no_limits(etcd: SecuredEtcd) -> None:
    """What secure is for; and where this fails, the tests after it show nothing."""

    async def scenario(store: Store) -> None:
        await store.commit(Txn(then=(Put("/other", "v"),)))
        await store.commit(Txn(then=(Delete("/other"),)))

    run(etcd.config(etcd.papers("a")), scenario)


def test_secure_says_what_it_does_and_a_second_time_that_nothing_is_missing(
    etcd: SecuredEtcd, capsys: pytest.CaptureFixture[str]
) -> None:
    etcd.command("etcd", "secure")
    first = capsys.readouterr().out
    assert "user a: has role mirrorfarm-main" in first and "user b: has role mirrorfarm-main" in first
    assert "authentication: on" in first
    etcd.command("etcd", "secure")
    second = capsys.readouterr().out
    assert "Nothing was missing." in second and "authentication: on" not in second
    with EtcdClient(etcd.endpoints, etcd.root) as client:
        access = client.access()
    assert access.is_on
    assert access.users == {"root": {"root"}, "a": {"mirrorfarm-main"}, "b": {"mirrorfarm-main"}}


@pytest.mark.parametrize("password", ["", "guess"])
def test_no_password_makes_a_node_another_user(secured: SecuredEtcd, password: str) -> None:
    papers = secured.papers("b")
    files = {"ca_cert": papers.ca_file, "cert_cert": papers.cert_file, "cert_key": papers.key_file}
    client = etcd3.client(host="127.0.0.1", port=secured.client_port, **files)
    try:
        for user in ("root", "a"):
            with pytest.raises(grpc.RpcError, match="authentication failed"):
                request = etcdrpc.AuthenticateRequest(name=user, password=password)
                etcdrpc.AuthStub(client.channel).Authenticate(request, timeout=10)
    finally:
        client.close()


# --- a node -----------------------------------------------------------------------------------------------


def test_a_node_does_all_its_work_below_its_prefix(secured: SecuredEtcd) -> None:
    async def scenario(store: Store) -> None:
        lease = await store.grant(30)
        async with store.watch(MINE) as watch:
            assert isinstance(await anext(watch), Snapshot)
            made = await store.commit(Txn((KeyAbsent(KEY),), (Put(KEY, "v", lease),)))
            assert made.succeeded
            item = await anext(watch)
            assert isinstance(item, Changes)
            assert [(event.key, event.kv.value if event.kv else None) for event in item.events] == [(KEY, "v")]
            assert await store.keep_alive(lease) == 30
            assert not (await store.commit(Txn((KeyAbsent(KEY),), (Put(KEY, "w"),)))).succeeded
            await store.revoke(lease)
            item = await anext(watch)
            assert isinstance(item, Changes) and item.events[0].kv is None
        status = await store.status()
        assert [member.name for member in sorted(status.members, key=lambda m: m.name)] == ["a", "b", "witness"]
        assert [endpoint.problem for endpoint in status.endpoints] == [None] * 3

    run(secured.config(secured.papers("a")), scenario)


def test_outside_of_it_a_node_is_told_who_may_not_do_what(secured: SecuredEtcd) -> None:
    papers = secured.papers("a")

    async def scenario(store: Store) -> None:
        for key in OTHERS:
            for call in (store.commit(Txn(then=(Put(key, "v"),))), store.get(key)):
                with pytest.raises(StoreRefused, match="permission denied") as raised:
                    await call
                for words in (papers.cert_file, key, "mirrorfarm etcd secure"):
                    assert words in str(raised.value)
        with pytest.raises(StoreRefused):
            await store.range("/mirrorfarm/")
        # A transaction is refused as a whole.
        with pytest.raises(StoreRefused):
            await store.commit(Txn(then=(Put(KEY, "v"), Put("/other", "v"))))
        assert await store.get(KEY) is None
        async with store.watch("/mirrorfarm/") as watch:
            waiting = asyncio.ensure_future(anext(watch))
            while "mirrorfarm etcd secure" not in (watch.problem or ""):
                await asyncio.sleep(0.02)
            assert not waiting.done()
            waiting.cancel()

    run(secured.config(papers), scenario)


def test_a_node_gives_no_rights(secured: SecuredEtcd) -> None:
    with EtcdClient(secured.endpoints, secured.papers("a")) as client:
        with pytest.raises(Refused, match="permission denied"):
            client.access()
        with pytest.raises(Refused, match="permission denied"):
            client.take(GiveRole("a", "root"))


def test_a_node_that_was_not_named_may_nothing_until_it_is(
    secured: SecuredEtcd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secured.command("pki", "issue", "c")
    config = secured.config(secured.papers("c"))
    assert "permission denied" in refusal(config, StoreRefused)
    (found,) = (f for f in check(secured, "c", tmp_path, capsys) if f["level"] == "error")
    assert MINE in found["says"] and "its user c" in found["says"] and "etcd secure --node c" in found["remedy"]
    secured.command("etcd", "secure")

    async def scenario(store: Store) -> None:
        assert await store.get(KEY) is None

    run(config, scenario)


def check(etcd: SecuredEtcd, node: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    """What ``mirrorfarm check`` finds of etcd on a node; of its elections it asks the processes of the machine."""
    config = etcd.config(etcd.papers(node))
    endpoints = ", ".join(f'"{endpoint}"' for endpoint in config.endpoints)
    file = directory / "agent.toml"
    file.write_text(
        f'cluster = "main"\nnode = "{node}"\n[etcd]\nendpoints = [{endpoints}]\nca_file = "{config.ca_file}"\n'
        f'cert_file = "{config.cert_file}"\nkey_file = "{config.key_file}"\n'
    )
    capsys.readouterr()
    main(["--config", str(file), "check", "--json"])
    findings: list[dict[str, str]] = json.loads(capsys.readouterr().out)["findings"]
    return [f for f in findings if f["subject"].startswith("etcd") and f["subject"] != "etcd elections"]


# --- who does not get in ----------------------------------------------------------------------------------


def test_without_a_certificate(secured: SecuredEtcd) -> None:
    config = secured.config(Papers(secured.root.ca_file, "", ""), QUICK_MS)
    assert "no certificate, since etcd.cert_file names none" in refusal(config, StoreUnreachable)
    assert all("does not take the certificate" in e.problem for e in Probe(config).endpoints())


def test_with_another_clusters(secured: SecuredEtcd, tmp_path: Path) -> None:
    """Of the same name, for a node of the same name."""
    other = Cluster(tmp_path / "pki", "a").directory("a")
    papers = Papers(secured.root.ca_file, str(other / "node.crt"), str(other / "node.key"))
    config = secured.config(papers, QUICK_MS)
    assert "another cluster's" in refusal(config, StoreUnreachable)
    assert all(papers.cert_file in e.problem for e in Probe(config).endpoints())


def test_an_etcd_of_another_cluster_is_not_believed(secured: SecuredEtcd, tmp_path: Path) -> None:
    other = Cluster(tmp_path / "pki").authority
    assert other.cluster == "main"
    own = secured.papers("a")
    papers = Papers(str(tmp_path / "pki/authority/authority.crt"), own.cert_file, own.key_file)
    config = secured.config(papers, QUICK_MS)
    assert f"{papers.ca_file} has not signed" in refusal(config, StoreUnreachable)
    assert all("its certificate is not taken" in e.problem for e in Probe(config).endpoints())


def test_with_a_revoked_one_and_what_stands_ends_with_its_user(secured: SecuredEtcd) -> None:
    secured.command("pki", "issue", "d")
    secured.command("etcd", "secure")
    config = secured.config(secured.papers("d"), QUICK_MS)

    async def scenario(store: Store) -> None:
        assert await store.get(KEY) is None
        await asyncio.to_thread(secured.command, "pki", "revoke", "d", "--yes", "d")
        # A connection that stands goes on, until the user is gone.
        assert await store.get(KEY) is None
        await asyncio.to_thread(secured.control, "user", "delete", "d")
        with pytest.raises(StoreRefused, match="permission denied"):
            await store.get(KEY)

    run(config, scenario)
    assert "revoked" in refusal(config, StoreUnreachable)
    assert all("was revoked" in e.problem for e in Probe(config).endpoints())

    async def goes_on(store: Store) -> None:
        assert await store.get(KEY) is None

    run(secured.config(secured.papers("a")), goes_on)


@pytest.mark.parametrize("name", ["a", "root"])
def test_an_operator_is_none_of_etcds_users_whatever_he_is_called(secured: SecuredEtcd, name: str) -> None:
    """The authority has signed for him, and there are users of etcd of both names."""
    secured.command("pki", "issue", "--operator", name)
    folder = secured.pki / "operators" / name
    papers = Papers(*(str(folder / file) for file in ("authority.crt", "operator.crt", "operator.key")))
    assert "permission denied" in refusal(secured.config(papers), StoreRefused)
    with EtcdClient(secured.endpoints, papers) as client, pytest.raises(Refused):
        client.take(GiveRole("a", "root"))


def test_a_node_is_no_member_of_etcd(secured: SecuredEtcd) -> None:
    """The authority has signed for it, too, and for its address; a member's own shows that the question is one."""

    def ask(cert_file: str, key_file: str) -> int:
        context = ssl.create_default_context(cafile=secured.root.ca_file)
        context.load_cert_chain(cert_file, key_file)
        connection = http.client.HTTPSConnection("127.0.0.1", secured.peer_port, timeout=10, context=context)
        try:
            connection.request("GET", "/members")
            return connection.getresponse().status
        finally:
            connection.close()

    member = secured.pki / "etcd" / "b"
    assert ask(str(member / "etcd.crt"), str(member / "etcd.key")) == 200
    # etcd asks for an address first, and one that the certificate has is let in without the members' own name.
    secured.command("pki", "issue", "f", "--address", "127.0.0.1")
    node = secured.papers("f")
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(node.cert_file, node.key_file)


# --- certificates that change -----------------------------------------------------------------------------


def serial_shown(etcd: SecuredEtcd, port: int) -> str:
    """Of the certificate that member ``a`` shows."""
    member = etcd.pki / "etcd" / "b"
    context = ssl.create_default_context(cafile=etcd.root.ca_file)
    context.load_cert_chain(member / "etcd.crt", member / "etcd.key")
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.connect()
        shown = connection.sock.getpeercert()
        return str((shown or {})["serialNumber"])
    finally:
        connection.close()


def test_a_renewed_certificate_is_shown_without_a_restart(secured: SecuredEtcd) -> None:
    pid = secured.pid("a")
    former = {port: serial_shown(secured, port) for port in (secured.client_port, secured.peer_port)}

    async def scenario(store: Store) -> None:
        async with store.watch(MINE) as watch:
            await anext(watch)
            await asyncio.to_thread(secured.command, "etcd", "renew", "a")
            for port, serial in former.items():
                assert await asyncio.to_thread(serial_shown, secured, port) != serial
            revision = (await store.commit(Txn(then=(Put(KEY, "renewed"),)))).revision
            assert (await anext(watch)).revision == revision

    run(secured.config(secured.papers("a")), scenario)
    # The other members talk to it, too.
    secured.kill("b")
    secured.start("b")
    secured.wait_healthy()
    assert secured.pid("a") == pid


def test_an_agent_shows_its_renewed_certificate_when_the_former_one_is_good_no_more(secured: SecuredEtcd) -> None:
    """Nobody restarts it; a connection that stands goes on until it ends."""
    secured.command("pki", "issue", "e")
    secured.command("etcd", "secure")
    key_file = Path(secured.papers("e").key_file)

    async def scenario(store: Store) -> None:
        lease = await store.grant(60)
        former = secured.serials("e")
        await asyncio.to_thread(secured.command, "pki", "renew", "e")
        new = key_file.read_bytes()
        for serial in former:
            await asyncio.to_thread(secured.command, "pki", "revoke", "e", "--serial", serial, "--yes", "e")
        # Somebody is in the middle of copying: the key does not fit.
        key_file.write_bytes((secured.pki / "nodes/a/node.key").read_bytes())
        assert await store.keep_alive(lease) == 60
        for member in MEMBERS:
            secured.kill(member)
            secured.start(member)
        await asyncio.to_thread(secured.wait_healthy)
        with pytest.raises(StoreUnreachable):
            await store.get(KEY)
        key_file.write_bytes(new)
        assert await store.keep_alive(lease) == 60
        assert (await store.commit(Txn(then=(Put(KEY, "anew", lease),)))).succeeded
        async with store.watch(MINE) as watch:
            item = await anext(watch)
            assert isinstance(item, Snapshot) and item.kvs[KEY].value == "anew"
        await store.revoke(lease)

    run(secured.config(secured.papers("e"), QUICK_MS), scenario)


# --- what the operator sees -------------------------------------------------------------------------------


def test_check_sees_a_good_etcd_as_good(
    secured: SecuredEtcd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_etcd = check(secured, "a", tmp_path, capsys)
    assert [f for f in of_etcd if f["level"] == "error"] == []
    assert {"3 voters"} <= {f["says"] for f in of_etcd}
    # The release of the machine that runs the tests may be an old one.
    assert all(f["subject"] == "etcd version" for f in of_etcd if f["level"] == "warning")


def test_a_second_etcd_over_the_first_is_refused(secured: SecuredEtcd) -> None:
    members = [f"--member={name}=127.0.0.{number}" for number, name in ((1, "x"), (2, "y"), (3, "z"))]
    assert secured.try_command("etcd", "init", *members) != 0
    assert not (secured.pki / "etcd" / "x").exists()
