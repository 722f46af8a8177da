"""Takes secrets out of texts and records before they leave the node: configuration, scripts, logs. Pure.

By the name of what a value is given to (:mod:`manager.cli.snapshot.secret_names`), in the forms of TOML, the shell,
JSON, YAML and of headers; by the place in a URL; by the options of some programs; and by what private keys and some
tokens look like. Where a value's end is not clear, more is masked. It does not know the application: what that writes
into its log in words of its own is left as it is, and docs/SECURITY.md says so.
"""

import json
import re
import string
from typing import Any, Final

from manager.cli.snapshot.secret_names import HINT, is_secret_name

MASK: Final = "<masked>"

_PEM: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"
    r"(?:Proc-Type:[^\n\\]*|DEK-Info:[^\n\\]*|[A-Za-z0-9+/=\s]|\\[nr])*"
    r"(?:-----END [A-Z0-9 ]*PRIVATE KEY-----)?"
)
_PEM_END: Final = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY-----")
_PEM_BODY: Final = f"{string.ascii_letters}{string.digits}+/=\\{string.whitespace}"

_URL: Final = re.compile(
    r"(?P<before>\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@'\"<>]{0,256}:)[^\s'\"<>]{1,2048}@", re.IGNORECASE
)
_WEB_USER: Final = re.compile(r"(?P<before>\bhttps?://)[^\s/:@'\"<>]{1,2048}@", re.IGNORECASE)
"""A token may stand in the place of the user."""

_NEW: Final = f"(?!{MASK})"
"""What is masked already does not take the rest of the line with it."""
_QUOTED: Final = r"\"(?:\\.|[^\"\\]){0,20000}\"|'[^']{0,20000}'"
_QUOTED_IN_LINE: Final = r"\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'"
_BLOCK: Final = r'"""[\s\S]*?(?:"""|\Z)' + r"|'''[\s\S]*?(?:'''|\Z)|\[[^\]]*(?:\]|\Z)"
"""A text of several lines; a list."""
_WORD: Final = rf"(?:{_QUOTED}|\$\([^)]{{0,4096}}\)|`[^`]{{0,4096}}`|\\.|\S)+"
"""Of the shell: it ends at a blank that is not quoted. All is bounded: a log may hold anything."""
_NAME: Final = rf"(?<![\w.])(?=[A-Za-z_])(?=[\w.-]{{0,80}}{HINT})(?P<name>[A-Za-z_][\w.-]*)\\?[\"']?"
_IS: Final = r"(?:[ \t]+[!=:]?=[ \t]*|[!=]?=[ \t]+|[ \t]*(?:=>|:(?!=))[ \t]*)"

_FORMS: Final = (
    # NAME=value
    re.compile(rf"{_NAME}[+:]?=(?P<value>(?![=\s]){_NEW}(?:{_BLOCK}|{_WORD}))", re.IGNORECASE),
    # name = value, name: value; to the end of the line where it is not quoted
    re.compile(rf"{_NAME}{_IS}(?P<value>{_NEW}(?:{_BLOCK}|{_QUOTED_IN_LINE}|\S[^\n]*))", re.IGNORECASE),
    # --name value
    re.compile(
        rf"(?<![\w-])--?(?=[\w-]{{0,80}}{HINT})(?P<name>[A-Za-z][\w-]*)[ \t]+(?P<value>{_NEW}{_WORD})", re.IGNORECASE
    ),
)

