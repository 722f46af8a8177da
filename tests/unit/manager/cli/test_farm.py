"""``farm`` as an operator types it: what is asked of the agent, what is said before, and what is not done."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manager.cli.commands.farm import what_comes
from manager.cli.farm_words import farm_facts
from manager.cli.main import build_parser
from manager.cli.render import state_table
from manager.model.api import ApiError, ErrorKind, ModuleView, StateArguments
from manager.model.api_farm import (
    FarmPlace,
    FarmReport,
    FarmShowArguments,
    FarmTable,
    FarmTrafficArguments,
    FarmTrafficResult,
    FarmWeightArguments,
    FarmWeightResult,
    FarmWhereArguments,
    Moving,
    Traffic,
    Way,
)
from manager.model.config.farm_config import Affinity, Protocol, RuleConfig
from manager.model.farm_resources import farm_resources
from manager.model.reasons import Reason
from manager.model.states import ModuleState
from tests.unit.manager.cli.farm_views import VIP, farm, share, table, up
from tests.unit.manager.cli.test_render import shown
from tests.unit.manager.cli.typing_in import CTRL_C, typed
from tests.unit.manager.cli.views import PRIM, SECOND, module, result

RULE = RuleConfig(Protocol.TCP, 80, 90)
PLACE = FarmPlace(
    "web", "10.0.0.5", 0, VIP, "b", Way.SETTLED, 417, "", RULE, "a", 41, registered=True, store_reachable=True, age_ms=0
)
REPORT = FarmReport("web", "a", True, 0, (table(),), (RULE, RuleConfig(Protocol.UDP, 53, 53)), (("a", "b", "c"),))


class Agent:
    """Node a's agent; it refuses a weight until ``refuses`` is accepted. ``later``: what state shows in turn."""

    def __init__(self, view: ModuleView, answer: Any = None, *, refuses: bool = False) -> None:
        self.view = view
        self.later: list[ModuleView] = []
        self.answer = answer
        self.refuses = refuses
        self.asked: list[Any] = []

    def call(self, arguments: Any, *, timeout_s: float = 0, on_progress: Callable[[Any], None] | None = None) -> Any:
        if isinstance(arguments, StateArguments):
            shown = self.view
            self.view = self.later.pop(0) if self.later else self.view
            return result(shown)
        self.asked.append(arguments)
        if isinstance(self.answer, ApiError):
            raise self.answer
        if not isinstance(arguments, FarmWeightArguments):
            return self.answer
        if self.refuses and not arguments.accept:
            raise ApiError(ErrorKind.REFUSED, "b is the only node.", reason=str(Reason.NOBODY_LEFT))
        wanted = arguments.weight
        return FarmWeightResult(
            arguments.module, arguments.node, 1, 1 if wanted is None else wanted, wanted is not None
        )

    def close(self) -> None:
        """Nothing is open."""


def test_show_names_the_director_the_shares_and_the_rules() -> None:
    agent = Agent(farm(), REPORT)
    code, said = typed(agent, "farm show web")
    assert (code, agent.asked) == (0, [FarmShowArguments("web")])
    assert said == (
        f"web {VIP}: directed by a; table 41, by a\n"
        "  a: 33 % (342)\n"
        "  b: 33 % (341)\n"
        "  c: 33 % (341)\n"
        "  none of its 1,024 slots is on its way\n"
        "Shared: tcp/80-90 by client, udp/53 by client. The rest goes to the director.\n"
    )


def test_show_tells_what_is_on_its_way_what_nobody_has_and_what_is_not_understood() -> None:
    moving = table({"a": 500, "b": 500}, Moving("a", "b", 12, 0), director="")
    strange, none = FarmTable("fd77::1", None, None), FarmTable("fd77::2", "", 0, shares={}, nobody=1024)
    report = replace(
        REPORT, tables=(moving, strange, none), chain=(("a", "b"), ("c",)), store_reachable=False, age_ms=7_400,
        rules=(replace(RULE, addresses=("fd77::1",), affinity=Affinity.CONNECTION),),
    )  # fmt: skip
    said = typed(Agent(farm(), report), "farm show web")[1]
    assert said.startswith("etcd does not answer this node: what follows is 7.4 s old.")
    assert "directed by nobody" in said and "12 slots moving to b" in said
    assert "  nobody: 2 % (24): what begins there is dropped\n" in said
    assert "fd77::1: directed by unknown; its table is of another release" in said
    assert "fd77::2: directed by nobody; there is no table yet" in said
    assert "tcp/80-90 by connection (of fd77::1)" in said and "Chain: a, b; else c." in said


