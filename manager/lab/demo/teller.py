"""Runs the demonstration's client on its machine, and keeps what it says."""

import subprocess
import threading
import time

from manager.lab.demo.ledger import Ledger, Said, parse
from manager.lab.errors import LabError
from manager.lab.layout import VIRTUAL_ADDRESS
from manager.lab.machine import RunningMachine

_END_SECONDS = 15.0
_LOOK_S = 0.05


class Teller:
    """The client while it runs."""

    def __init__(self, client: RunningMachine) -> None:
        """Starts it: from now on it commits."""
        self._lines: list[Said] = []
        self._process = subprocess.Popen(
            client.command(["python", "-m", "manager.lab.demo.client", VIRTUAL_ADDRESS]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def ledger(self) -> Ledger:
        """What it said until now."""
        return Ledger(tuple(self._lines))

    def wait_for_commits(self, count: int, seconds: float) -> None:
        """Until so many more were committed.

        Raises:
            LabError: they were not in time.
        """
        wanted = len(self.ledger.done) + count
        end = time.monotonic() + seconds
        while len(self.ledger.done) < wanted:
            if self._process.poll() is not None:
                raise LabError(f"the client has ended with {self._process.returncode}")
            if time.monotonic() >= end:
                last = self._lines[-1].why if self._lines else "it said nothing"
                raise LabError(f"the client had not {count} commits within {seconds:g} s: {last}")
            time.sleep(_LOOK_S)

    def end(self) -> None:
        """Let it finish what is under way.

        Raises:
            LabError: it does not end, or has failed.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            raise LabError(f"the client does not end within {_END_SECONDS:g} s") from None
        self._reader.join(_END_SECONDS)
        if code != 0:
            raise LabError(f"the client has failed with {code}")

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(parse(line))
