"""What the member record of a farm's node says beside its state and cause: written and read here alone."""

from collections.abc import Mapping

_MAC = "mac:"


def farm_resources(macs: Mapping[str, str]) -> dict[str, str]:
    """The resources of a node with these ``macs``: address to the MAC of its interface there."""
    return {f"{_MAC}{address}": mac for address, mac in macs.items()}


def macs_in(resources: Mapping[str, str]) -> dict[str, str]:
    """Address to the MAC of the interface there, of the node of ``resources``."""
    return {name.removeprefix(_MAC): mac for name, mac in resources.items() if name.startswith(_MAC)}
