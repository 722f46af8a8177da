"""The agents' channel between two ends with real certificates: who is answered what, and who is not."""

import asyncio
import contextlib
import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.adapters.calls import Caller, Handler, Report
from agent.adapters.channel_server import DEFAULT_LIMITS, Limits
from agent.adapters.secure_lines import SecureLines
from manager.model.api import ApiError, ErrorKind, NodeInfo, NodeInfoArguments, StateArguments
from manager.model.api_channel import APPLICATION, MAX_REQUEST_BYTES
from manager.model.api_lines import greeting_line, read_answer, request_line
from manager.model.api_log_files import LogsArguments, LogsResult, LogText
from manager.model.api_modules import ApplyArguments
from manager.model.api_requests import (
    Action,
    HistoryArguments,
    HistoryResult,
    RequestArguments,
    RequestProgress,
    RequestResult,
)
from manager.model.api_verify import VerifyArguments
from manager.model.node_identity import AUTHORITY_CERTIFICATE, NODE_CERTIFICATE, NODE_KEY
from manager.pki.credentials import Contexts
from tests.support.certificates import Cluster, Watched
from tests.unit.agent.adapters.channel_ends import (
    HERE,
    REACH_S,
    Client,
    Server,
    greet,
    greeting_of,
    hang,
    listening,
    run,
    saying,
)


async def node_info(arguments: NodeInfoArguments, caller: Caller, report: Report) -> NodeInfo:
    return NodeInfo("main", "b", caller.name, True, ())


async def logs(arguments: LogsArguments, caller: Caller, report: Report) -> LogsResult:
    for number in range(arguments.lines):
        await report(LogText("f", f"{number} " + "x" * 100_000))
    return LogsResult("f", ())


async def refuse(arguments: StateArguments, caller: Caller, report: Report) -> None:
    raise ApiError(ErrorKind.REFUSED, "no", meaning="nothing changed", remedy="ask better", reason="busy")


ANSWERS: dict[str, Handler] = {"node.info": node_info, "logs": logs, "state": refuse, "diff": hang}


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "pki", "a", "b", "c")


def server_of(cluster: Cluster, limits: Limits = DEFAULT_LIMITS, handlers: dict[str, Handler] | None = None) -> Server:
    return Server(ANSWERS if handlers is None else handlers, cluster.directory("b"), limits)


def test_a_call_is_answered_with_who_asked_and_where(cluster: Cluster) -> None:
    async def story() -> None:
        async with server_of(cluster).opened() as b:
            client = b.client(cluster.directory("a"))
            for _ in range(3):
                assert (await client.ask(NodeInfoArguments())).software == "root on a"
            assert b.asked == [("root on a", "node.info")] * 3
            assert not b.refused

    run(story)


def test_what_is_long_comes_whole_and_in_order(cluster: Cluster) -> None:
    async def story() -> None:
        async with server_of(cluster).opened() as b:
            client = b.client(cluster.directory("a"))
            assert await client.ask(LogsArguments("db", lines=30)) == LogsResult("f", ())
            assert [p.text.split()[0] for p in client.reported] == [str(n) for n in range(30)]
            assert all(len(p.text) > 100_000 for p in client.reported)

    run(story)


def test_an_error_of_the_other_agent_comes_as_it_is(cluster: Cluster) -> None:
    async def story() -> None:
        async with server_of(cluster).opened() as b:
            error = await b.client(cluster.directory("a")).refusal(StateArguments())
            told = (error.kind, error.message, error.meaning, error.remedy, error.reason)
            assert told == (ErrorKind.REFUSED, "no", "nothing changed", "ask better", "busy")

    run(story)


def test_certificates_are_exchanged_without_a_stop(cluster: Cluster) -> None:
    async def story() -> None:
        async with server_of(cluster).opened() as b:
            client = b.client(cluster.directory("a"))
            await client.ask(NodeInfoArguments())
            for node in ("a", "b"):
                cluster.renew(node)
                await client.ask(NodeInfoArguments())
            assert b.watched is not None and client.watched is not None
            assert b.watched.taken == ["b", "b"] and client.watched.taken == ["a", "a"]

    run(story)


