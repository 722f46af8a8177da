"""Short names for what configurations are made of."""

from typing import Final

from tests.model.contents import Operation

WRITE: Final = Operation("write", 0)
WRITE_1: Final = Operation("write", 1)
FSYNC: Final = Operation("fsync")
CREATE: Final = Operation("create", 0)
RENAME: Final = Operation("rename", 0, 1)
UNLINK: Final = Operation("unlink", 0)
UNLINK_1: Final = Operation("unlink", 1)

ONE_ZONE: Final = (0, 0)
TWO_ZONES: Final = (0, 1)
