"""What the member record of a farm's node says beside its state and cause: written and read here alone."""

from collections.abc import Mapping

_MAC = "mac:"
_TRAFFIC, _CLOSED = "traffic", "closed"


def farm_resources(macs: Mapping[str, str], *, is_open: bool = True) -> dict[str, str]:
    """The resources of a node with these ``macs``: address to the MAC of its interface there.

    ``is_open``: what begins may go to it, as far as its scripts have a say.
    """
    traffic = {} if is_open else {_TRAFFIC: _CLOSED}
    return {**{f"{_MAC}{address}": mac for address, mac in macs.items()}, **traffic}


def is_open_in(resources: Mapping[str, str]) -> bool:
    """Whether what begins may go to the node of ``resources``, as far as its scripts have a say."""
    return resources.get(_TRAFFIC) != _CLOSED


def macs_in(resources: Mapping[str, str]) -> dict[str, str]:
    """Address to the MAC of the interface there, of the node of ``resources``."""
    return {name.removeprefix(_MAC): mac for name, mac in resources.items() if name.startswith(_MAC)}
