"""PostgreSQL on a pair of an ext4 and an xfs, unmodified; its server's node dies in mid-commit."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from tests.support import postgres
from tests.support.two_disks import Comings, TwoDisks, is_soak, two_disks

CLIENTS = 4
SHORTEST_S, LONGEST_S = (2.0, 30.0) if is_soak() else (2.0, 4.0)
SEED = random.randrange(1 << 32) if is_soak() else 2


@pytest.fixture
def both(tmp_path: Path) -> Iterator[TwoDisks]:
    with two_disks(tmp_path) as made:
        postgres.give_to_postgres(made.pair.a.data)
        made.pair.a.data.chmod(0o755)
        yield made


def initialized(directory: Path) -> Path:
    data = directory / "db"
    postgres.run("initdb", "-D", str(data), "--auth=trust", "--data-checksums", "--no-instructions")
    return data


def fill(server: postgres.Server) -> None:
    postgres.run("pgbench", "-i", "-q", "-s", "1", "-h", server.socket, postgres.USER)


def bench(server: postgres.Server, seconds: float) -> list[str]:
    """The command of so many seconds of pgbench."""
    options = ["-n", "-h", server.socket, "-c", str(CLIENTS), "-j", "2", "-T", str(round(seconds))]
    return ["pgbench", *options, postgres.USER]


def check(server: postgres.Server) -> None:
    """Every heap and index is sound, and pgbench's sums agree."""
    server.ask("create extension if not exists amcheck")
    postgres.run("pg_amcheck", "-h", server.socket, "--all", "--heapallindexed", "--install-missing")
    sums = server.ask(
        "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),"
        " (select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history)"
    )
    assert len(set(sums[0].split("|"))) == 1, sums


@pytest.mark.timeout(240)
def test_the_secondary_comes_and_goes_and_then_has_what_was_committed_when_the_primary_is_killed(
    both: TwoDisks,
) -> None:
    pair = both.pair
    moment = random.Random(SEED).uniform(SHORTEST_S, LONGEST_S)
    print(f"seed {SEED}: killed after {moment:.2f} s")
    with postgres.serving(initialized(pair.a.data)) as server:
        fill(server)
        with Comings(pair, SEED, pause_s=0.3) as comings:
            postgres.run(*bench(server, LONGEST_S))
        assert comings.count > 0
        check(server)
        both.assert_equal()
        with postgres.Committer(server) as committer, postgres.begin(*bench(server, moment + 120)) as others:
            committer.wait(10)
            time.sleep(moment)
            assert others.poll() is None
            pair.a.kill()
            server.cut_off()
            others.kill()
    pair.b.tell(control.CloseStream())
    pair.b.wait(control.StreamClosed)
    pair.b.tell(control.Idle())
    pair.b.wait(control.Idled)
    with postgres.serving(pair.b.data / "db") as server:
        assert committer.missing_in(server) == []
        check(server)
        server.stop()