def test_programs_get_the_tables() -> None:
    plain = json.loads(typed(Agent(farm(), REPORT), "farm show web --json")[1])
    assert plain["tables"][0]["shares"] == {"a": 342, "b": 341, "c": 341}
    assert plain["tables"][0]["moving"] == [] and plain["tables"][0]["director"] == "a"
    assert json.loads(typed(Agent(farm(), PLACE), "farm where web 10.0.0.5 --json")[1])["node"] == "b"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("10.0.0.5", FarmWhereArguments("web", "10.0.0.5")),
        ("10.0.0.5:40000", FarmWhereArguments("web", "10.0.0.5", 40_000)),
        ("fd00::5", FarmWhereArguments("web", "fd00::5")),
        ("[fd00::5]", FarmWhereArguments("web", "fd00::5")),
        ("[fd00::5]:1", FarmWhereArguments("web", "fd00::5", 1)),
        (f"10.0.0.5 --address {VIP}", FarmWhereArguments("web", "10.0.0.5", address=VIP)),
        ("10.0.0.5 --rule udp/53", FarmWhereArguments("web", "10.0.0.5", protocol=Protocol.UDP, service=53)),
    ],
)
def test_where_asks_for_what_was_typed(words: str, asked: FarmWhereArguments) -> None:
    agent = Agent(farm(), PLACE)
    assert typed(agent, f"farm where web {words}")[0] == 0
    assert agent.asked == [asked]


@pytest.mark.parametrize(
    "words",
    [
        "farm where web host", "farm where web 10.0.0.5:", "farm where web 10.0.0.5:0", "farm where web 10.0.0.5:65536",
        "farm where web [10.0.0.5]:80", "farm where web fd00::5]:80", "farm where web 10.0.0.5 --rule tcp",
        "farm where web 10.0.0.5 --rule sctp/80", "farm where web 10.0.0.5 --rule tcp/0", "farm weight web b -1",
        "farm weight web b 101", "farm weight web b 1.5", "farm weight web b ²", "farm weight web b", "farm drain web",
        "farm drain web 9b", "farm undrain web", "farm web",
    ],
)  # fmt: skip
def test_what_is_no_client_no_weight_and_no_node_is_a_wrong_line(words: str) -> None:
    with pytest.raises(SystemExit):
        typed(Agent(farm(), PLACE), words)


