"""``pki``: the cluster's own authority, and the certificates of nodes and operators. It needs no agent."""

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from manager.cli.accepting import why_not_named
from manager.cli.commands.arguments import add_json, address, name_or_none
from manager.cli.exit_codes import ExitCode
from manager.cli.operator_places import HOME, LONGEST, SHORTEST
from manager.cli.papers import add_days, add_directory, open_office, own_config, say, unwritten
from manager.cli.seat import Seat
from manager.etcd_setup.settings import ON_MEMBER, scp_target
from manager.model.api import ApiError, ErrorKind
from manager.model.node_identity import ETCD_REVOKED, NODE_CERTIFICATE, NODE_FILES, REVOKED
from manager.pki.register import NODE_DAYS, OF_NODES, OPERATOR_DAYS, Use

if TYPE_CHECKING:
    from manager.pki.authority import Certified

_WORDS: Final = """\
The nodes of a cluster show each other certificates of the cluster's own authority. It is made once, on one machine;
its key never leaves that machine, and a node's key is for that node alone. With a certificate of his own (--operator
NAME in the place of NODE) an operator may do on another node what one node may not ask of another. See
docs/SECURITY.md."""
_FROM_ANYWHERE: Final = """\
an operator's in the place of a node's: with it he may do on any node, from any other, what is else done on that node"""
_PASSPHRASE: Final = "with --operator: keep the key with a passphrase, which is asked for now and at each use"


