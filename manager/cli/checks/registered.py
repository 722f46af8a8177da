"""Where the other nodes find this one, as etcd has it, and what came to this machine after its agent's start. Pure."""

from collections.abc import Iterator

from manager.cli.checks.finding import Finding, note, ok
from manager.model.config import NetworkConfig
from manager.model.records import KnownNode, NodeRecord


def registered(network: NetworkConfig, record: NodeRecord | None, known: KnownNode | None) -> Iterator[Finding]:
    """Nothing, where agent.toml names the addresses, or the agent is not registered."""
    if record is None or known is None or not record.addresses or network.addresses:
        return
    late = [address for address in known.addresses if address not in record.addresses]
    first = network.replication_address or record.addresses[0]
    if not late:
        yield ok("addresses", f"registered: {', '.join(record.addresses)}; streams come in at {first}")
        return
    yield note(
        "addresses",
        f"{', '.join(late)} came after the agent's start, or has an interface that is down. The agents' channel "
        f"listens there by itself; but this node is registered as {', '.join(record.addresses)}, and streams come in "
        f"at {first}.",
        "Nothing, if the other nodes reach that one. Else name network.addresses, or network.replication_address, in "
        "agent.toml, so that it does not depend on what is there when the agent starts: /etc/init.d/mirrorfarm-agent "
        "upgrade, then a stop and a start of the mirrors on this node.",
    )