# Who is not heard, and not believed


def test_a_revoked_node_is_told_so_and_the_others_go_on(cluster: Cluster) -> None:
    revoked = cluster.revoked("d")
    cluster.hand_out_revoked("b")

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            error = await b.client(revoked, "d").refusal(NodeInfoArguments())
            assert error.kind is ErrorKind.UNREACHABLE
            assert error.message == "node b: the other node says that this node's certificate is revoked."
            await b.until(lambda: b.refused)
            assert b.reasons == ["tls_revoked"]
            await b.client(cluster.directory("a")).ask(NodeInfoArguments())

    run(story)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("of_an_equal_authority", "not signed by this cluster's authority"),
        ("of_another_cluster", "its certificate is of another cluster, main"),
    ],
)
def test_another_clusters_node_neither_asks_nor_is_asked(cluster: Cluster, kind: str, words: str) -> None:
    other = getattr(cluster, kind)("c")

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            assert words in (await b.client(other, "c").refusal(NodeInfoArguments())).message
            await b.until(lambda: b.refused)
            assert not b.asked
        async with Server(ANSWERS, other, node="c").opened() as c:
            error = await c.client(cluster.directory("a")).refusal(NodeInfoArguments(), node="c")
            assert words in error.message
            assert not c.asked

    run(story)


@pytest.mark.parametrize(("kind", "reason"), [("of_another_cluster", "identity"), ("own", "identity")])
def test_who_does_not_look_at_names_is_looked_at(cluster: Cluster, kind: str, reason: str) -> None:
    """A good certificate of the same authority, by a client that takes any server."""
    directory = cluster.directory("b") if kind == "own" else getattr(cluster, kind)("c")
    contexts = Watched(directory, "b" if kind == "own" else "c", APPLICATION).credentials.contexts()

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            assert await _said_to(b, contexts, request_line(1, NodeInfoArguments(), "b")) == b""
            await b.until(lambda: b.refused)
            assert b.reasons == [reason] and not b.asked

    run(story)


@pytest.mark.parametrize(
    ("alpn", "shows", "newest", "reason"),
    [
        ("mirrorfarm-stream", True, ssl.TLSVersion.TLSv1_3, "tls_other_use"),
        (APPLICATION, False, ssl.TLSVersion.TLSv1_3, "tls_no_certificate"),
        (APPLICATION, True, ssl.TLSVersion.TLSv1_2, "tls_garbage"),
    ],
)
def test_what_is_no_tls_1_3_of_this_channel_is_refused(
    cluster: Cluster, alpn: str, shows: bool, newest: ssl.TLSVersion, reason: str
) -> None:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.maximum_version = newest
    made.load_verify_locations(cluster.directory("b") / AUTHORITY_CERTIFICATE)
    if shows:
        made.load_cert_chain(cluster.directory("a") / NODE_CERTIFICATE, cluster.directory("a") / NODE_KEY)
    made.set_alpn_protocols([alpn])
    own = Watched(cluster.directory("a"), "a", APPLICATION).credentials.contexts().own

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            with contextlib.suppress(OSError):  # where it is told why
                assert await _said_to(b, Contexts(made, made, own), request_line(1, NodeInfoArguments()), alpn) == b""
            await b.until(lambda: b.refused)
            assert b.reasons == [reason] and not b.asked

    run(story)


def test_an_expired_certificate_is_refused(cluster: Cluster) -> None:
    expired = cluster.expired("c")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_verify_locations(cluster.directory("b") / AUTHORITY_CERTIFICATE)
    made.load_cert_chain(expired / NODE_CERTIFICATE, expired / NODE_KEY)
    made.set_alpn_protocols([APPLICATION])
    own = Watched(cluster.directory("a"), "a", APPLICATION).credentials.contexts().own

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            with pytest.raises(OSError, match="this node's certificate is over"):
                await _said_to(b, Contexts(made, made, own), b"")
            await b.until(lambda: b.refused)
            assert b.reasons == ["tls_expired"]
            error = await b.client(expired, "c").refusal(NodeInfoArguments())
            assert "node b was not asked" in error.message and "is over" in error.message

    run(story)


