"""What the kernel says of a live process's rights (proc_pid_status(5))."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Rights:
    """Sets of capabilities as masks by their numbers."""

    permitted: int
    effective: int
    bounding: int
    inheritable: int
    ambient: int
    no_new_privileges: bool


def rights_of(pid: int | str) -> Rights:
    """Of all of its threads, which have to have the same."""
    found = {_of(task) for task in Path(f"/proc/{pid}/task").iterdir()}
    assert len(found) == 1, "one of its threads has other rights"
    return found.pop()


def mask(capabilities: frozenset[int]) -> int:
    """The set as the kernel shows it."""
    return sum(1 << capability for capability in capabilities)


def _of(task: Path) -> Rights:
    told = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
    permitted, effective, bounding, inheritable, ambient = (
        int(told[f"Cap{name}"], 16) for name in ("Prm", "Eff", "Bnd", "Inh", "Amb")
    )
    return Rights(permitted, effective, bounding, inheritable, ambient, told["NoNewPrivs"].strip() == "1")
