"""A process that gives up what it need not: what is left to it and to what it runs, as the kernel tells."""

import json
import subprocess
import sys
from typing import Any

from manager.capabilities import Capability
from tests.support.process_status import mask, rights_of

KEPT = frozenset({Capability.CHOWN, Capability.FSETID, Capability.MAC_ADMIN})
"""One of them in the second word."""
PROGRAM = """
import json, os, subprocess
from manager.capabilities import Capability, keep_only
from tests.support.process_status import rights_of
{first}
refused = keep_only({kept})
there = subprocess.run(("cat", "/proc/self/status"), capture_output=True, text=True, check=True).stdout
child = dict(line.split(":", 1) for line in there.splitlines())
print(json.dumps([refused, vars(rights_of("self")), int(child["CapEff"], 16), int(child["CapPrm"], 16)]))
"""


def given_up(first: str = "") -> Any:
    program = PROGRAM.format(kept={int(capability) for capability in KEPT}, first=first)
    ran = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True, timeout=60)
    return json.loads(ran.stdout)


def test_it_and_what_it_runs_have_what_it_has_kept_and_no_more() -> None:
    ours = rights_of("self")
    refused, own, effective, permitted = given_up()
    left = ours.permitted & mask(KEPT)
    assert refused == []
    assert own == {
        "permitted": left, "effective": left, "bounding": ours.bounding & mask(KEPT), "inheritable": 0, "ambient": 0,
        "no_new_privileges": True,
    }  # fmt: skip
    assert effective == permitted == left, "though it is root who runs it"
    assert left, "this test runs as root"


def test_who_may_not_limit_what_comes_later_is_told_and_gives_up_the_rest() -> None:
    refused, own, effective, _ = given_up("os.setgroups([]); os.setgid(65534); os.setuid(65534)")
    assert refused == ["bounding set: Operation not permitted"]
    assert own["effective"] == effective == 0 and own["no_new_privileges"]
