"""Work in another network namespace of this machine."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pyroute2 import netns

T = TypeVar("T")


def inside(namespace: str, work: Callable[[], T]) -> T:
    """What ``work`` returns, or raises, called by a thread that is there, as are the threads that it starts."""

    def there() -> T:
        netns.setns(namespace)
        return work()

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(there).result()
