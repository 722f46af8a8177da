"""Calls that are for one kind of module: what they are told of a module of the other one."""

from agent.api_view import parsed_config
from agent.runtime.handling import Seat
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.config.farm_config import FarmConfig
from manager.model.records import ModuleConfigRecord


def farm_of(seat: Seat, module: str) -> tuple[ModuleConfigRecord, FarmConfig]:
    """``module`` as it was applied, and its configuration.

    Raises:
        ApiError: it is no farm, or this release does not understand its configuration; or as ``seat.config``.
    """
    record = seat.config(module)
    config = parsed_config(record)
    if config is None:
        raise ApiError(
            ErrorKind.REFUSED,
            f"The configuration of {module} is not understood by this release.",
            meaning=UNCHANGED,
            remedy="Install the same release of Mirrorfarm on all nodes.",
        )
    if not isinstance(config, FarmConfig):
        raise ApiError(
            ErrorKind.REFUSED,
            f"{module} is a mirror: it has one primary, and shares nothing.",
            meaning=UNCHANGED,
            remedy=f"mirrorfarm state {module} shows where it runs.",
        )
    return record, config


def is_farm(seat: Seat, module: str) -> bool:
    """Whether ``module`` is known to be a farm."""
    return isinstance(seat.understood(module), FarmConfig)


def refuse_farm(seat: Seat, module: str, command: str) -> None:
    """Refuse ``command`` where ``module`` is a farm; one whose configuration is not understood passes.

    Raises:
        ApiError: it is one; or as ``seat.config``.
    """
    seat.config(module)
    if is_farm(seat, module):
        raise ApiError(
            ErrorKind.REFUSED,
            f"{module} is a farm: it has neither a primary nor copies, and {command} is for mirrors.",
            meaning=UNCHANGED,
            remedy=f"mirrorfarm farm show {module} says which node serves what. To keep what begins off a node: "
            f"mirrorfarm farm drain {module} NODE",
        )
