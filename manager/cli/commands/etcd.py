"""``etcd``: the cluster's own etcd, set up with TLS and with users. It needs no agent."""

import argparse
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from manager.cli.commands.arguments import name
from manager.cli.exit_codes import ExitCode
from manager.cli.papers import add_days, add_directory, open_office, own_config, say, unwritten
from manager.cli.seat import Seat
from manager.etcd_setup.access import (
    AddRole,
    AddUser,
    GiveRole,
    Permit,
    Step,
    TurnOn,
    entitled,
    members,
    steps,
    surplus,
)
from manager.etcd_setup.plan import CLIENT_PORT, MEMBERS, PEER_PORT, Asked, EtcdPlan, make_plan
from manager.etcd_setup.settings import (
    DEBIAN_FILE,
    ENVIRONMENT,
    MEMBER_CERTIFICATE,
    MEMBER_FILES,
    MEMBER_KEY,
    ON_MEMBER,
    ROOT_CERTIFICATE,
    ROOT_ENVIRONMENT,
    ROOT_KEY,
    agent_section,
    read_root_file,
    scp_target,
    ssh_target,
)
from manager.model.api import ApiError, ErrorKind
from manager.model.config import AgentConfig, TlsConfig
from manager.model.errors import ConfigError
from manager.model.keys import ClusterKeys
from manager.model.node_identity import AUTHORITY_CERTIFICATE, ETCD_ROOT, NODE_CERTIFICATE
from manager.pki.register import Use

if TYPE_CHECKING:
    from manager.etcd_setup.client import EtcdClient
    from manager.pki.authority import Office

_WORDS: Final = """\
The cluster's decisions are kept in etcd: three members, two of them on servers and one on a small third machine, the
witness. init writes what they need, secure has them ask who somebody is. See docs/installation.md."""
_TOKEN_BYTES: Final = 8


