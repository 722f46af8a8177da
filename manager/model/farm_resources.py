"""What the member record of a farm's node says beside its state and cause: written and read here alone."""

from collections.abc import Mapping

_MAC = "mac:"
_TRAFFIC, _CLOSED = "traffic", "closed"
_CLOSED_BY = "traffic_closed_by"
_GENERATION = "generation"


def farm_resources(
    macs: Mapping[str, str], *, is_open: bool = True, closed_by: str = "", generation: int = 0
) -> dict[str, str]:
    """The resources of a node with these ``macs``: address to the MAC of its interface there.

    ``is_open``: what begins may go to it, as far as its scripts have a say; else ``closed_by``: who has closed it,
    where somebody has since the start, and it is known. ``generation``: of the configuration by which it runs;
    0: that is not said.
    """
    traffic = {} if is_open else {_TRAFFIC: _CLOSED} | ({_CLOSED_BY: closed_by} if closed_by else {})
    runs_by = {_GENERATION: str(generation)} if generation else {}
    return {**{f"{_MAC}{address}": mac for address, mac in macs.items()}, **traffic, **runs_by}


def generation_in(resources: Mapping[str, str]) -> int | None:
    """Of the configuration by which the node of ``resources`` runs; ``None``: that is not said."""
    said = resources.get(_GENERATION, "")
    return int(said) if said.isascii() and said.isdecimal() else None


def is_open_in(resources: Mapping[str, str]) -> bool:
    """Whether what begins may go to the node of ``resources``, as far as its scripts have a say."""
    return resources.get(_TRAFFIC) != _CLOSED


def closed_by_in(resources: Mapping[str, str]) -> str:
    """Who has closed the traffic of the node of ``resources``; empty: nobody, or that is not said."""
    return resources.get(_CLOSED_BY, "")


def macs_in(resources: Mapping[str, str]) -> dict[str, str]:
    """Address to the MAC of the interface there, of the node of ``resources``."""
    return {name.removeprefix(_MAC): mac for name, mac in resources.items() if name.startswith(_MAC)}