def test_where_says_which_node_and_why() -> None:
    assert typed(Agent(farm(), PLACE), "farm where web 10.0.0.5")[1] == (
        f"web: 10.0.0.5 gets b at {VIP}\n"
        "  By table 41, slot 417 of 1,024 is b's.\n"
        "  By rule tcp/80-90, by client: all connections of this client get the same node.\n"
        "  a receives for the address, and forwards by the table.\n"
    )


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (replace(PLACE, way=Way.COMING, other="c"), "is b's, and is moving to c: what begins once both are ready"),
        (
            replace(PLACE, way=Way.LEAVING, other="a"),
            "has moved from a to b: the connections of before are still with a",
        ),
        (replace(PLACE, way=Way.NOBODY, node=""), "10.0.0.5 gets no node"),
        (replace(PLACE, way=Way.NOBODY, node="", other="a"), "The connections of before stay with a."),
        (
            replace(PLACE, way=Way.LEAVING, other="a", switched=False),
            "and stay there.\n  Until all nodes have loaded that, a may still get what this client begins.\n",
        ),
        (
            replace(PLACE, way=Way.NOBODY, node="", other="a", switched=False),
            "Until all nodes have loaded that, a may still get what this client begins.",
        ),
        (
            replace(PLACE, way=Way.NO_RULE, node="a", rule=None, slot=None),
            "No rule of the module shares it: the director",
        ),
        (replace(PLACE, way=Way.NO_TABLE, node="", slot=None), "There is no table for the address yet"),
        (replace(PLACE, way=Way.OWN, slot=None), "which holds the address: what it begins stays there.\n"),
        (replace(PLACE, director=""), "Nobody receives for the address: a new client does not reach it."),
        (replace(PLACE, director=None), "Who receives for the address is not known"),
        (replace(PLACE, registered=False), "The agent of b is not registered"),
        (replace(PLACE, client="fd00::5", port=7), "web: [fd00::5]:7 gets b"),
        (
            replace(PLACE, rule=replace(RULE, affinity=Affinity.CONNECTION)),
            "each connection of this client may get anoth",
        ),
        (replace(PLACE, store_reachable=False, age_ms=9_000), "what follows is 9.0 s old"),
    ],
)
def test_where_says_what_is_not_at_rest_or_not_known(place: FarmPlace, says: str) -> None:
    assert says in typed(Agent(farm(), place), "farm where web 10.0.0.5")[1]


@pytest.mark.parametrize("switched", [True, None])
def test_where_all_share_so_nothing_is_said_of_those_that_do_not(switched: bool | None) -> None:
    place = replace(PLACE, way=Way.LEAVING, other="a", switched=switched)
    assert "may still get" not in typed(Agent(farm(), place), "farm where web 10.0.0.5")[1]


def test_a_drain_says_what_comes_of_it_and_is_done() -> None:
    agent = Agent(farm())
    code, said = typed(agent, "farm drain web b")
    assert (code, agent.asked) == (0, [FarmWeightArguments("web", "b", 0)])
    assert said == (
        "web: b gets the weight 0, instead of 1: what begins goes to: a 50 %, c 50 %; what is open on b stays there\n"
        "web: b has the weight 0, set by an operator\n"
    )


def test_a_weight_says_what_comes_of_it_by_the_nodes_that_are_up() -> None:
    starting = up("c", ModuleState.WAIT, Reason.STARTING_APPLICATION)
    agent = Agent(farm(up("a"), up("b"), starting))
    assert "what begins goes to: a 25 %, b 75 %\n" in typed(agent, "farm weight web b 3")[1]
    assert "c has the weight 1, from now on whatever module.toml says" in typed(agent, "farm weight web c 1")[1]
    assert "b has the weight 1, from now on by module.toml" in typed(agent, "farm weight web b module.toml")[1]
    assert [a.weight for a in agent.asked] == [3, 1, None]
    assert json.loads(typed(agent, "farm weight web b 3 --json")[1].splitlines()[-1])["weight"] == 3


def test_a_node_on_its_way_out_takes_nothing() -> None:
    agent = Agent(farm(up("a"), up("b"), replace(up("c"), reason=Reason.HANDING_OVER)))
    assert "what begins goes to: a 100 %;" in typed(agent, "farm drain web b")[1]


@pytest.mark.parametrize(
    ("answers", "code", "asked"), [(("yes",), 0, 2), (("no",), 1, 1), ((), 1, 1), ((CTRL_C,), 1, 1)]
)
def test_where_nobody_would_be_left_the_operator_is_asked(answers: tuple[str, ...], code: int, asked: int) -> None:
    agent = Agent(farm(up("b")), refuses=True)
    found, said = typed(agent, "farm drain web b", *answers)
    assert found == code and len(agent.asked) == asked
    assert "what begins goes to no node" in said and "b is the only node." in said and "Type yes" in said
    assert ("nothing was changed" in said) is (code == 1)
    assert agent.asked[-1].accept is (code == 0)


def test_yes_does_not_ask() -> None:
    agent = Agent(farm(up("b")), refuses=True)
    code, said = typed(agent, "farm weight web b 0 --yes")
    assert code == 0 and "Type yes" not in said and agent.asked == [FarmWeightArguments("web", "b", 0, accept=True)]