def test_another_nodes_certificate_is_not_that_of_the_one_that_was_asked(cluster: Cluster) -> None:
    async def story() -> None:
        async with server_of(cluster).opened() as b:
            error = await b.client(cluster.directory("a")).refusal(NodeInfoArguments(), node="c")
            assert error.message == "node c: its certificate is that of node b."
            assert not b.asked

    run(story)


def test_a_node_without_a_certificate_asks_nobody_and_answers_nobody(cluster: Cluster, tmp_path: Path) -> None:
    async def story() -> None:
        async with server_of(cluster).opened() as b:
            error = await b.client(tmp_path / "none").refusal(NodeInfoArguments())
            assert "no certificate that it could show" in error.message
        async with Server(ANSWERS, tmp_path / "none").opened() as bare:
            error = await bare.client(cluster.directory("a")).refusal(NodeInfoArguments())
            assert error.kind is ErrorKind.UNREACHABLE
            await bare.until(lambda: bare.refused)
            assert bare.reasons == ["tls_unusable"]

    run(story)


def test_plain_and_tls_do_not_meet_and_say_so(cluster: Cluster) -> None:
    async def story() -> None:
        async with server_of(cluster).opened() as b:
            error = await b.client(None).refusal(NodeInfoArguments())
            assert "it may take TLS only (tls.mode in agent.toml has to be the same on all nodes)" in error.message
            await b.until(lambda: b.refused)
            assert b.reasons == ["tls_garbage"]
        async with Server(ANSWERS, None).opened() as plain:
            error = await plain.client(cluster.directory("a")).refusal(NodeInfoArguments())
            assert "tls.mode in agent.toml has to be the same on all nodes" in error.message
            await plain.until(lambda: plain.refused)
            assert plain.reasons == ["garbage"]

    run(story)


# What is asked


def test_in_plain_whoever_asks_is_answered_what_changes_nothing() -> None:
    async def request(arguments: RequestArguments, caller: Caller, report: Report) -> None:
        raise AssertionError("not in plain")

    async def story() -> None:
        async with Server({**ANSWERS, "request": request}, None).opened() as b:
            client = b.client(None)
            assert (await client.ask(NodeInfoArguments())).software == "root on a (127.0.0.1)"
            error = await client.refusal(RequestArguments("db", Action.SWAP))
            assert error.kind is ErrorKind.REFUSED and "tls.mode is off" in error.message

    run(story)


def test_what_is_not_for_other_nodes_is_refused_and_so_is_what_is_for_another_one(cluster: Cluster) -> None:
    contexts = Watched(cluster.directory("a"), "a", APPLICATION).credentials.contexts()

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            client = b.client(cluster.directory("a"))
            error = await client.refusal(ApplyArguments("", {}))
            assert error.kind is ErrorKind.REFUSED and error.remedy.startswith("Leave out --node before the command")
            said = await _said_to(b, contexts, request_line(1, NodeInfoArguments(), "c"))
            further = read_answer("node.info", said).error
            assert further is not None and further.kind is ErrorKind.REFUSED
            assert further.message == "c was asked, and this is b: what has come from another node goes no further."

    run(story)


@pytest.mark.parametrize("secure", [True, False])
def test_a_repair_is_not_asked_of_another_node(cluster: Cluster, secure: bool) -> None:
    verified: list[VerifyArguments] = []

    async def verify(arguments: VerifyArguments, caller: Caller, report: Report) -> None:
        verified.append(arguments)
        raise ApiError(ErrorKind.REFUSED, "compared")

    async def story() -> None:
        directories = {node: cluster.directory(node) if secure else None for node in "ab"}
        async with Server({"verify": verify}, directories["b"]).opened() as b:
            client = b.client(directories["a"])
            error = await client.refusal(VerifyArguments("db", repair=True))
            assert error.kind is ErrorKind.REFUSED and not verified
            assert error.message.startswith("verify --repair is not asked of b from another node")
            assert "on the primary itself, without --node: mirrorfarm verify db --repair" in error.remedy
            if secure:
                assert (await client.refusal(VerifyArguments("db"))).message == "compared"

    run(story)


