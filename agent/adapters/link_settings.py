"""Has links keep silent about IPv4 addresses that this node holds elsewhere, and gives them their settings back.

By itself Linux answers ARP on each link for all addresses that the machine has, and names any of them as the sender of
its own questions, by which neighbours learn it too. ``arp_ignore`` and ``arp_announce`` (ip-sysctl.rst) keep to
the addresses of the link itself. Neighbour discovery does so anyway: IPv6 needs nothing.

What a link had before is in a file before anything is changed, with the addresses for whose sake it is: so an agent
that is killed at any point between leaves nothing that the next one does not give back. A value that somebody else has
set since is his. Blocks; one thread, since all modules share the file.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from agent.adapters.netlink import IpAddress
from manager.model.codec import DecodeError, decode, encode
from manager.model.errors import DefiniteFailure
from manager.note_file import write_note

SETTINGS = "/proc/sys/net/ipv4/conf"
WANTED = {"arp_ignore": 1, "arp_announce": 2}
"""Answer for the link's own addresses alone; and name no other one as the sender. More is as good."""


@dataclass(frozen=True, slots=True)
class _Link:
    former: dict[str, int]
    """Setting to the value that it had; those that sufficed are left out, and left alone."""
    addresses: tuple[str, ...]
    """For whose sake."""


@dataclass(frozen=True, slots=True)
class _Note:
    links: dict[str, _Link] = field(default_factory=dict)
    """By the interface's name."""


class LinkSettings:
    """Which links keep silent, and about what."""

    def __init__(self, path: str, settings: str = SETTINGS) -> None:
        """``path``: the file, best in ``/run``: it is of use for as long as the machine runs."""
        self._path = path
        self._settings = settings

    def silence(self, links: Iterable[str], addresses: Collection[IpAddress]) -> Mapping[str, DefiniteFailure]:
        """Has ``links`` keep silent about ``addresses``, if they do not yet.

        Returns those of which that could not be had, each with why: it is gone, or its settings cannot be written. All
        at once, since there may be hundreds, of containers: the file is read once and written once at the most.

        Raises:
            DefiniteFailure: the file cannot be written; nothing has been set.
        """
        note = self._read()
        failed: dict[str, DefiniteFailure] = {}
        lacking: dict[str, list[str]] = {}
        wanted: dict[str, _Link] = {}
        for link in links:
            known = note.links.get(link, _Link({}, ()))
            try:
                now = {name: self._value(link, name) for name in WANTED}
            except DefiniteFailure as failure:
                failed[link] = failure
                continue
            short = {name: value for name, value in now.items() if value is not None and value < WANTED[name]}
            if None in now.values():
                failed[link] = DefiniteFailure(f"{link} is gone, and cannot keep silent")
                continue
            # What is noted was there before we came: a value that is ours must not be taken for it.
            wanted[link] = _Link({**short, **known.former}, tuple(sorted({*known.addresses, *map(str, addresses)})))
            lacking[link] = list(short)
        if left := self._with(note.links, wanted):
            self._write(replace(note, links=left))
        for link, names in lacking.items():
            for name in names:
                try:
                    self._set(link, name, WANTED[name])
                except DefiniteFailure as failure:
                    failed[link] = failure
        return failed

    def _with(self, noted: Mapping[str, _Link], wanted: Mapping[str, _Link]) -> dict[str, _Link]:
        """What is to be noted; empty: that is noted already. Links that have gone go out: containers' never return."""
        if all(noted.get(name) == link for name, link in wanted.items()):
            return {}
        gone = {name for name in noted.keys() - wanted.keys() if self._value(name, next(iter(WANTED))) is None}
        return {**{name: link for name, link in noted.items() if name not in gone}, **wanted}

    def release(self, addresses: Collection[IpAddress]) -> None:
        """Nothing keeps silent for the sake of these any more; a link without any other gets its settings back.

        Raises:
            DefiniteFailure: a setting or the file cannot be written.
        """
        note = self._read()
        if gone := {str(a) for a in addresses} & {a for link in note.links.values() for a in link.addresses}:
            left = {name: replace(link, addresses=_without(link, gone)) for name, link in note.links.items()}
            for name, link in left.items():
                if not link.addresses:
                    self._restore(name, link)
            self._write(_Note({name: link for name, link in left.items() if link.addresses}))

    def release_others(self, keep: Collection[str]) -> None:
        """As :meth:`release`, of all addresses that are noted, ``keep`` excepted.

        Raises:
            DefiniteFailure: a setting or the file cannot be written.
        """
        self.release(self.addresses() - {ip_address(k) for k in keep})

    def addresses(self) -> set[IpAddress]:
        """For whose sake a link keeps silent."""
        return {ip_address(a) for link in self._read().links.values() for a in link.addresses}

    def _restore(self, link: str, noted: _Link) -> None:
        for name, former in noted.former.items():
            if self._value(link, name) == WANTED[name]:
                self._set(link, name, former)

    def _value(self, link: str, name: str) -> int | None:
        """``None``: the link is gone, and its settings with it."""
        try:
            with open(f"{self._settings}/{link}/{name}", encoding="ascii") as file:
                return int(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise DefiniteFailure(f"{name} of {link}: {error}") from None

    def _set(self, link: str, name: str, value: int) -> None:
        try:
            # Not created: where there is none, there is no such link.
            with open(f"{self._settings}/{link}/{name}", "r+", encoding="ascii") as file:
                file.write(str(value))
        except OSError as error:
            raise DefiniteFailure(f"setting {name} of {link}: {error}") from None

    def _read(self) -> _Note:
        try:
            with open(self._path, "rb") as file:
                return decode(_Note, file.read())
        except (OSError, DecodeError):
            return _Note()  # Nothing was noted, or by no release that we know: what links have now is left to them.

    def _write(self, note: _Note) -> None:
        try:
            write_note(self._path, encode(note))
        except OSError as error:
            raise DefiniteFailure(f"noting the links' settings in {self._path}: {error}") from None


def _without(link: _Link, addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(a for a in link.addresses if a not in addresses)