def test_undrain_gives_the_configurations_weight_back() -> None:
    agent = Agent(farm(b=0))
    assert typed(agent, "farm undrain web b")[0] == 0
    assert agent.asked == [FarmWeightArguments("web", "b", None)]


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (farm(), "b is not drained: its weight is 1."),
        (farm(b=7), "mirrorfarm farm weight web b N|module.toml"),
        (
            farm(up("a"), replace(up("b"), farm=replace(share("b", table(), weight=0), configured=0))),
            "mirrorfarm farm weight web b 1",
        ),
    ],
)
def test_undrain_of_what_is_not_drained_is_refused(view: ModuleView, says: str) -> None:
    agent = Agent(view)
    code, said = typed(agent, "farm undrain web b")
    assert code == 1 and says in said and agent.asked == []


def test_a_node_that_is_none_of_the_farms_is_refused() -> None:
    for words in ("farm drain web z", "farm undrain web z", "farm weight web z 1"):
        agent = Agent(farm())
        code, said = typed(agent, words)
        assert code == 1 and "web has no node z: it has a, b, c." in said and agent.asked == []


def test_of_a_mirror_the_agent_says_what_it_is() -> None:
    refusal = ApiError(ErrorKind.REFUSED, "db is a mirror.", meaning="Nothing was changed.")
    for words in ("show db", "where db 10.0.0.5", "weight db a 1", "drain db a", "undrain db a"):
        code, said = typed(Agent(module(PRIM, SECOND), refusal), f"farm {words}")
        assert code == 1 and "db is a mirror." in said


def waiting(*later: ModuleView) -> Agent:
    agent = Agent(farm())
    agent.later = list(later)
    return agent


LEAVING = farm(tables=(table({"a": 512, "c": 512}, Moving("b", "a", 0, 30)),), b=0)
GONE = farm(tables=(table({"a": 512, "c": 512}),), b=0)


def test_a_drain_that_is_waited_for_ends_when_nothing_is_left() -> None:
    code, said = typed(waiting(farm(b=0), LEAVING, LEAVING, GONE), "farm drain web b --wait")
    assert code == 0
    assert [line for line in said.splitlines() if "left on" in line] == [
        "web: 341 slots are left on b", "web: 30 slots are left on b", "web: nothing is left on b",
    ]  # fmt: skip


def test_a_drain_that_is_given_up_names_the_nodes_that_do_not_load_their_rules() -> None:
    stuck = replace(table({"a": 342, "b": 341, "c": 341}, Moving("b", "a", 341, 0)), awaited={"a": 40, "c": 0})
    code, said = typed(waiting(farm(tables=(stuck,), b=0)), "farm drain web b --wait --timeout 0s")
    assert code == 4
    assert "waiting for a, which has table 40 of 41, and c, which has none of 41" in said


def test_a_drain_that_is_waited_for_may_take_longer() -> None:
    code, said = typed(waiting(LEAVING), "farm drain web b --wait --timeout 0s")
    assert code == 4 and "The drain stands" in said


def test_what_is_left_on_a_silent_node_is_not_known() -> None:
    silent = farm(
        up("a"), replace(up("b", None), registered=False), up("c"), tables=(table({"a": 512, "c": 512}),), b=0
    )
    code, said = typed(waiting(silent), "farm drain web b --wait --timeout 0s")
    assert code == 4 and "what is left on b is not known" in said


_MANUAL = (Path(__file__).parents[4] / "docs" / "operations.md").read_text(encoding="utf-8")


def manual_lines() -> list[str]:
    """What the manual's page of the farm has an operator type."""
    page = _MANUAL.partition("\n## A farm: who serves what\n")[2].partition("\n## ")[0]
    lines = (line.strip().partition("   ")[0] for line in page.splitlines())
    return [line.removeprefix("mirrorfarm ") for line in lines if line.startswith("mirrorfarm ")]


def test_the_manual_types_what_is_understood() -> None:
    assert len(manual_lines()) > 10
    for line in manual_lines():
        assert build_parser(with_lab=False).parse_args(line.split()).module == "web"