def test_a_call_that_the_other_release_does_not_know_is_said_with_both_releases(cluster: Cluster) -> None:
    contexts = Watched(cluster.directory("a"), "a", APPLICATION).credentials.contexts()

    async def story() -> None:
        async with server_of(cluster).opened() as b:
            error = await b.client(cluster.directory("a")).refusal(HistoryArguments("db"))
            assert error.kind is ErrorKind.BAD_REQUEST
            assert error.message.startswith("node b: This agent does not answer 'history'")
            assert error.remedy.startswith("Node b runs release 2, a 1.")
            said = await _said_to(b, contexts, b'{"id": 1, "call": "at:news", "node": "b"}\n')
            unknown = read_answer("news", said).error
            assert unknown is not None and "unknown call 'news'" in unknown.message

    run(story)


def test_who_gives_up_a_request_is_told_what_has_become_of_it(cluster: Cluster) -> None:
    async def request(arguments: RequestArguments, caller: Caller, report: Report) -> RequestResult:
        await report(RequestProgress("pending"))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if arguments.node == "b":
                raise ApiError(ErrorKind.TIMED_OUT, "it was withdrawn") from None
        return RequestResult("1", "a", "done")

    async def story() -> None:
        async with server_of(cluster, handlers={"request": request}).opened() as b:
            client = b.client(cluster.directory("a"))
            for node, words in (("b", "it was withdrawn"), ("a", "done")):
                asking = asyncio.create_task(client.ask(RequestArguments("db", Action.SWAP, node)))
                await b.until(lambda: client.reported)
                client.reported.clear()
                asking.cancel()
                try:
                    assert (await asking).status == words
                except ApiError as error:
                    assert error.message == words

    run(story)


def test_of_what_was_given_up_and_has_no_end_it_is_said_that_it_is_not_known(cluster: Cluster) -> None:
    """The other agent says all the while that it is there."""

    async def request(arguments: RequestArguments, caller: Caller, report: Report) -> RequestResult:
        await report(RequestProgress("pending"))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()
        raise AssertionError("it was waited for")

    async def story() -> None:
        async with server_of(cluster, Limits(alive_s=0.05), {"request": request}).opened() as b:
            client = Client(cluster.directory("a"), b.port, end_s=0.5)
            asking = asyncio.create_task(client.ask(RequestArguments("db", Action.SWAP)))
            await b.until(lambda: client.reported)
            asking.cancel()
            with pytest.raises(ApiError) as caught:
                await asking
            words = "node b: it was given up, and within 0.5 s it was not said what has become of it."
            assert caught.value.message == words
            assert caught.value.kind is ErrorKind.OUTCOME_UNKNOWN

    run(story)


def test_who_gives_up_ends_what_it_has_asked_for(cluster: Cluster) -> None:
    ended = asyncio.Event()

    async def follow(arguments: LogsArguments, caller: Caller, report: Report) -> None:
        try:
            await report(LogText("f", "begun"))
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def story() -> None:
        async with server_of(cluster, handlers={"logs": follow}).opened() as b:
            client = b.client(cluster.directory("a"))
            asking = asyncio.create_task(client.ask(LogsArguments("db", follow=True)))
            await b.until(lambda: client.reported)
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()
            await asyncio.wait_for(ended.wait(), REACH_S)

    run(story)


