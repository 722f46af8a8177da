"""A deadline and a name for each external call."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from manager.model.errors import IndefiniteFailure

T = TypeVar("T")


async def within(seconds: float, what: str, call: Awaitable[T]) -> T:
    """What ``call`` returns.

    Raises:
        IndefiniteFailure: it took longer than ``seconds``; whether ``what`` happened is not known.
    """
    try:
        return await asyncio.wait_for(call, seconds)
    except TimeoutError:
        raise IndefiniteFailure(f"{what}: no answer within {seconds:g} s") from None
