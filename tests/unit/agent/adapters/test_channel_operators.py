"""Operators at the agents' channel, by the command's own client: who may do what, and who passes for nobody else."""

import asyncio
import datetime
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from agent.adapters.calls import Caller, Handler, Report
from agent.adapters.channel_callers import who_is
from agent.adapters.channel_server import DEFAULT_LIMITS, Limits
from manager.cli import operator_papers
from manager.cli.client import AgentClient
from manager.cli.operator_client import OperatorClient, by_agent
from manager.cli.operator_papers import Papers, open_papers
from manager.model.api import ApiError, ErrorKind, NodeInfo, NodeInfoArguments, RegisteredNode
from manager.model.api_asides import (
    AsideClearArguments,
    AsideGiveUpArguments,
    AsideListArguments,
    AsideRestoreArguments,
)
from manager.model.api_calls import CALL_OF, CALLS
from manager.model.api_channel import APPLICATION, MAX_REQUEST_BYTES, OPERATING, READING, STEERING
from manager.model.api_farm import FarmTrafficArguments
from manager.model.api_lines import greeting_line, read_answer, request_line
from manager.model.api_modules import ApplyArguments, ApplyResult, RemoveArguments
from manager.model.api_requests import Action, RequestArguments, RequestProgress, RequestResult
from manager.model.api_verify import VerifyArguments
from manager.model.asides import AsideReport
from manager.model.node_identity import (
    AUTHORITY_CERTIFICATE,
    NODE_CERTIFICATE,
    NODE_KEY,
    OPERATOR_CERTIFICATE,
    OPERATOR_KEY,
    NodeIdentity,
    OperatorIdentity,
)
from manager.pki.register import Use
from tests.support.certificates import Cluster
from tests.unit.agent.adapters.channel_ends import HERE, REACH_S, Server, greeting_of, hang, run

OF_OPERATORS = (
    ApplyArguments("name", {}, False),
    RemoveArguments("db", ()),
    AsideRestoreArguments("db", 1, "/srv/db/x", "/tmp/x"),
    AsideClearArguments("db", 1),
    AsideGiveUpArguments("db", "b"),
    FarmTrafficArguments("web", False),
    VerifyArguments("db", 10, True, None),
)
QUICK = Limits(alive_s=0.02)


async def done(arguments: Any, caller: Caller, report: Report) -> AsideReport:
    return AsideReport(caller.name, "", False, 0, ())


async def node_info(arguments: NodeInfoArguments, caller: Caller, report: Report) -> NodeInfo:
    return NodeInfo("main", "b", caller.name, True, ())


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "pki", "a", "b", "c")


def papers(cluster: Cluster, directory: Path) -> Papers:
    """What is in ``directory``, as the command opens it; also where it would refuse that itself."""
    link = cluster.root.parent / "typing/operators" / directory.name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(directory)
    long_ago = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    return open_papers(directory.name, str(link.parent.parent), lambda question: "", long_ago)


class Operator:
    """Types at another machine than the server's."""

    def __init__(self, cluster: Cluster, directory: Path, port: int, node: str = "b") -> None:
        self.client = OperatorClient(papers(cluster, directory), lambda node: (HERE,), port, node)

    async def ask(self, arguments: Any, **more: Any) -> Any:
        return await asyncio.to_thread(self.client.call, arguments, **more)

    async def refusal(self, arguments: Any, **more: Any) -> ApiError:
        try:
            result = await self.ask(arguments, **more)
        except ApiError as error:
            return error
        raise AssertionError(f"it was answered: {result}")


def server_of(cluster: Cluster, limits: Limits = DEFAULT_LIMITS, **more: Any) -> Server:
    handlers: dict[str, Handler] = {CALL_OF[type(one)]: done for one in OF_OPERATORS}
    handlers |= {"node.info": node_info, "aside.list": hang}
    return Server(handlers | more.pop("handlers", {}), cluster.directory("b"), limits, **more)


def test_each_call_is_for_everybody_or_for_nodes_or_for_operators() -> None:
    assert CALLS.keys() == READING | STEERING | OPERATING
    assert not READING & STEERING and not OPERATING & (READING | STEERING)
    assert {CALL_OF[type(one)] for one in OF_OPERATORS} == OPERATING | {"verify"}