def test_a_long_call_of_which_nothing_is_heard_is_known_to_be_under_way(cluster: Cluster) -> None:
    async def late(arguments: NodeInfoArguments, caller: Caller, report: Report) -> NodeInfo:
        await asyncio.sleep(2.0)
        return NodeInfo("main", "b", "late", True, ())

    async def story() -> None:
        async with server_of(cluster, Limits(alive_s=0.05), {"node.info": late}).opened() as b:
            client = b.client(cluster.directory("a"), silence_s=1.0)
            assert (await client.ask(NodeInfoArguments())).software == "late"

    run(story)


# Bounds


def test_strangers_are_bounded_in_number_and_the_nodes_are_answered(cluster: Cluster) -> None:
    async def story() -> None:
        limits = Limits(strangers=4, stranger_s=REACH_S, gap_s=0.001)
        async with server_of(cluster, limits).opened() as b:
            idle = [await asyncio.open_connection(HERE, b.port) for _ in range(20)]
            await b.client(cluster.directory("a")).ask(NodeInfoArguments())
            await b.until(lambda: b.refused)
            assert b.reasons[0] == "crowd"
            for reader, _ in idle[:16]:
                async with asyncio.timeout(REACH_S):
                    assert await reader.read() == b""
            for _, writer in idle:
                writer.close()

    run(story)


def test_a_crowd_from_one_address_pushes_nobody_else_out(cluster: Cluster) -> None:
    async def story() -> None:
        async with server_of(cluster, Limits(strangers=4, stranger_s=REACH_S, gap_s=0.001)).opened() as b:
            alone, writer = await asyncio.open_connection(HERE, b.port, local_addr=("127.0.0.9", 0))
            crowd = [await asyncio.open_connection(HERE, b.port) for _ in range(20)]
            for reader, _ in crowd[:15]:
                async with asyncio.timeout(REACH_S):
                    assert await reader.read() == b""
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await alone.read()
            for _, one in (*crowd, (alone, writer)):
                one.close()

    run(story)


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n"])
def test_who_is_slow_or_says_something_else_is_left(cluster: Cluster, said: bytes) -> None:
    async def story() -> None:
        async with server_of(cluster, Limits(stranger_s=0.3)).opened() as b:
            reader, writer = await asyncio.open_connection(HERE, b.port)
            writer.write(said)
            async with asyncio.timeout(REACH_S):
                await reader.read()
            writer.close()
            await b.until(lambda: b.refused)
            assert b.reasons == ["tls_garbage" if said.startswith(b"GET") else "silent"]

    run(story)


def test_a_node_that_asks_for_nothing_or_for_too_much_is_left(cluster: Cluster) -> None:
    contexts = Watched(cluster.directory("a"), "a", APPLICATION).credentials.contexts()

    async def story() -> None:
        for limits, request, reason in (
            (Limits(stranger_s=0.5), b"", "silent"),
            (Limits(stranger_s=REACH_S), b"x" * (MAX_REQUEST_BYTES + 10), "garbage"),
        ):
            async with server_of(cluster, limits).opened() as b:
                await _said_to(b, contexts, request)
                await b.until(lambda b=b: b.refused)  # type: ignore[misc]
                assert b.reasons == [reason]

    run(story)


def test_connections_are_taken_at_a_bounded_rate_whatever_the_address(cluster: Cluster) -> None:
    async def story() -> None:
        gap_s = 0.2
        async with server_of(cluster, Limits(strangers=100, stranger_s=REACH_S, gap_s=gap_s)).opened() as b:
            begun = time.monotonic()
            await b.channel.open("127.0.0.2", b.port)
            held = [await asyncio.open_connection(at, b.port) for at in (HERE, "127.0.0.2") for _ in range(8)]
            await asyncio.sleep(2 * gap_s)
            assert 1 <= b.channel.visits <= (time.monotonic() - begun) / gap_s + 2
            for _, writer in held:
                writer.close()

    run(story)


