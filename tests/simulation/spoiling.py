"""Values of etcd's keys that no release understands, as an etcdctl put with a typo leaves them."""

_SPOILED = "spoiled "


def spoiled(value: str) -> str:
    """What no release understands."""
    return f"{_SPOILED}{unspoiled(value)}"


def unspoiled(value: str) -> str:
    """What was there before it was spoiled."""
    return value.removeprefix(_SPOILED)