def test_an_operator_may_do_what_a_node_may_not_and_is_named(cluster: Cluster) -> None:
    async def story() -> None:
        async with server_of(cluster).opened() as b:
            alice = Operator(cluster, cluster.operator("alice"), b.port)
            node = b.client(cluster.directory("a"))
            for arguments in OF_OPERATORS:
                error = await node.refusal(arguments)
                assert error.kind is ErrorKind.REFUSED and "from another node" in error.message
                assert "--operator NAME beside --node" in error.remedy
                if not isinstance(arguments, ApplyArguments | RemoveArguments | FarmTrafficArguments | VerifyArguments):
                    assert (await alice.ask(arguments)).request_id == "operator alice"
            assert (await alice.ask(NodeInfoArguments())).software == "operator alice"
            assert {who for who, _ in b.asked} == {"operator alice"}
            assert set(b.reasons) == {"request"}, "the node's, and no other"

    run(story)


class AgentOfA:
    """This node's, a's, which is asked where the others are."""

    def call(self, arguments: NodeInfoArguments) -> NodeInfo:
        nodes = (
            RegisteredNode("a", ("10.0.0.1", "172.17.0.1"), "1", ""),
            RegisteredNode("b", ("10.0.0.2", "172.17.0.1"), "1", ""),
        )
        return NodeInfo("main", "a", "1", True, nodes, known=("a", "b", "c"))

    def close(self) -> None:
        """Nothing is open."""


def test_a_node_is_not_looked_for_where_this_one_is_itself() -> None:
    where = by_agent(cast(AgentClient, AgentOfA()))
    assert where("b") == ("10.0.0.2",), "each machine has a bridge for containers of its own"
    assert where("a") == ("10.0.0.1", "172.17.0.1")
    assert where("c") == (), "it is known, and not registered"


@pytest.mark.parametrize("user", ["operator alice", "operator\u200b alice", "operator  alice"])
def test_whom_a_node_names_as_an_operator_does_not_read_as_one(user: str) -> None:
    node = who_is(NodeIdentity("0" * 32, "main", "c"), greeting_of("c"), HERE)
    assert node.caller(user).name.startswith('"operator ') and node.caller(user).name.endswith('" on c')
    assert node.caller("root").name == "root on c"
    alice = who_is(OperatorIdentity("0" * 32, "main", "alice"), greeting_of("c"), HERE)
    assert alice.caller("root").name == "operator alice"


async def big(arguments: ApplyArguments, caller: Caller, report: Report) -> ApplyResult:
    return ApplyResult("db", len(arguments.toml), True, True, ("a", "b"), ())


def test_a_modules_folder_is_taken_of_an_operator_and_is_too_long_of_a_node(cluster: Cluster) -> None:
    folder = ApplyArguments("x" * (8 * MAX_REQUEST_BYTES), {}, False)

    async def story() -> None:
        async with server_of(cluster, handlers={"module.apply": big}).opened() as b:
            result = await Operator(cluster, cluster.operator("alice"), b.port).ask(folder)
            assert result.generation == 8 * MAX_REQUEST_BYTES
            error = await b.client(cluster.directory("a")).refusal(folder)
            assert error.kind in (ErrorKind.UNREACHABLE, ErrorKind.OUTCOME_UNKNOWN)
            assert b.reasons == ["garbage"]

    run(story)


@pytest.mark.parametrize(
    ("kind", "found", "says"),
    [
        ("revoked", "tls_revoked", "node b says that the certificate of operator x is revoked."),
        ("expired", "tls_expired", "node b says that the certificate of operator x is over"),
        ("early", "tls_early", "node b does not take the certificate of operator x: by its clock it may not be good"),
        ("equal", "tls_stranger", "node b says that the certificate of operator x is of another authority"),
        ("other", "identity", "node b shows a certificate of another cluster, main ("),
    ],
)
def test_who_is_not_good_is_refused_and_told_why_and_the_others_go_on(
    cluster: Cluster, kind: str, found: str, says: str
) -> None:
    directory, good = cluster.bad_operator(kind, "x"), cluster.operator("alice")
    cluster.hand_out_revoked("b")

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            error = await Operator(cluster, directory, b.port).refusal(AsideClearArguments("db", 1))
            assert error.kind is ErrorKind.UNREACHABLE and error.message.startswith(says), error.message
            assert error.meaning == "Nothing was changed." and error.remedy
            if kind != "other":  # There the operator's end is the first that finds it out.
                await b.until(lambda: b.refused)
                assert b.reasons == [found]
            assert not b.asked
            await Operator(cluster, good, b.port).ask(AsideClearArguments("db", 1))
            await b.client(cluster.directory("a")).ask(NodeInfoArguments())

    run(story)


