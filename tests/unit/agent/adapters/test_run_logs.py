"""A log for each run of a script, the last ten kept."""

from pathlib import Path

from agent.adapters.log_files import LogFiles
from agent.adapters.run_logs import KEPT, last_lines, numbers, open_log


def test_each_run_has_a_log_of_its_own_and_the_oldest_go(tmp_path: Path) -> None:
    for run in range(KEPT + 3):
        file, path = open_log(str(tmp_path), "start_prim")
        with file:
            file.write(f"run {run}\n".encode())
        assert Path(path).read_text() == f"run {run}\n"
    assert numbers([p.name for p in tmp_path.iterdir()], "start_prim") == list(range(4, KEPT + 4))


def test_runs_of_other_scripts_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "start_prim.old.7.log"
    other.write_text("x")
    stray = tmp_path / "start_prim.x.log"
    stray.write_text("x")
    for _ in range(KEPT + 1):
        open_log(str(tmp_path), "start_prim")[0].close()
    assert other.exists() and stray.exists()
    assert numbers(["start_prim.old.7.log", "start_prim.3.log"], "start_prim.old") == [7]


def test_what_is_written_here_is_found_there(tmp_path: Path) -> None:
    file, path = open_log(str(tmp_path / "db"), "prestart")
    file.close()
    assert LogFiles(str(tmp_path)).scripts("db") == {"prestart": path}


def test_the_last_lines_leave_out_our_own_notes(tmp_path: Path) -> None:
    log = tmp_path / "a.1.log"
    log.write_bytes(b"# ours begins\none\n\ntwo \xff\nthree\n# ours ended\n")
    assert last_lines(str(log), 2) == "two \N{REPLACEMENT CHARACTER}\nthree"
    assert last_lines(str(tmp_path / "none")) == ""
