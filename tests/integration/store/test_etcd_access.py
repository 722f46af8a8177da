"""Authentication and TLS against a real etcd: tokens that end, permissions, certificates."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manager.model.config.agent_config import EtcdConfig
from manager.model.errors import ConfigError
from manager.store.api import Put, Snapshot, Store, StoreRefused, StoreUnreachable, Txn
from manager.store.etcd import connect
from tests.support.etcd import EtcdCluster, Tls, make_tls

ROOT = "root:secret"
TOKEN_TTL_S = 1
MINE = Txn(then=(Put("/mine/k", "v"),))

Scenario = Callable[[Store], Awaitable[None]]


def run(config: EtcdConfig, scenario: Scenario) -> None:
    async def play() -> None:
        store = connect(config)
        try:
            async with asyncio.timeout(30):
                await scenario(store)
        finally:
            await store.close()

    asyncio.run(play())


# --- users and tokens -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded() -> Iterator[EtcdCluster]:
    """The user ``agent`` may do everything below ``/mine/``, and only there."""
    with EtcdCluster(arguments=("--auth-token-ttl", str(TOKEN_TTL_S), "--bcrypt-cost", "4")) as cluster:
        cluster.control("user", "add", ROOT)
        cluster.control("user", "grant-role", "root", "root")
        cluster.control("role", "add", "mine")
        cluster.control("role", "grant-permission", "--prefix=true", "mine", "readwrite", "/mine/")
        cluster.control("user", "add", "agent:word")
        cluster.control("user", "grant-role", "agent", "mine")
        cluster.control("auth", "enable")
        yield cluster


@pytest.fixture
def agent(guarded: EtcdCluster, tmp_path: Path) -> EtcdConfig:
    password = tmp_path / "password"
    password.write_text("word\nnot this\n")
    return EtcdConfig(endpoints=guarded.endpoints, user="agent", password_file=str(password))


def test_a_user_may_do_what_it_is_permitted(agent: EtcdConfig) -> None:
    async def scenario(store: Store) -> None:
        lease = await store.grant(30)
        assert (await store.commit(Txn(then=(Put("/mine/k", "v", lease),)))).succeeded
        assert await store.keep_alive(lease) == 30
        assert set((await store.range("/mine/")).kvs) == {"/mine/k"}
        async with store.watch("/mine/") as watch:
            assert isinstance(await anext(watch), Snapshot)
        for forbidden in (store.commit(Txn(then=(Put("/theirs", "v"),))), store.get("/theirs"), store.range("")):
            with pytest.raises(StoreRefused, match="permission denied"):
                await forbidden
        await store.revoke(lease)

    run(agent, scenario)


def test_a_watch_without_permission_says_so_and_does_not_end(agent: EtcdConfig) -> None:
    async def scenario(store: Store) -> None:
        async with store.watch("/theirs/") as watch:
            waiting = asyncio.ensure_future(anext(watch))
            while "permission denied" not in (watch.problem or ""):
                await asyncio.sleep(0.02)
            assert not waiting.done()
            waiting.cancel()

    run(agent, scenario)


def test_a_token_that_ended_is_replaced_unnoticed(agent: EtcdConfig) -> None:
    async def scenario(store: Store) -> None:
        await store.commit(MINE)
        lease = await store.grant(60)
        async with store.watch("/mine/") as watch:
            await anext(watch)
            # etcd looks for tokens that have ended once a second.
            await asyncio.sleep(TOKEN_TTL_S + 1.5)
            assert await store.keep_alive(lease) == 60
            revision = (await store.commit(MINE)).revision
            while (await anext(watch)).revision < revision:
                pass
        # The token had ended; a new watch needs the new one.
        async with store.watch("/mine/") as watch:
            assert isinstance(await anext(watch), Snapshot)

    run(agent, scenario)


def test_permissions_that_change_do_not_stop_a_user_that_has_them(guarded: EtcdCluster, agent: EtcdConfig) -> None:
    async def scenario(store: Store) -> None:
        await store.commit(MINE)
        # Makes the token's "auth revision" an old one.
        guarded.control("role", "grant-permission", "mine", "read", "/other", user=ROOT)
        assert (await store.commit(MINE)).succeeded
        assert await store.get("/other") is None

    run(agent, scenario)


def test_a_password_that_was_changed_is_taken_from_its_file_when_it_is_needed(
    guarded: EtcdCluster, agent: EtcdConfig, tmp_path: Path
) -> None:
    password = tmp_path / "changed"

    def make(word: str) -> None:
        guarded.control("user", "add", f"changed:{word}", user=ROOT)
        guarded.control("user", "grant-role", "changed", "mine", user=ROOT)
        password.write_text(f"{word}\n")

    async def scenario(store: Store) -> None:
        await store.commit(MINE)
        guarded.control("user", "delete", "changed", user=ROOT)
        make("two")
        assert (await store.commit(MINE)).succeeded
        # While somebody is about to write it, the one that was read last is shown.
        password.unlink()
        await asyncio.sleep(TOKEN_TTL_S + 1.5)
        assert (await store.commit(MINE)).succeeded
        guarded.control("user", "delete", "changed", user=ROOT)

    make("one")
    run(replace(agent, user="changed", password_file=str(password)), scenario)


def test_a_wrong_password_is_refused(agent: EtcdConfig, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("guess\n")

    async def scenario(store: Store) -> None:
        with pytest.raises(StoreRefused, match="authentication failed"):
            await store.commit(MINE)
        (status,) = (await store.status()).endpoints
        assert "authentication failed" in (status.problem or "")

    run(replace(agent, password_file=str(wrong)), scenario)


def test_without_a_user_a_guarded_store_refuses(agent: EtcdConfig) -> None:
    async def scenario(store: Store) -> None:
        with pytest.raises(StoreRefused, match="user name is empty"):
            await store.commit(MINE)

    run(replace(agent, user="", password_file=""), scenario)


def test_authentication_may_be_switched_on_and_off_meanwhile(guarded: EtcdCluster, agent: EtcdConfig) -> None:
    async def scenario(store: Store) -> None:
        await store.commit(MINE)
        guarded.control("auth", "disable", user=ROOT)
        try:
            await store.commit(MINE)
            other = connect(agent)
            await other.commit(MINE)
        finally:
            guarded.control("auth", "enable")
        for client in (store, other):
            assert (await client.commit(MINE)).succeeded
        await other.close()

    run(agent, scenario)


# --- TLS --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(tls: Tls) -> Iterator[EtcdCluster]:
    with EtcdCluster(tls=tls) as cluster:
        yield cluster


@pytest.fixture
def shown(secure: EtcdCluster, tls: Tls) -> EtcdConfig:
    return EtcdConfig(
        endpoints=secure.endpoints,
        ca_file=str(tls.ca),
        cert_file=str(tls.client_cert),
        key_file=str(tls.client_key),
    )


def test_both_ends_show_certificates(shown: EtcdConfig) -> None:
    async def scenario(store: Store) -> None:
        await store.commit(MINE)
        async with store.watch("/mine/") as watch:
            snapshot = await anext(watch)
            assert isinstance(snapshot, Snapshot) and set(snapshot.kvs) == {"/mine/k"}

    run(shown, scenario)


def test_a_client_without_a_certificate_gets_nowhere(shown: EtcdConfig) -> None:
    async def scenario(store: Store) -> None:
        with pytest.raises(StoreUnreachable):
            await store.commit(MINE)

    run(replace(shown, cert_file="", key_file="", call_timeout_ms=500), scenario)


def test_a_server_of_another_ca_is_not_believed(shown: EtcdConfig, tmp_path: Path) -> None:
    other = make_tls(tmp_path)

    async def scenario(store: Store) -> None:
        with pytest.raises(StoreUnreachable):
            await store.commit(MINE)

    run(replace(shown, ca_file=str(other.ca), call_timeout_ms=500), scenario)


@pytest.mark.parametrize("key", ["ca_file", "cert_file", "key_file"])
@pytest.mark.parametrize("content", [None, b"", b"not a certificate", b"\xff\xfe"])
def test_a_certificate_file_that_is_wrong_is_named(
    shown: EtcdConfig, tmp_path: Path, key: str, content: bytes | None
) -> None:
    file = tmp_path / "wrong.pem"
    if content is not None:
        file.write_bytes(content)
    changes: dict[str, Any] = {key: str(file)}
    with pytest.raises(ConfigError) as raised:
        connect(replace(shown, **changes))
    assert str(file) in str(raised.value)
    assert "allowed" in str(raised.value)


def test_a_key_of_another_certificate_is_named(shown: EtcdConfig, tls: Tls) -> None:
    with pytest.raises(ConfigError) as raised:
        connect(replace(shown, key_file=str(tls.server_key)))
    assert str(tls.server_key) in str(raised.value)
    assert str(tls.client_cert) in str(raised.value)