_PROGRAMS: Final = r"(?:ipmi\w+|fence_\w+|sshpass|mysql\w*|mariadb\w*|redis-cli|curl|ldap\w+|snmp\w+|smbclient|openssl)"
_COMMANDS: Final = re.compile(rf"\b{_PROGRAMS}\b(?:\\\n|[^\n])*")
"""Of programs that are given a secret by an option of one letter, or with a name in front of it."""
_SHORT_OPTION: Final = re.compile(rf"(?P<before>(?<=\s)(?:-[AaPpUuwXxckK][ \t]*|--(?:proxy-)?user[ \t]+)){_NEW}{_WORD}")
_STATEMENTS: Final = (
    re.compile(r"(?P<before>\b(?:password|identified\s+by)\s+)(?:'[^'\n]*'|\"[^\"\n]*\")", re.IGNORECASE),
    re.compile(r"(?P<before>\blogin\s+\S+\s+password\s+)\S+", re.IGNORECASE),
    re.compile(rf"(?P<before>\b(?:requirepass|masterauth|bearer)[ \t]+){_NEW}\S+", re.IGNORECASE),
)
"""Of SQL; of netrc; of Redis and of HTTP."""
_LOOKS: Final = (
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abeprs]-[\w-]{8,}|\bAKIA[0-9A-Z]{16}\b|\$(?:2[aby]|5|6|y|argon2\w*)\$[\w./$=,+-]{16,}"
)
"""JSON web tokens, those of well-known services, hashes of passwords."""
_BY_LOOKS: Final = re.compile(_LOOKS)
_MAY_HOLD: Final = re.compile(rf"{HINT}|://|bearer|identified|{_PROGRAMS}|{_LOOKS}", re.IGNORECASE)
"""A text in which it finds nothing has none of all that: most of a log, which is looked through quickly so."""


def masked(text: str) -> str:
    """``text`` without the secrets in it."""
    if _MAY_HOLD.search(text) is None:
        return text
    text = _without_ends(_PEM.sub(MASK, text))
    for form in (_URL, _WEB_USER):
        text = form.sub(rf"\g<before>{MASK}@", text)
    for form in _FORMS:
        text = form.sub(_by_name, text)
    text = _COMMANDS.sub(_by_options, text)
    for form in _STATEMENTS:
        text = form.sub(rf"\g<before>{MASK}", text)
    return _BY_LOOKS.sub(MASK, text)


def masked_plain(plain: Any) -> Any:
    """As :func:`masked`, of what ``json.loads`` gives: by the names in objects, and in each text."""
    if isinstance(plain, str):
        return masked(plain)
    if isinstance(plain, list):
        return [masked_plain(value) for value in plain]
    if isinstance(plain, dict):
        return {
            masked(name): _emptied(value) if is_secret_name(name) else masked_plain(value)
            for name, value in plain.items()
        }
    return plain


def masked_json(text: str) -> str:
    """As :func:`masked`, of a JSON text, indented for people; one that is none is taken as any text."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        return masked(text)
    return json.dumps(masked_plain(plain), indent=1) + "\n"


def masked_log(text: str) -> str:
    """As :func:`masked`, of a log: lines that are JSON objects stay so."""
    done, others = list[str](), list[str]()
    for line in text.splitlines(keepends=True):
        entry = _masked_entry(line)
        if entry is None:
            others.append(line)
        else:
            done += [masked("".join(others)), entry]
            others.clear()
    return "".join([*done, masked("".join(others))])


def _masked_entry(line: str) -> str | None:
    """``None``: the line is no entry."""
    if not line.startswith("{"):
        return None
    if line.endswith("}\n") and _MAY_HOLD.search(line) is None:
        return line
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return json.dumps(masked_plain(entry)) + "\n" if isinstance(entry, dict) else None


def _without_ends(text: str) -> str:
    """Of a private key whose beginning was cut off, what is left is masked."""
    *bodies, rest = _PEM_END.split(text)
    return "".join([*(body.rstrip(_PEM_BODY) + MASK for body in bodies), rest])


def _emptied(value: Any) -> Any:
    """``value`` with nothing of what is in it; that there is nothing stays to be seen."""
    if isinstance(value, list):
        return [_emptied(one) for one in value]
    if isinstance(value, dict):
        return {name: _emptied(one) for name, one in value.items()}
    return value if value in (None, "") or isinstance(value, bool) else MASK


def _by_name(found: re.Match[str]) -> str:
    if not is_secret_name(found["name"]) or found["value"] in ('""', "''"):
        return found[0]
    begin, end = (place - found.start() for place in found.span("value"))
    return f"{found[0][:begin]}{MASK}{found[0][end:]}"


def _by_options(found: re.Match[str]) -> str:
    return _SHORT_OPTION.sub(rf"\g<before>{MASK}", found[0])