def add(commands: Any) -> None:
    """Declare the command."""
    etcd = commands.add_parser(
        "etcd",
        help="the cluster's own etcd, with TLS and users: init, secure, renew",
        description=_WORDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words = etcd.add_subparsers(metavar="WORD", required=True)
    init = words.add_parser("init", help="write configuration and certificates of its three members")
    init.add_argument(
        "--member",
        metavar="NAME=ADDRESS",
        action="append",
        default=[],
        help=f"a member and the IP address at which the others reach it; {MEMBERS} times",
    )
    init.add_argument("--data-dir", metavar="DIR", default="", help="default: /var/lib/etcd/mirrorfarm-CLUSTER")
    init.add_argument("--client-port", metavar="N", type=_port, default=CLIENT_PORT, help=f"default: {CLIENT_PORT}")
    init.add_argument("--peer-port", metavar="N", type=_port, default=PEER_PORT, help=f"default: {PEER_PORT}")
    add_days(init)
    add_directory(init)
    init.set_defaults(run=run_init)
    secure = words.add_parser(
        "secure", help="once they run: the nodes may use the cluster's keys, and nobody else anything"
    )
    secure.add_argument(
        "--node",
        metavar="N",
        type=name,
        action="append",
        default=[],
        help="a node; may be repeated (default: all that the authority on this machine has issued certificates; "
        "the first time, when etcd asks nobody yet, those are among them in any case)",
    )
    add_directory(secure)
    secure.set_defaults(run=run_secure)
    renew = words.add_parser("renew", help="make another certificate for a member")
    renew.add_argument("member", metavar="MEMBER", type=name, help="the member's name")
    add_days(renew)
    add_directory(renew)
    renew.set_defaults(run=run_renew)


# --- init -------------------------------------------------------------------------------------------------


def run_init(args: argparse.Namespace, seat: Seat) -> int:
    """Write everything, and say what is to be carried where."""
    config = own_config(seat)
    office = open_office(args, config)
    from manager.etcd_setup import parcels  # brings cryptography with it, which no other command needs

    try:
        cluster = office.register().cluster
        asked = Asked(tuple(args.member), args.data_dir, args.client_port, args.peer_port)
        plan = make_plan(cluster, asked, f"mirrorfarm-{cluster}-{secrets.token_hex(_TOKEN_BYTES)}")
        made = parcels.write_all(office, plan, args.days)
    except OSError as error:
        raise unwritten(error) from None
    directory = office.layout.etcd
    say(seat, f"etcd of cluster {cluster}: its files are in {directory}, good until {made[0].issued.not_after}.")
    if plan.members[0].address.is_loopback:
        say(seat, "  All three are on this one machine: that is for trying out, and outlives nothing.")
    _say_members(seat, plan, directory, config)
    _say_next(seat, plan, (config.tls if config is not None else TlsConfig()).directory, directory)
    return ExitCode.OK


def _say_members(seat: Seat, plan: EtcdPlan, directory: Path, config: AgentConfig | None) -> None:
    say(seat, "1. Each member's files to its machine, which has etcd (apt-get install etcd-server):")
    for member in plan.members:
        named = f"{directory / member.name}/{{{','.join(MEMBER_FILES)}}}"
        # Root of a machine is seldom let in there by ssh from that same machine.
        is_here = config is not None and (member.name == config.node or str(member.address) in config.network.addresses)
        ssh, scp = ssh_target(str(member.address)), scp_target(str(member.address))
        make, copy = f"install -d -m 750 -g etcd {ON_MEMBER}", f"{ON_MEMBER}/"
        take = f"cd {ON_MEMBER} && chgrp etcd {MEMBER_KEY} && chmod 640 {MEMBER_KEY} && cp {ENVIRONMENT} {DEBIAN_FILE}"
        say(seat, f"    {make}" if is_here else f"    ssh {ssh} {make}")
        say(seat, f"    cp -p {named} {copy}" if is_here else f"    scp -p {named} {scp}:{copy}")
        say(seat, f"    ({take})" if is_here else f"    ssh {ssh} '{take}'")
    say(seat, f"   What {DEBIAN_FILE} said there before is gone then; {plan.data_directory} must not be there yet.")
    say(seat, "2. On all three, one at once after the other, since one alone does not serve yet:")
    say(seat, "    systemctl restart --no-block etcd            or, without systemd: /etc/init.d/etcd restart")


def _say_next(seat: Seat, plan: EtcdPlan, nodes_directory: str, directory: Path) -> None:
    say(seat, "3. Here, when they run and each node has a certificate (mirrorfarm pki issue NODE):")
    elsewhere = "" if str(directory.parent) == nodes_directory else f" --directory {directory.parent}"
    say(seat, f"    mirrorfarm etcd secure{elsewhere}")
    say(seat, "4. In /etc/mirrorfarm/agent.toml of each node:")
    for line in agent_section(plan, nodes_directory).splitlines():
        say(seat, f"    {line}")
    keys = " ".join(str(directory / member.name) for member in plan.members)
    say(seat, f"5. Then the members' keys are needed here no more: rm -r {keys}")
    say(
        seat,
        f"   Leave {directory / ETCD_ROOT}: etcd's administrator, for mirrorfarm etcd secure and etcdctl. Whoever has "
        "its key can do anything in etcd.",
    )


def run_renew(args: argparse.Namespace, seat: Seat) -> int:
    """Make another certificate."""
    office = open_office(args, own_config(seat))
    from manager.etcd_setup import parcels  # brings cryptography with it, which no other command needs

    try:
        certified, directory = parcels.write_renewed(office, args.member, args.days)
    except OSError as error:
        raise unwritten(error) from None
    issued = certified.issued
    ssh, scp = ssh_target(issued.addresses[0]), scp_target(issued.addresses[0])
    say(seat, f"A certificate of etcd's member {issued.node}; serial {issued.serial}, good until {issued.not_after}.")
    say(seat, "  Carry it there; etcd shows it from its next connection on, and is not restarted:")
    say(seat, f"    scp -p {directory}/{{{MEMBER_KEY},{MEMBER_CERTIFICATE}}} {scp}:{ON_MEMBER}/")
    say(seat, f"    ssh {ssh} 'chgrp etcd {ON_MEMBER}/{MEMBER_KEY} && chmod 640 {ON_MEMBER}/{MEMBER_KEY}'")
    say(seat, f"  and then remove it here: rm -r {directory}")
    return ExitCode.OK


# --- secure -----------------------------------------------------------------------------------------------


def run_secure(args: argparse.Namespace, seat: Seat) -> int:
    """Have etcd ask who somebody is."""
    office = open_office(args, own_config(seat))
    cluster, client = _administrator(office)
    with client:
        nodes = _secure(client, cluster, args.node, _certified(args.node, office), seat)
    prefix = ClusterKeys(cluster).prefix
    say(seat, f"etcd of cluster {cluster} asks who somebody is, by his certificate.")
    say(seat, f"  Nodes that may read and write below {prefix}, and nothing else: {', '.join(nodes)}.")
    say(
        seat, f"  Whoever is another, or shows no certificate of this cluster, is refused; {ETCD_ROOT} may do anything."
    )
    say(seat, "  A node that is added later: mirrorfarm pki issue NODE, then mirrorfarm etcd secure once more.")
    return ExitCode.OK


def _secure(
    client: "EtcdClient", cluster: str, named: Sequence[str], certified: Sequence[str], seat: Seat
) -> list[str]:
    """Take the steps that are missing; all nodes that have a right then."""
    from manager.etcd_setup.client import Refused, Unanswered

    turned_on = False
    try:
        present = client.access()
        nodes = entitled(present, named, certified)
        others = [node for node in nodes if node not in named]
        if named and others:
            say(seat, f"etcd asked nobody so far: {', '.join(others)}, not named, would be shut out, and may stay.")
        missing = steps(present, cluster, nodes)
        if not missing:
            say(seat, "Nothing was missing.")
        for step in missing:
            client.take(step)
            say(seat, _done(step))
            turned_on = isinstance(step, TurnOn)
        present = client.access()
        for words in surplus(present, cluster, nodes):
            seat.err.print(
                f"Beyond what Mirrorfarm needs, which is left alone: {words}.", style="yellow", soft_wrap=True
            )
        return members(present, cluster)
    except Refused as refused:
        raise ApiError(
            ErrorKind.REFUSED,
            f"etcd refuses it: {refused}.",
            meaning="What was done before is done: authentication is on, and who is none of etcd's users has no "
            "right any more."
            if turned_on
            else "What was done before is done; no node lost a right by it.",
            remedy=f"The certificate has to be that of etcd's user {ETCD_ROOT}, and etcd run with the files of "
            "mirrorfarm etcd init. Then run this command again: it goes on where it stopped.",
        ) from None
    except Unanswered as unanswered:
        raise ApiError(
            ErrorKind.FAILED,
            f"etcd does not answer: {unanswered}.",
            meaning="It is not known whether all was done.",
            remedy="See that two of its members run (their logs say why one does not: journalctl -u etcd), with the "
            "files of this mirrorfarm etcd init; then run this command again.",
        ) from None


def _done(step: Step) -> str:
    match step:
        case AddRole(role):
            return f"role {role}: made"
        case Permit(role, permission):
            return f"role {role}: may {permission.words()}"
        case AddUser(user):
            return f"user {user}: made, without a password"
        case GiveRole(user, role):
            return f"user {user}: has role {role}"
        case TurnOn():
            return "authentication: on"


def _administrator(office: "Office") -> "tuple[str, EtcdClient]":
    """The cluster's name, and a client that is etcd's administrator."""
    from manager.etcd_setup.client import EtcdClient, Papers

    directory = office.layout.etcd / ETCD_ROOT
    papers = [str(directory / file) for file in (AUTHORITY_CERTIFICATE, ROOT_CERTIFICATE, ROOT_KEY)]
    try:
        cluster, endpoints = read_root_file((directory / ROOT_ENVIRONMENT).read_text())
        for path in papers:
            Path(path).read_bytes()
        return cluster, EtcdClient(endpoints, Papers(*papers))
    except (OSError, ValueError, ConfigError) as problem:
        raise ApiError(
            ErrorKind.REFUSED,
            f"{directory} does not hold the files of etcd's administrator: {problem}.",
            meaning="Nobody else may change who may do what in etcd.",
            remedy="Run this where mirrorfarm etcd init was run, as root, or bring that directory here.",
        ) from None


def _certified(named: Sequence[str], office: "Office") -> tuple[str, ...]:
    """The nodes with a good certificate, as far as this machine knows. Raises ApiError, OSError."""
    if ETCD_ROOT in named:
        raise ApiError(
            ErrorKind.REFUSED,
            f"A node cannot be called {ETCD_ROOT}: that is etcd's administrator.",
            remedy="Give it another name in its agent.toml, and a certificate of that name.",
        )
    found = office.names(Use.NODE) if office.layout.authority.is_dir() else ()
    if not found and not named:
        raise ApiError(
            ErrorKind.REFUSED,
            "It is not known which nodes there are.",
            meaning=f"No node has a good certificate of an authority in {office.layout.authority}. With nobody "
            "allowed, no agent could work.",
            remedy=f"mirrorfarm pki issue NODE for each, or name them: mirrorfarm etcd secure --node N. "
            f"A node's name is that of its {NODE_CERTIFICATE}.",
        )
    return found


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a whole number from 1 to 65535")
    return int(text)
