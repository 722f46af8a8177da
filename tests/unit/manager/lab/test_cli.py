import pytest

from manager.cli.main import build_parser
from manager.lab.cli import command_words
from manager.lab.errors import LabError
from manager.lab.machine import What
from manager.lab.switch import Lost


def parse(*words: str) -> object:
    return build_parser(with_lab=True).parse_args(["lab", *words])


def test_exec_takes_all_that_follows_as_the_command() -> None:
    args = build_parser(with_lab=True).parse_args(["lab", "exec", "a", "--", "mirrorfarm", "--json", "state"])
    assert (args.machine, command_words(args.argv)) == ("a", ["mirrorfarm", "--json", "state"])


def test_client_is_a_machine() -> None:
    args = build_parser(with_lab=True).parse_args(["lab", "client", "--", "ping", "-c1", "a"])
    assert (args.machine, command_words(args.argv)) == ("client", ["ping", "-c1", "a"])


@pytest.mark.parametrize("verb", ["freeze", "thaw"])
def test_a_machine_or_a_part_of_it_is_frozen_and_goes_on(verb: str) -> None:
    args = build_parser(with_lab=True).parse_args(["lab", verb, "a", "agent"])
    assert (args.machine, args.what) == ("a", What.AGENT)
    assert build_parser(with_lab=True).parse_args(["lab", verb, "a"]).what is None


def test_all_that_is_frozen_goes_on() -> None:
    args = build_parser(with_lab=True).parse_args(["lab", "thaw"])
    assert (args.machine, args.what) == (None, None)


def test_a_cut_may_be_one_way_or_of_etcd_alone() -> None:
    args = build_parser(with_lab=True).parse_args(["lab", "cut", "a", "b", "--one-way", "--etcd"])
    assert (args.machine, args.other, args.lost, args.etcd) == ("a", "b", Lost.SENT, True)
    assert build_parser(with_lab=True).parse_args(["lab", "cut", "a", "--deaf"]).lost is Lost.RECEIVED
    assert build_parser(with_lab=True).parse_args(["lab", "cut", "a"]).lost is Lost.ALL


@pytest.mark.parametrize(
    "words",
    [
        ("freeze", "a", "everything"),
        ("thaw", "a", "everything"),
        ("etcd", "kill"),
        ("crash",),
        ("up", "--ttl", "0"),
        ("up", "--ttl", "x"),
    ],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        parse(*words)


def test_exec_without_a_command_says_how_it_is_written() -> None:
    for rest in ([], ["--"]):
        with pytest.raises(LabError, match="lab exec a -- mirrorfarm state"):
            command_words(rest)
