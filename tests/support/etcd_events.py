"""Reads the lab's etcd as nobody in the cluster does: each revision of each key, and single keys, with etcdctl.

It asks from the lab's client, all members: what is not answered is ``None``, never a guess.
"""

import base64
import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterable, Iterator

from manager.lab.errors import LabError
from manager.lab.lab import Lab
from manager.lab.layout import CLUSTER
from tests.support.record_history import Event, Json

PREFIX = f"/mirrorfarm/{CLUSTER}/"
_MARK = f"/mirrorfarm/{CLUSTER}.mark"
_WATCHED = f"/mirrorfarm/{CLUSTER}"
_ASK_S = 2.0
_WATCH_S = 30.0


def read(lab: Lab, key: str) -> Json | None:
    """The value of ``key`` below the cluster's prefix; ``None``: no majority answered, or it is not there."""
    try:
        said = lab.client.run([*_etcdctl(lab), "get", "--print-value-only", PREFIX + key], seconds=10)
    except LabError:
        return None
    return dict(json.loads(said)) if said.strip() else None


class EtcdEvents:
    """All events below the cluster's prefix, fetched when asked for. None is compacted: a lab's etcd keeps all."""

    def __init__(self) -> None:
        self._next = 1
        self._found: list[Event] = []

    def fetch(self, lab: Lab) -> list[Event]:
        """Those until now, the first ones too.

        Raises:
            LabError: no majority of etcd is there.
            AssertionError: they do not come.
        """
        # The watch has told all when it tells of a key that is put now.
        said = lab.client.run([*_etcdctl(lab), "put", _MARK, str(time.monotonic_ns()), "-w", "json"], seconds=10)
        last = int(json.loads(said)["header"]["revision"])
        argv = [*_etcdctl(lab), "watch", "--prefix", _WATCHED, f"--rev={self._next}", "-w", "json"]
        with subprocess.Popen(lab.client.command(argv), stdout=subprocess.PIPE) as watching:
            try:
                self._found += _until(watching, last)
            finally:
                watching.kill()
        self._next = last + 1
        return list(self._found)


def _until(watching: "subprocess.Popen[bytes]", last: int) -> list[Event]:
    assert watching.stdout is not None
    found: list[Event] = []
    rest, end = b"", time.monotonic() + _WATCH_S
    os.set_blocking(watching.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(watching.stdout, selectors.EVENT_READ)
        while time.monotonic() < end:
            if not selector.select(timeout=1.0):
                continue
            part = watching.stdout.read(1 << 20)
            assert part, "etcdctl has ended"
            *lines, rest = (rest + part).split(b"\n")
            for event in _events(lines):
                key = base64.b64decode(event["kv"]["key"]).decode()
                revision = int(event["kv"]["mod_revision"])
                if key.startswith(PREFIX):
                    found.append(_event(revision, key.removeprefix(PREFIX), event))
                elif revision == last:
                    return found
    raise AssertionError(f"etcd did not tell all events within {_WATCH_S:g} s")


def _events(lines: Iterable[bytes]) -> Iterator[Json]:
    for line in lines:
        answer = json.loads(line)
        assert not answer.get("CompactRevision"), "old revisions were compacted"
        yield from answer["Events"] or ()


def _event(revision: int, key: str, event: Json) -> Event:
    if event.get("type"):
        return Event(revision, key, None)
    return Event(revision, key, dict(json.loads(base64.b64decode(event["kv"]["value"]))))


def _etcdctl(lab: Lab) -> list[str]:
    endpoints = ",".join(f"http://{e}" for e in lab.layout.endpoints())
    return ["etcdctl", f"--endpoints={endpoints}", f"--command-timeout={_ASK_S:g}s", "--dial-timeout=1s"]
