"""On which modules a module depends: what may be said of that, and what the modules that are there have against it.

What it means for a start is the agent's business.
"""

from collections.abc import Iterable, Mapping

from manager.model.config.findings import Findings, listing
from manager.model.config.kinds import AnyModule

MOST = 16


def variable_of(module: str) -> str:
    """What tells a script where ``module`` is reached."""
    return f"DEPENDS_{module.upper().replace('-', '_')}_ADDRESS"


def check_dependencies(config: AnyModule, findings: Findings) -> None:
    """Find what is wrong with ``depends`` of ``config`` by itself."""
    if len(config.depends) > MOST:
        findings.note("depends", f"{len(config.depends)} modules", f"at most {MOST}")
    named: dict[str, str] = {}
    for index, module in enumerate(config.depends):
        where, variable = f"depends[{index}]", variable_of(module)
        if module == config.name:
            findings.note(where, f'"{module}", which is this module', "other modules")
        elif variable in named:
            found = f'"{module}" beside "{named[variable]}"'
            findings.note(where, found, f"modules of which scripts can be told apart: both would be {variable}")
        elif variable in config.env:
            findings.note(f"env.{variable}", "a name that the agent sets itself", "any but those of depends")
        named.setdefault(variable, module)


def refuse_dependencies(module: AnyModule, there: Mapping[str, AnyModule | None], file: str = "module.toml") -> None:
    """Refuse what ``module`` cannot depend on in this cluster.

    Args:
        module: the module that is to be applied.
        there: the modules that are there; ``None``: this release does not understand its configuration.
        file: how its file is called in the error.

    Raises:
        InvalidConfig: there is no such module, or it depends on ``module`` itself.
    """
    findings = Findings(file)
    others = {name: config for name, config in there.items() if name != module.name}
    for index, name in enumerate(module.depends):
        if name == module.name:
            continue  # Found when it was read.
        if name not in others:
            findings.note(f"depends[{index}]", f'"{name}", and there is no such module', _names(others))
            continue
        way = _way(name, module.name, others)
        if way:
            found = f'"{name}", so that it would wait for itself: {" -> ".join((module.name, *way))}'
            findings.note(f"depends[{index}]", found, "modules that do not wait for this one")
    findings.raise_if_any()


def _names(others: Iterable[str]) -> str:
    names = sorted(others)
    return f"a module that is there: {listing(names)}" if names else "nothing, as there is no other module yet"


def _way(start: str, end: str, others: Mapping[str, AnyModule | None]) -> tuple[str, ...]:
    """From module to module that it depends on, the first and the last one included; empty: there is no way."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    for way in ways:
        config = others.get(way[-1])
        for name in config.depends if config is not None else ():
            if name == end:
                return (*way, end)
            if name not in seen:
                seen.add(name)
                ways.append((*way, name))
    return ()


def dependents_of(module: str, others: Iterable[AnyModule]) -> tuple[str, ...]:
    """The names of those that depend on ``module``."""
    return tuple(sorted(other.name for other in others if module in other.depends))
