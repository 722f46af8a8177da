"""The calls about what was set aside (S12): to be asked on the node that has it, where the module has to be started.

All of them are answered by a :class:`manager.model.asides.AsideReport`. A path is written as
:func:`manager.model.asides.path_text` does it.
"""

from dataclasses import dataclass

from manager.model.asides import MAX_ITEMS


@dataclass(frozen=True, slots=True)
class AsideListArguments:
    """Call ``aside.list``: what is set aside on this node."""

    module: str


@dataclass(frozen=True, slots=True)
class AsideShowArguments:
    """Call ``aside.show``: what is in one of them."""

    module: str
    number: int
    path: str = ""
    """This and all below; empty: everything."""
    skip: int = 0
    limit: int = MAX_ITEMS
    """How many to name at the most; never more than ``MAX_ITEMS``."""


@dataclass(frozen=True, slots=True)
class AsideRestoreArguments:
    """Call ``aside.restore``: copy what is kept of ``path``, with all that is kept below it, to ``target``."""

    module: str
    number: int
    path: str
    target: str
    """Absolute; must not exist, and not be within a replicated directory of the module."""


@dataclass(frozen=True, slots=True)
class AsideClearArguments:
    """Call ``aside.clear``: delete one for good."""

    module: str
    number: int


@dataclass(frozen=True, slots=True)
class AsideGiveUpArguments:
    """Call ``aside.give_up``: bring this node in sync, and keep nothing of what it alone has."""

    module: str
    node: str
    """Whose changes are to be lost, as the operator named it; it is refused when that is not this node."""