def test_calls_of_one_node_are_bounded_and_the_others_are_answered(cluster: Cluster) -> None:
    async def story() -> None:
        async with server_of(cluster, Limits(calls=3, calls_of_node=2), {**ANSWERS, "logs": hang}).opened() as b:
            client = b.client(cluster.directory("a"))
            held = [asyncio.create_task(client.ask(LogsArguments("db"))) for _ in range(2)]
            await b.until(lambda: len(b.asked) == 2)
            error = await client.refusal(NodeInfoArguments())
            assert error.kind is ErrorKind.BUSY
            other = b.client(cluster.directory("c"), "c")
            assert (await other.ask(NodeInfoArguments())).software == "root on c"
            for task in held:
                task.cancel()
            await asyncio.wait(held)
            await b.until(lambda: not b.channel.visits)
            await client.ask(NodeInfoArguments())

    run(story)


def test_in_plain_calls_are_bounded_by_address_whatever_names_are_said() -> None:
    async def story() -> None:
        async with Server({**ANSWERS, "logs": hang}, None, Limits(calls=30, calls_of_node=2)).opened() as b:
            held = [asyncio.create_task(b.client(None, name).ask(LogsArguments("db"))) for name in ("x", "y")]
            await b.until(lambda: len(b.asked) == 2)
            error = await b.client(None, "z").refusal(NodeInfoArguments())
            assert error.kind is ErrorKind.BUSY and error.message.endswith("2 of one address.")
            for task in held:
                task.cancel()
            await asyncio.wait(held)
            await b.until(lambda: not b.channel.visits)
            await b.client(None, "z").ask(NodeInfoArguments())

    run(story)


def test_who_takes_nothing_is_left(cluster: Cluster) -> None:
    contexts = Watched(cluster.directory("a"), "a", APPLICATION).credentials.contexts()
    sent: list[int] = []

    async def flood(arguments: LogsArguments, caller: Caller, report: Report) -> None:
        while True:
            await report(LogText("f", "x" * 1_000_000))
            sent.append(1)

    async def story() -> None:
        async with server_of(cluster, Limits(send_s=0.3), {"logs": flood}).opened() as b:
            lines = await _connected(b, contexts)
            await lines.send(request_line(1, LogsArguments("db"), "b"))
            await b.until(lambda: b.asked)
            await b.until(lambda: not b.channel.visits)
            assert len(sent) < 50
            lines.close()

    run(story)


# Who does not answer


def test_a_dead_agent_is_known_at_once_and_a_frozen_one_in_time(cluster: Cluster) -> None:
    async def story() -> None:
        with listening() as frozen:
            port = frozen.getsockname()[1]
            client = Client(cluster.directory("a"), port)
            error = await client.refusal(NodeInfoArguments(), reach_s=0.3)
            assert (error.kind, error.message) == (ErrorKind.UNREACHABLE, "node b: no answer within 0.3 s.")
        error = await client.refusal(NodeInfoArguments())
        assert error.message == "node b: connection refused (127.0.0.1)."
        assert "no agent listens" in error.meaning
        error = await client.refusal(NodeInfoArguments(), addresses=())
        assert error.message == "node b: none of its addresses is known."

    run(story)


def test_one_address_that_answers_is_enough(cluster: Cluster) -> None:
    async def story() -> None:
        async with server_of(cluster).opened() as b:
            with socket.create_server(("127.0.0.3", b.port)):
                client = b.client(cluster.directory("a"))
                begun = time.monotonic()
                addresses = ("127.0.0.2", "127.0.0.3", HERE)
                assert (await client.ask(NodeInfoArguments(), addresses=addresses)).node == "b"
                assert time.monotonic() - begun < REACH_S
                assert not b.refused, "who was not the first has only left"

    run(story)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"not json\n", "its answer is not understood"),
        (b'{"id": 1, "result": {"cluster": 7}}\n', "its answer is not understood"),
        (b'{"id": 1}\n', "its answer is not understood"),
        (b'{"id": 1, "alive": true}\n{"id": 1, "result": {"clus', "in the midst of its answer"),
        (b"", "in the midst of its answer"),
    ],
)
@pytest.mark.parametrize("steers", [False, True])
def test_an_answer_that_is_none_is_told_and_whether_something_may_have_been_done(
    answer: bytes, words: str, steers: bool
) -> None:
    arguments = RequestArguments("db", Action.SWAP) if steers else NodeInfoArguments()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        writer.write(answer)
        await writer.drain()

    async def story() -> None:
        async with saying(talk) as port:
            error = await Client(None, port).refusal(arguments)
            assert words in error.message
            assert error.kind is (ErrorKind.OUTCOME_UNKNOWN if steers else ErrorKind.UNREACHABLE)

    run(story)


