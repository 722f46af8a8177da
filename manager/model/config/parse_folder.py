"""A module's folder (``module.toml`` and scripts, as texts) in, its configuration out, or all that is wrong."""

import json
from collections.abc import Mapping

from manager.model.config.findings import Findings, listing
from manager.model.config.kinds import AnyModule
from manager.model.config.parse_application import check_scripts
from manager.model.config.parse_farm import parse_farm
from manager.model.config.parse_mirror import parse_mirror
from manager.model.config.rules import NAME, Rule
from manager.model.config.tables import Table, parse_toml
from manager.model.states import ModuleKind

LARGEST_BYTES = 512 * 1024
"""Of a module's whole configuration as it stands in etcd."""

_RECORD_OVERHEAD_BYTES = 1024
_LIGHT = "light"
_KIND = Rule(listing(tuple(ModuleKind)), lambda text: text in (*ModuleKind, _LIGHT))


def parse_module(text: str, scripts: Mapping[str, str], file: str = "module.toml") -> AnyModule:
    """The configuration of a module.

    Args:
        text: the content of ``module.toml``.
        scripts: name below ``scripts/`` to text.
        file: how ``module.toml`` is called in the error.

    Raises:
        InvalidConfig: something is wrong; it says all that is.
    """
    findings = Findings(file)
    top = parse_toml(text, findings)
    _check_size(text, scripts, findings)
    config = _config(top, scripts, findings) if top is not None else None
    findings.raise_if_any()
    if config is None:
        raise AssertionError("a file that is not TOML has a finding")
    return config


def _config(top: Table, scripts: Mapping[str, str], findings: Findings) -> AnyModule | None:
    """``None``: of no kind that is known. Its other keys are then not looked at: each kind has its own."""
    name, kind = top.required("name", NAME), _kind(top)
    check_scripts(scripts, kind, findings)
    if kind is None:
        return None
    parse = parse_farm if kind is ModuleKind.FARM else parse_mirror
    return parse(top, name, scripts, findings)


def _kind(top: Table) -> ModuleKind | None:
    kind = top.required("kind", _KIND)
    if kind == _LIGHT:
        top.refuse("kind", f"{_KIND.allowed}; a light module is for a later release")
        return None
    return ModuleKind(kind) if kind else None


def _check_size(text: str, scripts: Mapping[str, str], findings: Findings) -> None:
    record = json.dumps({"toml": text, "scripts": dict(scripts)}, ensure_ascii=False)
    try:
        size = len(record.encode()) + _RECORD_OVERHEAD_BYTES
    except UnicodeEncodeError:
        findings.note("", "half of a surrogate pair in module.toml or a script", "text in UTF-8")
        return
    if size > LARGEST_BYTES:
        findings.note(
            "",
            f"{size // 1024} KiB of module.toml and scripts together",
            f"{LARGEST_BYTES // 1024} KiB: put programs and data beside the module, on each node",
        )
