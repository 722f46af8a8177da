"""Keys of a module in etcd that are not understood, in words: an alarm, what goes on meanwhile, and what to do."""

from manager.cli.harmless import harmless
from manager.model.api import ModuleView
from manager.model.unreadable import Kind, UnreadableKey

_LONGEST = 200
"""Characters of what is wrong; a value may be as long as anybody likes."""
_IF_NEWER = "If a newer release wrote it, install that one on all nodes instead."
_MEANS = {
    Kind.CONFIG: "nodes on which it runs go on with the last configuration that they understood; nothing else is "
    "started by it",
    Kind.DESIRED: "the last wish that was understood counts; where none was, it is not started",
    Kind.PRIMARY: "nothing is decided by it: no node becomes primary",
    Kind.INSYNC: "nothing is decided by it: no node becomes primary, no copy is made equal to another one",
}
_TODO = {
    Kind.CONFIG: "mirrorfarm module apply DIR, with the module's folder, writes it anew.",
    Kind.DESIRED: "mirrorfarm start {module} --node {node} (or stop) writes it anew; maintenance, boot and weight are "
    "then to be set again.",
    Kind.PRIMARY: "docs/operations.md, A key is not understood, says how it is looked at and taken away.",
    Kind.INSYNC: "docs/operations.md, A key is not understood, says how its last good value is put back.",
}


def unreadable_lines(module: ModuleView) -> list[str]:
    """One for each key: each display of the module says it until the key is good again, or gone."""
    return [f"{module.name}: {unreadable_words(each)}" for each in module.unreadable]


def unreadable_words(found: UnreadableKey) -> str:
    """The key, what is wrong with it, and what that means."""
    problem = harmless(found.problem.replace("\n", " "))
    short = problem if len(problem) <= _LONGEST else f"{problem[:_LONGEST]}..."
    means = f"; {_MEANS[found.kind]}" if found.kind in _MEANS else ""
    return f"etcd's key {harmless(found.key)} is not understood ({short}){means}"


def unreadable_remedies(module: ModuleView) -> list[str]:
    """What to do about each."""
    return [unreadable_remedy(module.name, each) for each in module.unreadable]


def unreadable_remedy(module: str, found: UnreadableKey) -> str:
    """What to do about one of ``module``."""
    todo = _TODO.get(found.kind, "").format(module=module, node=harmless(found.node))
    return f"{todo} {_IF_NEWER}".strip()