def test_the_manual_shows_what_is_shown() -> None:
    moving = table({"a": 342, "b": 182, "c": 500}, Moving("b", "c", 148, 0), Moving("b", "a", 0, 11, 3))
    for line in shown(state_table(result(farm(tables=(moving,), b=0)))).splitlines():
        assert f"    {line}\n" in _MANUAL


@pytest.mark.parametrize("is_open", [True, False])
def test_a_script_opens_and_closes_its_own_modules_traffic(monkeypatch: pytest.MonkeyPatch, is_open: bool) -> None:
    word, said = ("open", "open") if is_open else ("close", "closed")
    agent = Agent(farm(), FarmTrafficResult("web", "a", is_open, changed=True))
    assert typed(agent, f"farm {word} web") == (0, f"web: the traffic of a is {said}\n")
    agent.answer = FarmTrafficResult("web", "a", is_open, changed=False)
    monkeypatch.setenv("MODULE", "web")
    assert typed(agent, f"farm {word}") == (0, f"web: the traffic of a is {said} already\n")
    assert agent.asked == [FarmTrafficArguments("web", is_open)] * 2


@pytest.mark.parametrize("own", ["", "9 x"])
def test_outside_of_a_script_the_module_is_named(monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    monkeypatch.setenv("MODULE", own)
    with pytest.raises(SystemExit):
        build_parser(with_lab=False).parse_args(["farm", "open"])


def test_a_closed_node_is_shown_as_such_and_takes_nothing() -> None:
    closed = replace(up("b", reason=Reason.TRAFFIC_CLOSED), resources=farm_resources({}, is_open=False))
    view = farm(up("a"), closed, up("c"))
    assert "this node's traffic is closed: its scripts have not opened it" in " ".join(
        shown(state_table(result(view))).split()
    )
    assert what_comes(view, "a", 3)[0].endswith("what begins goes to: a 75 %, c 25 %")
    on = view.on("b")
    assert on is not None
    assert any("who has closed it is not known" in f for f in farm_facts(view, on, store_reachable=True))


TRAFFIC = {"a": Traffic(1_200, 9, 9, 310, 4_096, 400), "b": Traffic(3, None, None, None, None, 12_000)}


def test_what_each_node_serves_is_shown_with_how_old_that_is() -> None:
    shared = replace(table({"a": 512, "c": 512}), traffic=TRAFFIC)
    said = typed(Agent(farm(), replace(REPORT, tables=(shared,))), "farm show web")[1]
    assert "  a: 50 % (512); connections: 1,200, packets in a second: 310, 4.0 KiB\n" in said
    assert "  b: 0 % (0); connections: 3, packets in a second: unknown (12.0 s ago)\n" in said, "it keeps them"
    assert "  c: 50 % (512); connections and packets are not known\n" in said


def test_state_shows_it_in_a_line() -> None:
    view = farm(*(replace(up(n), farm=replace(share(n, table()), traffic=TRAFFIC.get(n))) for n in ("a", "b")))
    line = "web: connections: a 1,200, b 3; packets in a second: a 310, b unknown (12.0 s ago)"
    assert line in shown(state_table(result(view)))
    assert "connections:" not in shown(state_table(result(farm())))


def test_where_another_configuration_runs_than_is_stored_is_said() -> None:
    runs = tuple(
        replace(up(n), farm=replace(share(n, table()), generation=g)) for n, g in (("a", 4), ("b", 5), ("c", 4))
    )
    view = replace(farm(*runs), generation=5)
    line = (
        "web: configuration 5 is stored, and shown here; 4 runs on a, c: a stop and a start there takes the stored "
        "one, as in mirrorfarm stop web --node a"
    )
    assert line in shown(state_table(result(view)))
    report = replace(REPORT, generation=5, running={"a": 4, "b": 5, "c": 4})
    assert line in typed(Agent(view, report), "farm show web")[1]
    assert "is stored" not in shown(state_table(result(replace(view, generation=4, nodes=view.nodes[:1]))))
