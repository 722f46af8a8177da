"""All keys of the cluster in etcd for a snapshot, with the revisions at which they were written, without secrets.

etcd is asked itself, as ``mirrorfarm check`` does, not the agent: so it is seen what is there, and not what was heard.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from manager.cli.checks.etcd import Endpoint, Member
from manager.cli.checks.probe import Kept, Probe
from manager.cli.snapshot.lacking import NotHad
from manager.cli.snapshot.masking import masked, masked_plain
from manager.model.config import EtcdConfig
from manager.model.keys import ClusterKeys

FILE: Final = "etcd.json"
MOST_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Keys:
    """What etcd has of a cluster."""

    text: str
    """For the file."""
    nodes: tuple[str, ...]
    """That it has heard of."""


def read_keys(config: EtcdConfig, cluster: str) -> Keys:
    """Those of ``cluster``.

    Raises:
        NotHad: etcd does not say.
        OSError: its TLS files cannot be used.
    """
    probe, of = Probe(config), ClusterKeys(cluster)
    endpoints = probe.endpoints()
    answering = [e.endpoint for e in endpoints if e.version]
    if not answering:
        raise NotHad("no endpoint of etcd answers: " + "; ".join(f"{e.endpoint}: {e.problem}" for e in endpoints))
    kept = probe.kept(answering, of.prefix)
    if kept is None:
        raise NotHad(probe.refusal or "etcd answers, but its keys cannot be read: look whether it has a majority")
    nodes = {key.removeprefix(p) for key in kept.pairs for p in (of.nodes_prefix, of.known_prefix) if key.startswith(p)}
    return Keys(_shown(kept, endpoints, probe.members(answering)), tuple(sorted(nodes)))


def _shown(kept: Kept, endpoints: list[Endpoint], members: list[Member] | None) -> str:
    told: dict[str, Any] = {
        "revision": kept.revision,
        "endpoints": {e.endpoint: e.version or f"no answer: {e.problem}" for e in endpoints},
        "members": None if members is None else [[m.name, list(m.peer_urls), m.voter] for m in members],
        "keys": [
            {
                "key": key,
                "revision": pair.revision,
                "version": pair.version,
                "lease": f"{pair.lease:x}",
                "value": _value(pair.value),
            }
            for key, pair in sorted(kept.pairs.items())
        ],
    }
    return json.dumps(told, indent=1) + "\n"


def _value(value: bytes) -> Any:
    text = value.decode(errors="replace")
    try:
        return masked_plain(json.loads(text))
    except (ValueError, RecursionError):
        return masked(text)
