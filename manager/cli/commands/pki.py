"""``pki``: the cluster's own authority, and the nodes' certificates. It needs no agent."""

import argparse
import dataclasses
import ipaddress
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from manager.cli.accepting import why_not_named
from manager.cli.commands.arguments import add_json, name, name_or_none
from manager.cli.exit_codes import ExitCode
from manager.cli.papers import add_days, add_directory, open_office, own_config, say, unwritten
from manager.cli.seat import Seat
from manager.etcd_setup.settings import ON_MEMBER, scp_target
from manager.model.api import ApiError, ErrorKind
from manager.model.node_identity import ETCD_REVOKED, NODE_CERTIFICATE, NODE_FILES, REVOKED

if TYPE_CHECKING:
    from manager.pki.authority import Certified

_WORDS: Final = """\
The nodes of a cluster show each other certificates of the cluster's own authority. It is made once, on one machine;
its key never leaves that machine, and a node's key is for that node alone. See docs/SECURITY.md."""


def add(commands: Any) -> None:
    """Declare the command."""
    pki = commands.add_parser(
        "pki",
        help="the certificates by which the nodes know each other: init, issue, renew, revoke, show",
        description=_WORDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words = pki.add_subparsers(metavar="WORD", required=True)
    init = words.add_parser("init", help="make the cluster's authority, on this machine")
    init.add_argument("--cluster", metavar="NAME", type=name_or_none, default="", help="default: as agent.toml says")
    add_directory(init)
    init.set_defaults(run=run_init)
    for word, help_text, run in (
        ("issue", "make a node's certificate and key", run_issue),
        ("renew", "make another one for the same machine; the former one stays good for as long as it is", run_renew),
    ):
        parser = words.add_parser(word, help=help_text)
        parser.add_argument("node", metavar="NODE", type=name, help="the node's name, as its agent.toml says")
        parser.add_argument(
            "--address", metavar="IP", type=_address, action="append", default=None,
            help="one that the node is reached at; may be repeated",
        )  # fmt: skip
        add_days(parser)
        add_directory(parser)
        parser.set_defaults(run=run)
    revoke = words.add_parser("revoke", help="take back what a node was issued, such as one whose machine was lost")
    revoke.add_argument("node", metavar="NODE", type=name, help="the node's name")
    revoke.add_argument("--serial", metavar="S", default="", help="only this one of its certificates")
    revoke.add_argument("--yes", metavar="NODE", type=name_or_none, default="", help="do not ask: the node's name")
    add_directory(revoke)
    revoke.set_defaults(run=run_revoke)
    show = words.add_parser("show", help="what was issued and revoked, and what this node has")
    add_json(show)
    add_directory(show)
    show.set_defaults(run=run_show)


def run_init(args: argparse.Namespace, seat: Seat) -> int:
    """Make the authority."""
    config = own_config(seat)
    cluster = args.cluster or (config.cluster if config is not None else "")
    if not cluster:
        raise ApiError(
            ErrorKind.REFUSED,
            "The cluster's name is not known.",
            meaning=f"{seat.config_file} cannot be read, or is wrong.",
            remedy="mirrorfarm pki init --cluster NAME.",
        )
    office = open_office(args, config)
    try:
        authority = office.init(cluster)
    except OSError as error:
        raise unwritten(error) from None
    until = authority.certificate.not_valid_after_utc.strftime("%Y-%m-%d")
    say(seat, f"The authority of cluster {cluster}, identity {authority.cluster_id}, good until {until}.")
    say(seat, f"  Its key is {office.layout.authority_key}. Whoever has it can be any node of the cluster.")
    say(seat, f"  Keep a copy of {office.layout.authority} where only you can read it.")
    say(seat, "  Next, for each node: mirrorfarm pki issue NODE --address IP.")
    return ExitCode.OK


def run_issue(args: argparse.Namespace, seat: Seat) -> int:
    """Make a node's first certificate."""
    config = own_config(seat)
    addresses = args.address
    if addresses is None:
        addresses = config.network.addresses if config is not None and config.node == args.node else ()
    try:
        certified = open_office(args, config).issue(args.node, addresses, args.days)
    except OSError as error:
        raise unwritten(error) from None
    _tell(certified, seat)
    return ExitCode.OK


def run_renew(args: argparse.Namespace, seat: Seat) -> int:
    """Make another one."""
    try:
        certified = open_office(args, own_config(seat)).renew(args.node, args.address, args.days)
    except OSError as error:
        raise unwritten(error) from None
    _tell(certified, seat)
    for former in certified.former:
        say(
            seat,
            f"  Serial {former.serial} stays good until {former.not_after}. Once the node has its new files: "
            f"mirrorfarm pki revoke {former.node} --serial {former.serial}, if you want it to end before.",
        )
    return ExitCode.OK


def _tell(certified: "Certified", seat: Seat) -> None:
    issued, directory = certified.issued, certified.directory
    known = ", ".join(issued.addresses) or "no addresses"
    say(
        seat,
        f"A certificate of node {issued.node} of cluster {certified.cluster}, {known}; "
        f"serial {issued.serial}, good until {issued.not_after}.",
    )
    if certified.is_here:
        say(seat, f"  It is in {directory}: new connections of this node show it.")
        return
    target = f"root@{issued.node}"
    named = f"{directory}/{{{','.join(NODE_FILES)}}}"
    say(seat, f"  Its files are in {directory}, the node's private key among them. Carry them to the node:")
    say(seat, f"    ssh {target} install -d -m 700 {directory.parent.parent}")
    say(seat, f"    scp -p {named} {target}:{directory.parent.parent}/")
    say(seat, f"  and then remove them here: rm -r {directory}. New connections of that node show it.")


def run_revoke(args: argparse.Namespace, seat: Seat) -> int:
    """Take it back, once it is confirmed."""
    office = open_office(args, own_config(seat))
    which = f"the certificate {args.serial}" if args.serial else "every certificate"
    seat.err.print(
        f"{args.node}: {which} of this node will be refused by each node that has the new list, and by etcd.",
        soft_wrap=True,
    )
    why_not = why_not_named(seat, "node whose certificates are revoked", args.node, args.yes)
    if why_not:
        seat.err.print(f"mirrorfarm: nothing was changed: {why_not} (--yes {args.node} does not ask).", soft_wrap=True)
        return ExitCode.FAILED
    try:
        withdrawn = office.revoke(args.node, args.serial)
    except OSError as error:
        raise unwritten(error) from None
    for one in withdrawn.revoked:
        say(seat, f"Revoked: serial {one.serial} of node {one.node}.")
    if withdrawn.other_nodes:
        say(seat, "  A node refuses it once it has the new list. Carry that to the others:")
        for node in withdrawn.other_nodes:
            say(seat, f"    scp -p {withdrawn.list_file} root@{node}:{office.layout.root}/{REVOKED}")
    if withdrawn.etcd_members:
        say(seat, "  A member of etcd refuses it once it has the same list in etcd's own form:")
        source = withdrawn.list_file.with_name(ETCD_REVOKED)
        for member in withdrawn.etcd_members:
            say(seat, f"    scp -p {source} {scp_target(member.addresses[0])}:{ON_MEMBER}/{ETCD_REVOKED}")
    say(seat, "  A connection that stands with it goes on: stop the module on that node to end it.")
    return ExitCode.OK


def run_show(args: argparse.Namespace, seat: Seat) -> int:
    """List what there is."""
    from manager.pki import certificates, files  # brings cryptography with it, which no other command needs

    office = open_office(args, own_config(seat))
    register = office.register() if office.layout.authority.is_dir() else None
    own = None
    try:
        own = certificates.read_node(files.read(office.layout.root / NODE_CERTIFICATE))
    except FileNotFoundError:
        pass  # which is said
    except (OSError, certificates.NotOurs) as error:
        seat.err.print(f"{office.layout.root / NODE_CERTIFICATE}: {error}", soft_wrap=True)
    if args.json:
        shown = None
        if own is not None:
            shown = {**dataclasses.asdict(own.identity), "serial": own.serial, "not_after": own.not_after.isoformat()}
        seat.print_json({"own": shown, "register": register})
        return ExitCode.OK
    if own is None:
        say(seat, f"This node has no certificate in {office.layout.root}.")
    else:
        say(
            seat,
            f"This node shows: {own.identity.node} of cluster {own.identity.cluster}, identity "
            f"{own.identity.cluster_id}, serial {own.serial}, good until {own.not_after:%Y-%m-%d}.",
        )
    if register is None:
        say(seat, "The authority is not on this machine.")
        return ExitCode.OK
    table = Table("name", "for", "serial", "good until", "addresses", "revoked", box=None, pad_edge=False)
    for one in register.issued:
        table.add_row(one.node, one.use, one.serial, one.not_after, ", ".join(one.addresses), one.revoked_at)
    say(seat, f"The authority of cluster {register.cluster}, identity {register.cluster_id}, has issued:")
    seat.out.print(table)
    return ExitCode.OK


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address") from None