def add(commands: Any) -> None:
    """Declare the command."""
    pki = commands.add_parser(
        "pki",
        help="the certificates by which nodes know each other, and operators: init, issue, renew, revoke, show",
        description=_WORDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    words = pki.add_subparsers(metavar="WORD", required=True)
    init = words.add_parser("init", help="make the cluster's authority, on this machine")
    init.add_argument("--cluster", metavar="NAME", type=name_or_none, default="", help="default: as agent.toml says")
    add_directory(init)
    init.set_defaults(run=run_init)
    for word, help_text, run in (
        ("issue", "make a node's, or an operator's, certificate and key", run_issue),
        ("renew", "make another one for the same; the former one stays good for as long as it is", run_renew),
    ):
        parser = words.add_parser(word, help=help_text)
        _add_holder(parser, "the node's name, as its agent.toml says")
        parser.add_argument(
            "--address", metavar="IP", type=address, action="append", default=None,
            help="one that the node is reached at; may be repeated",
        )  # fmt: skip
        parser.add_argument("--passphrase", action="store_true", help=_PASSPHRASE)
        add_days(parser, None, f"{NODE_DAYS}, of an operator {OPERATOR_DAYS}")
        add_directory(parser)
        parser.set_defaults(run=run)
    revoke = words.add_parser("revoke", help="take back what a node was issued, such as one whose machine was lost")
    _add_holder(revoke, "the node's name")
    revoke.add_argument("--serial", metavar="S", default="", help="only this one of its certificates")
    revoke.add_argument("--yes", metavar="NODE", type=name_or_none, default="", help="do not ask: the name")
    add_directory(revoke)
    revoke.set_defaults(run=run_revoke)
    show = words.add_parser("show", help="what was issued and revoked, and what this node has")
    add_json(show)
    add_directory(show)
    show.set_defaults(run=run_show)


def _add_holder(parser: argparse.ArgumentParser, help_text: str) -> None:
    """``NODE`` or ``--operator NAME``."""
    parser.add_argument("node", metavar="NODE", type=name_or_none, nargs="?", default="", help=help_text)
    parser.add_argument("--operator", metavar="NAME", type=name_or_none, default="", dest="holder", help=_FROM_ANYWHERE)


def _refuse_holder(args: argparse.Namespace) -> None:
    """Where it is not said whose certificate is meant.

    Raises:
        ApiError: one of a node and an operator has to be named, and a passphrase or addresses go with one of them.
    """
    passphrase, address = getattr(args, "passphrase", False), getattr(args, "address", None)
    wrong = ""
    if bool(args.node) is bool(args.holder):
        wrong = "One of NODE and --operator NAME has to be named: whose certificate it is."
    elif passphrase and args.node:
        wrong = f"A node's key has no passphrase: {args.node} has to start with nobody there."
    elif address is not None and args.holder:
        wrong = f"An operator has no address: {args.holder} may be anywhere."
    if wrong:
        raise ApiError(
            ErrorKind.BAD_REQUEST, wrong, meaning="Nothing was made or changed.", remedy="mirrorfarm pki --help"
        )


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
    """Make a node's, or an operator's, first certificate."""
    _refuse_holder(args)
    if args.holder:
        return _run_operator(args, seat, first=True)
    config = own_config(seat)
    addresses = args.address
    if addresses is None:
        addresses = config.network.addresses if config is not None and config.node == args.node else ()
    try:
        certified = open_office(args, config).issue(args.node, addresses, args.days or NODE_DAYS)
    except OSError as error:
        raise unwritten(error) from None
    _tell(certified, seat)
    return ExitCode.OK


def run_renew(args: argparse.Namespace, seat: Seat) -> int:
    """Make another one."""
    _refuse_holder(args)
    if args.holder:
        return _run_operator(args, seat, first=False)
    try:
        certified = open_office(args, own_config(seat)).renew(args.node, args.address, args.days or NODE_DAYS)
    except OSError as error:
        raise unwritten(error) from None
    _tell(certified, seat)
    _tell_former(certified, f"Once the node has its new files: mirrorfarm pki revoke {args.node}", seat)
    return ExitCode.OK


def _tell_former(certified: "Certified", then: str, seat: Seat) -> None:
    for former in certified.former:
        say(
            seat,
            f"  Serial {former.serial} stays good until {former.not_after}. {then} --serial {former.serial}, if you "
            "want it to end before.",
        )


def _run_operator(args: argparse.Namespace, seat: Seat, *, first: bool) -> int:
    """Make a certificate for somebody who steers from any node."""
    office = open_office(args, own_config(seat))
    passphrase = _passphrase(seat) if args.passphrase else b""
    make = office.issue_operator if first else office.renew_operator
    try:
        certified = make(args.holder, args.days or OPERATOR_DAYS, passphrase)
    except OSError as error:
        raise unwritten(error) from None
    issued, directory = certified.issued, certified.directory
    say(
        seat,
        f"A certificate of operator {args.holder} of cluster {certified.cluster}; serial {issued.serial}, good until "
        f"{issued.not_after}.",
    )
    kept = "" if passphrase else ", without a passphrase"
    say(seat, f"  Its files are in {directory}, the private key among them{kept}. Whoever has it can do what root can,")
    say(seat, "  on every node. It is used from there; or carry the folder to where the operator works, as")
    say(seat, f"  ~/{HOME}/{args.holder} of his own user, and remove it here: rm -r {directory}. Then:")
    say(seat, f"    mirrorfarm --node NODE --operator {args.holder} state")
    _tell_former(certified, f"Once he uses the new files: mirrorfarm pki revoke --operator {args.holder}", seat)
    return ExitCode.OK


def _passphrase(seat: Seat) -> bytes:
    """A new one, typed twice.

    Raises:
        ApiError: it was not.
    """
    typed = seat.secret("Passphrase of the new key: ")
    wrong = ""
    if len(typed) < SHORTEST:
        wrong = f"A passphrase has {SHORTEST} characters at the least."
    elif len(typed.encode()) > LONGEST:
        wrong = f"A passphrase has {LONGEST:,} bytes at the most; this one has {len(typed.encode()):,}."
    elif seat.secret("The same once more: ") != typed:
        wrong = "The two are not the same."
    if wrong:
        raise ApiError(
            ErrorKind.REFUSED,
            wrong,
            meaning="No certificate was made.",
            remedy="Run the command again, on a terminal; or leave out --passphrase.",
        )
    return typed.encode()


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
    _refuse_holder(args)
    office = open_office(args, own_config(seat))
    which = f"the certificate {args.serial}" if args.serial else "every certificate"
    kind, whom = ("operator", args.holder) if args.holder else ("node", args.node)
    etcd = "" if args.holder else ", and by etcd"
    seat.err.print(
        f"{whom}: {which} of this {kind} will be refused by each node that has the new list{etcd}.", soft_wrap=True
    )
    why_not = why_not_named(seat, f"{kind} whose certificates are revoked", whom, args.yes)
    if why_not:
        seat.err.print(f"mirrorfarm: nothing was changed: {why_not} (--yes {whom} does not ask).", soft_wrap=True)
        return ExitCode.FAILED
    try:
        withdrawn = office.revoke(whom, args.serial, (Use.OPERATOR,) if args.holder else OF_NODES)
    except OSError as error:
        raise unwritten(error) from None
    for one in withdrawn.revoked:
        say(seat, f"Revoked: serial {one.serial} of {kind} {one.node}.")
    if withdrawn.other_nodes:
        say(seat, "  A node refuses it once it has the new list. Carry that to the others:")
        for node in withdrawn.other_nodes:
            say(seat, f"    scp -p {withdrawn.list_file} root@{node}:{office.layout.root}/{REVOKED}")
    if withdrawn.etcd_members:
        say(seat, "  A member of etcd refuses it once it has the same list in etcd's own form:")
        source = withdrawn.list_file.with_name(ETCD_REVOKED)
        for member in withdrawn.etcd_members:
            say(seat, f"    scp -p {source} {scp_target(member.addresses[0])}:{ON_MEMBER}/{ETCD_REVOKED}")
    if args.holder:
        say(seat, "  What he has under way on a node ends there within some seconds of the new list.")
    else:
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
