"""A frozen record with other values in some of its fields: ``dataclasses.replace``, quick where there are many fields.

The core copies its state at each fact and with each rule that applies. What builds a record anew sets each of its sixty
fields through ``object.__setattr__``; here the fields that stay are copied at once. Measured: 14 us, and 1 us.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The type checker knows the fields of what it is given only by this name.
    from dataclasses import replace
else:

    def replace(record: Any, **changes: Any) -> Any:
        """``record`` with ``changes``. One without a ``__dict__`` (``slots``) is built anew.

        Raises:
            TypeError: it has no such field.
        """
        fields = getattr(record, "__dict__", None)
        if fields is None:
            return dataclasses.replace(record, **changes)
        if not changes.keys() <= fields.keys():
            raise TypeError(f"{type(record).__name__} has no {sorted(changes.keys() - fields.keys())}")
        copy = object.__new__(type(record))
        copy.__dict__.update(fields)
        copy.__dict__.update(changes)
        return copy


__all__ = ["replace"]