def raw(cluster: Cluster, directory: Path, names: tuple[str, str], port: int, *lines: bytes) -> list[bytes]:
    """What the server at ``port`` says to whoever shows these files, whatever they are."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cluster.directory("b") / AUTHORITY_CERTIFICATE)
    context.load_cert_chain(directory / names[0], directory / names[1])
    context.set_alpn_protocols([APPLICATION])
    said = b""
    with context.wrap_socket(socket.create_connection((HERE, port), REACH_S)) as tls:
        tls.sendall(b"".join(lines))
        while more := tls.recv(65536):
            said += more
            if said.count(b"\n") == 2:
                break
    return said.splitlines()


def test_another_clusters_operator_is_refused_by_the_node_also_where_his_end_does_not_look(cluster: Cluster) -> None:
    directory = cluster.bad_operator("other", "x")

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            files = (OPERATOR_CERTIFICATE, OPERATOR_KEY)
            lines = greeting_line(greeting_of("")), request_line(1, AsideClearArguments("db", 1))
            assert await asyncio.to_thread(raw, cluster, directory, files, b.port, *lines) == []
            assert b.reasons == ["identity"] and not b.asked

    run(story)


def test_a_nodes_certificate_makes_nobody_an_operator_whatever_is_said(cluster: Cluster, tmp_path: Path) -> None:
    posing = tmp_path / "alice"
    posing.mkdir()
    for here, there in ((NODE_CERTIFICATE, OPERATOR_CERTIFICATE), (NODE_KEY, OPERATOR_KEY)):
        (posing / there).touch(0o600)
        (posing / there).write_bytes((cluster.directory("a") / here).read_bytes())
    with pytest.raises(ApiError, match="names no operator of a cluster"):
        papers(cluster, posing)

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            for node, user in (("", "operator alice"), ("alice", "alice"), ("a", "operator alice")):
                lines = greeting_line(greeting_of(node)), request_line(1, AsideClearArguments("db", 1), "b", user)
                files = (OPERATOR_CERTIFICATE, OPERATOR_KEY)
                _, answer = await asyncio.to_thread(raw, cluster, posing, files, b.port, *lines)
                error = read_answer("aside.clear", answer).error
                assert error is not None and error.kind is ErrorKind.REFUSED and "from another node" in error.message
            assert not b.asked and b.reasons == ["request"]

    run(story)


def test_an_operators_certificate_makes_no_node(cluster: Cluster, tmp_path: Path) -> None:
    """An agent with it answers nobody and asks nobody: its own credentials are not good."""
    posing = tmp_path / "posing"
    posing.mkdir()
    operator = cluster.operator("c")
    pairs = ((OPERATOR_CERTIFICATE, NODE_CERTIFICATE), (OPERATOR_KEY, NODE_KEY))
    for here, there in (*pairs, (AUTHORITY_CERTIFICATE, AUTHORITY_CERTIFICATE), ("revoked.crl", "revoked.crl")):
        (posing / there).touch(0o600)
        (posing / there).write_bytes((operator / here).read_bytes())

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            error = await b.client(posing, "c").refusal(NodeInfoArguments())
            assert error.kind is ErrorKind.UNREACHABLE and "is not one of a node" in error.message
        async with Server({"node.info": node_info}, posing, node="c").opened() as c:
            error = await c.client(cluster.directory("a")).refusal(NodeInfoArguments(), node="c")
            assert error.kind is ErrorKind.UNREACHABLE
            assert c.reasons == ["tls_unusable"]

    run(story)


def test_an_operator_believes_no_node_but_the_one_that_he_asks(cluster: Cluster) -> None:
    alice = cluster.operator("alice")

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            error = await Operator(cluster, alice, b.port, "c").refusal(NodeInfoArguments())
            assert error.message == "node c shows the certificate of node b." and not b.asked
        stranger = cluster.of_an_equal_authority("b")
        async with Server({"node.info": node_info}, stranger).opened() as equal:
            error = await Operator(cluster, alice, equal.port).refusal(NodeInfoArguments())
            assert "is not believed: its certificate was not signed by this cluster's authority" in error.message
            assert not equal.asked
        async with Server({"node.info": node_info}, cluster.revoked("d"), node="d").opened() as d:
            error = await Operator(cluster, alice, d.port, "d").refusal(NodeInfoArguments())
            assert error.message == "node d is not believed: its certificate is revoked." and not d.asked

    run(story)


def test_a_plain_agent_and_one_of_before_operators_are_told_apart_from_nobody_there(cluster: Cluster) -> None:
    directory = cluster.operator("alice")

    async def story() -> None:
        async with Server({"node.info": node_info}, None).opened() as plain:
            error = await Operator(cluster, directory, plain.port).refusal(AsideClearArguments("db", 1))
            assert error.kind is ErrorKind.UNREACHABLE and not plain.asked
            assert "no TLS" in error.message or "without a word" in error.message
        with socket.create_server((HERE, 0)) as older:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cluster.directory("b") / NODE_CERTIFICATE, cluster.directory("b") / NODE_KEY)
            context.set_alpn_protocols([APPLICATION])

            def as_of_before() -> None:
                """Takes the certificate, finds no node in it, and closes."""
                with context.wrap_socket(older.accept()[0], server_side=True) as tls:
                    tls.recv(1)

            told = asyncio.create_task(asyncio.to_thread(as_of_before))
            error = await Operator(cluster, directory, older.getsockname()[1]).refusal(AsideClearArguments("db", 1))
            await told
            assert error.message == "node b ends the connection without a word."
            assert "its release be older than operators' certificates" in error.remedy
            port = older.getsockname()[1]
        error = await Operator(cluster, directory, port).refusal(AsideClearArguments("db", 1))
        assert error.message.startswith("node b was not reached: connection refused (127.0.0.1, TCP port")

    run(story)


@pytest.mark.parametrize("what", ["revoked", "over"])
def test_what_an_operator_has_under_way_ends_with_his_certificate(cluster: Cluster, what: str) -> None:
    directory, ahead_s, ended = cluster.operator("alice"), [0.0], asyncio.Event()

    async def clear(arguments: AsideClearArguments, caller: Caller, report: Report) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def story() -> None:
        server = server_of(cluster, QUICK, handlers={"aside.clear": clear}, now_s=lambda: time.time() + ahead_s[0])
        async with server.opened() as b:
            alice = Operator(cluster, directory, b.port)
            clearing = asyncio.create_task(alice.refusal(AsideClearArguments("db", 1), timeout_s=None))
            node = asyncio.create_task(b.client(cluster.directory("a")).ask(AsideListArguments("db")))
            await b.until(lambda: len(b.asked) == 2)
            if what == "revoked":
                cluster.office.revoke("alice", uses=(Use.OPERATOR,))
                cluster.hand_out_revoked("b")
            else:
                ahead_s[0] = 400 * 86400.0
            error = await clearing
            assert error.kind is ErrorKind.OUTCOME_UNKNOWN and ended.is_set()
            assert error.message.startswith("What was asked for was ended: ")
            assert "his certificate is over" in error.message or "list of what is revoked" in error.message
            assert not node.done(), "another node's call goes on"
            node.cancel()
            if what == "revoked":
                error = await alice.refusal(NodeInfoArguments())
                assert error.message == "node b says that the certificate of operator alice is revoked."

    run(story)


def test_a_connection_that_breaks_in_the_midst_is_told_as_unknown_and_of_what_changes_nothing_as_no_answer(
    cluster: Cluster,
) -> None:
    directory = cluster.operator("alice")

    async def story() -> None:
        b = server_of(cluster, handlers={"aside.clear": hang})
        async with b.opened():
            first = Operator(cluster, directory, b.port)
            second = Operator(cluster, directory, b.port)
            clearing = asyncio.create_task(first.refusal(AsideClearArguments("db", 1), timeout_s=None))
            listing = asyncio.create_task(second.refusal(AsideListArguments("db"), timeout_s=None))
            await b.until(lambda: len(b.asked) == 2)
        error = await clearing
        assert error.kind is ErrorKind.OUTCOME_UNKNOWN
        assert "(aside.clear) may have been done, in part or as a whole, or may still be." in error.meaning
        assert (await listing).kind is ErrorKind.UNREACHABLE

    run(story)


def test_an_agent_that_falls_silent_is_given_up(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = cluster.operator("alice")
    monkeypatch.setattr("manager.cli.operator_client.SILENCE_S", 0.2)

    async def story() -> None:
        b = server_of(cluster, Limits(alive_s=1000.0), handlers={"aside.clear": hang})
        async with b.opened():
            error = await Operator(cluster, directory, b.port).refusal(AsideClearArguments("db", 1), timeout_s=None)
            assert error.kind is ErrorKind.OUTCOME_UNKNOWN and "has said nothing for" in error.message

    run(story)


def test_a_long_call_is_waited_for_and_tells_its_progress(cluster: Cluster) -> None:
    async def request(arguments: RequestArguments, caller: Caller, report: Report) -> RequestResult:
        await report(RequestProgress("accepted"))
        await asyncio.sleep(0.2)
        return RequestResult(caller.name, "b", "done")

    async def story() -> None:
        async with server_of(cluster, QUICK, handlers={"request": request}).opened() as b:
            told: list[Any] = []
            alice = Operator(cluster, cluster.operator("alice"), b.port)
            asked = RequestArguments("db", Action.SWAP, "b", {}, True, 1000)
            result = await alice.ask(asked, timeout_s=None, on_progress=told.append)
            assert result.request_id == "operator alice" and told == [RequestProgress("accepted")]

    run(story)


def test_half_a_request_of_an_operator_is_waited_for_longer_than_a_strangers_and_not_for_ever(cluster: Cluster) -> None:
    directory, half = cluster.operator("alice"), b'{"id": 1, "call": '

    async def story() -> None:
        async with server_of(cluster, Limits(stranger_s=REACH_S, operator_s=0.3)).opened() as b:
            files, greeting = (OPERATOR_CERTIFICATE, OPERATOR_KEY), greeting_line(greeting_of(""))
            assert len(await asyncio.to_thread(raw, cluster, directory, files, b.port, greeting, half)) == 1
            assert b.reasons == ["silent"] and not b.asked and not b.channel.visits

    run(story)


def test_one_operator_takes_no_more_calls_than_one_node(cluster: Cluster) -> None:
    directory = cluster.operator("alice")

    async def story() -> None:
        async with server_of(cluster, Limits(calls_of_node=2, gap_s=0.0)).opened() as b:
            asking = [
                asyncio.create_task(
                    Operator(cluster, directory, b.port).refusal(AsideListArguments("db"), timeout_s=None)
                )
                for _ in range(3)
            ]
            over, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            error = over.pop().result()
            assert error.kind is ErrorKind.BUSY and "2 of one operator" in error.message
            await b.client(cluster.directory("a")).ask(NodeInfoArguments())
        await asyncio.gather(*asking)

    run(story)


# What is refused before anybody is asked


def test_a_key_that_others_can_read_is_not_used(cluster: Cluster) -> None:
    directory = cluster.operator("alice")
    (directory / OPERATOR_KEY).chmod(0o640)
    with pytest.raises(ApiError, match="has mode 0640") as error:
        papers(cluster, directory)
    assert "chmod 600" in error.value.remedy


def test_a_passphrase_is_asked_for_once_and_has_to_be_right(cluster: Cluster) -> None:
    root = cluster.operator("alice", b"correct horse").parent.parent
    now, asked = datetime.datetime.now(datetime.UTC), list[str]()

    def typed(answer: str) -> Callable[[str], str]:
        def secret(question: str) -> str:
            asked.append(question)
            return answer

        return secret

    assert open_papers("alice", str(root), typed("correct horse"), now).identity.operator == "alice"
    assert asked == ["Passphrase of operator alice: "]
    for wrong in ("battery staple", "x"):
        with pytest.raises(ApiError, match="the passphrase is not that of the key"):
            open_papers("alice", str(root), typed(wrong), now)


def test_what_is_over_or_nobodys_or_soon_over_is_said(cluster: Cluster) -> None:
    root = cluster.operator("alice").parent.parent
    now = datetime.datetime.now(datetime.UTC)

    def opened(name: str, days: int) -> Papers:
        return open_papers(name, str(root), lambda question: "", now + datetime.timedelta(days=days))

    assert opened("alice", 0).soon == ""
    assert "is good until" in opened("alice", 364 - operator_papers.SOON.days + 2).soon
    with pytest.raises(ApiError, match="is over since") as error:
        opened("alice", 366)
    assert error.value.remedy.startswith("Where the cluster's authority is: mirrorfarm pki renew --operator alice")
    with pytest.raises(ApiError, match="Operator bob has no certificate here") as error:
        opened("bob", 0)
    assert ".mirrorfarm/operators/bob" in error.value.meaning
    (root / "operators/bob").symlink_to(root / "operators/alice")
    with pytest.raises(ApiError, match="it is that of operator alice"):
        opened("bob", 0)
