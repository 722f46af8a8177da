"""What is made of the kernel's lists. How it gives them: integration."""

from collections.abc import Iterator
from typing import Any

import pytest

from agent.adapters.netlink import Kernel
from manager.model.errors import DefiniteFailure

_MULTI, _INTERRUPTED = 0x2, 0x10


class Message(dict[str, Any]):
    """An address, as pyroute2 has it."""

    def __init__(self, address: str, *, flags: int) -> None:
        super().__init__(index=2, prefixlen=24, flags=0, header={"flags": _MULTI | flags})
        self._address = address

    def get_attr(self, name: str) -> object:
        return self._address if name == "IFA_ADDRESS" else None


class Route:
    """One whose lists were changed while they were given, so many times."""

    def __init__(self, interrupted: int) -> None:
        self.interrupted = interrupted

    def get_addr(self) -> Iterator[Message]:
        if self.interrupted:
            self.interrupted -= 1
            yield Message("10.0.0.1", flags=_INTERRUPTED)
        else:
            yield from (Message("10.0.0.1", flags=0), Message("10.0.0.100", flags=0))


def of(route: Route) -> Kernel:
    kernel = Kernel()
    kernel._route = route
    return kernel


def test_a_list_that_others_changed_meanwhile_is_asked_for_again() -> None:
    """It may lack an address of ours, which would be taken for removed when it is to be removed, and stay."""
    assert [str(a.address) for a in of(Route(2)).addresses()] == ["10.0.0.1", "10.0.0.100"]


def test_one_that_is_never_whole_is_no_list() -> None:
    with pytest.raises(DefiniteFailure, match="while they were listed"):
        of(Route(1000)).addresses()
