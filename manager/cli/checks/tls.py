"""This node's certificate, and those of operators that lie here: whether they are good, and until when.

Asks the files alone.
"""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from manager.cli.checks.finding import Finding, error, note, ok, warning
from manager.model.config import AgentConfig, TlsMode
from manager.model.node_identity import NODE_CERTIFICATE, NODE_FILES, NODE_KEY, OPERATOR_CERTIFICATE, OPERATOR_KEY

SOON: Final = datetime.timedelta(days=60)
"""A certificate that ends within this is to be renewed."""


def tls(config: AgentConfig, now: datetime.datetime) -> Iterator[Finding]:
    """What there is to say of ``[tls]``."""
    if config.tls.mode is TlsMode.OFF:
        yield note(
            "tls",
            "The changes of the mirrored files travel in plain, and what the agents ask each other does.",
            'Where others reach that network: mirrorfarm pki, then tls.mode = "on" in agent.toml of all nodes.',
        )
        return
    from manager.pki import certificates, files  # brings cryptography with it

    directory = Path(config.tls.directory)
    issue = f"Where the cluster's authority is: mirrorfarm pki issue {config.node}, and carry the files here."
    yield from _operators(directory, now)
    missing = [name for name in NODE_FILES if not (directory / name).exists()]
    if missing:
        yield error("tls", f"{directory} lacks {', '.join(missing)}: no mirror has a stream to its peer.", issue)
        return
    try:
        files.read_secret(directory / NODE_KEY)
        shown = certificates.read_node(files.read(directory / NODE_CERTIFICATE))
    except files.Exposed as exposed:
        yield error("tls", f"{exposed}.", f"chmod 600 {directory / NODE_KEY}; revoke it if somebody can have read it.")
        return
    except (OSError, certificates.NotOurs) as problem:
        yield error("tls", f"{directory / NODE_CERTIFICATE}: {problem}.", issue)
        return
    renew = f"Where the cluster's authority is: mirrorfarm pki renew {config.node}, and carry the files here."
    if shown.identity.node != config.node:
        yield error("tls", f"The certificate is that of node {shown.identity.node}; this is {config.node}.", issue)
    elif shown.not_after <= now:
        yield error("tls", f"The certificate is over since {shown.not_after:%Y-%m-%d}.", renew)
    elif shown.not_after - now < SOON:
        yield warning("tls", f"The certificate is good until {shown.not_after:%Y-%m-%d} only.", renew)
    else:
        yield ok("tls", f"the certificate of {config.node} is good until {shown.not_after:%Y-%m-%d}")


def _operators(directory: Path, now: datetime.datetime) -> Iterator[Finding]:
    """What ``pki issue --operator`` has put there, and nobody has carried away; an operator's own are his matter."""
    from manager.pki import certificates, files

    try:
        found = sorted(path for path in files.Layout(directory).operators.iterdir() if path.is_dir())
    except FileNotFoundError:
        return
    except OSError as problem:
        yield error("operators", f"{problem.filename}: {problem.strerror}.", "Look as root.")
        return
    for path in found:
        subject, away = f"operator {path.name}", f"rm -r {path}, if it is not used here."
        renew = f"Where the cluster's authority is: mirrorfarm pki renew --operator {path.name}; or {away}"
        try:
            files.read_secret(path / OPERATOR_KEY)
            shown = certificates.read_operator(files.read(path / OPERATOR_CERTIFICATE))
        except files.Exposed as exposed:
            yield error(subject, f"{exposed}.", f"Revoke it if somebody can have read it; else chmod 600 it, or {away}")
        except (OSError, certificates.NotOurs) as problem:
            yield warning(subject, f"{path}: {problem}.", renew)
        else:
            until = f"{shown.not_after:%Y-%m-%d}"
            if shown.not_after <= now:
                yield warning(subject, f"The certificate is over since {until}.", renew)
            elif shown.not_after - now < SOON:
                yield warning(subject, f"The certificate is good until {until} only.", renew)
            else:
                yield ok(subject, f"the certificate is good until {until}; its key is on this machine")