def test_an_agent_that_falls_silent_is_waited_for_no_longer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        await reader.read()

    async def story() -> None:
        async with saying(talk) as port:
            error = await Client(None, port, silence_s=0.2).refusal(NodeInfoArguments())
            assert error.message == "node b: it has said nothing for 0.2 s."

    run(story)


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (greeting_of("c"), "at 127.0.0.1 is node c"),
        (greeting_of("b", "other"), "at 127.0.0.1 is cluster other, and this is main"),
    ],
)
def test_in_plain_who_answers_says_who_it_is(greeting: Any, words: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer, greeting)

    async def story() -> None:
        async with saying(talk) as port:
            assert words in (await Client(None, port).refusal(NodeInfoArguments())).message

    run(story)


def test_another_version_of_the_channel_is_not_asked() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"cluster": "main", "node": "b", "software": "9", "version": 2}\n')
        await reader.read()

    async def story() -> None:
        async with saying(talk) as port:
            error = await Client(None, port).refusal(NodeInfoArguments())
            assert "it runs release 9, this node 1 (version 2 of the channel, and 1)" in error.message

    run(story)


def test_an_agent_of_the_next_version_that_speaks_this_one_too_is_asked_and_answered(cluster: Cluster) -> None:
    newer = replace(greeting_of("b", software="2"), version=2, oldest_version=1)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer, newer)
        writer.write(b'{"id": 1, "result": {"module": "db", "entries": [], "added": 3}, "added": 4}\n')
        await writer.drain()

    async def story() -> None:
        async with saying(talk) as port:
            assert await Client(None, port).ask(HistoryArguments("db")) == HistoryResult("db", ())
        async with server_of(cluster).opened() as b:
            client = b.client(cluster.directory("a"))
            client.channel._greeting = replace(greeting_of("a"), version=2, oldest_version=1)
            assert (await client.ask(NodeInfoArguments())).software == "root on a"

    run(story)


def test_an_agent_of_another_version_of_the_channel_is_not_answered(cluster: Cluster) -> None:
    async def story() -> None:
        async with server_of(cluster).opened() as b:
            client = b.client(cluster.directory("a"))
            client.channel._greeting = replace(greeting_of("a", software="3"), version=4, oldest_version=2)
            assert "does not understand this one" in (await client.refusal(NodeInfoArguments())).message
            await b.until(lambda: b.refused)
            assert b.refused == [
                ("version", "it runs release 3, and speaks version 2 to 4 of the channel, this node 1")
            ]
            assert not b.asked

    run(story)


async def _connected(b: Server, contexts: Contexts, alpn: str = APPLICATION) -> SecureLines:
    connection = socket.socket()
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (HERE, b.port))
    lines = SecureLines(connection, contexts, alpn, server=False)
    try:
        await lines.shake_hands()
        await lines.send(greeting_line(greeting_of("a")))
    except OSError:
        lines.close()
        raise
    return lines


async def _said_to(b: Server, contexts: Contexts, request: bytes, alpn: str = APPLICATION) -> bytes:
    """What ``b`` says after its greeting, or instead of it, to who sends ``request``; empty: nothing."""
    try:
        lines = await _connected(b, contexts, alpn)
    except OSError:
        return b""
    try:
        await lines.send(request)
        if not (await lines.read_line(1 << 20)).startswith(b'{"cluster"'):
            raise AssertionError("no greeting")
        return await lines.read_line(1 << 20)
    except (EOFError, ConnectionResetError):
        return b""
    finally:
        lines.close()
