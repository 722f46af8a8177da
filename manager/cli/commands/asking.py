"""Asks one node for something through its agent, and says what comes of it; shared by the commands that steer."""

import argparse
from collections.abc import Mapping

from manager.cli.advice import refusal
from manager.cli.commands.state import one_module
from manager.cli.render import node_line
from manager.cli.seat import Seat
from manager.model.api import ApiError, ErrorKind, NodeState
from manager.model.api_requests import Action, RequestArguments, RequestProgress


def ask(
    args: argparse.Namespace, seat: Seat, action: Action, node: str, arguments: Mapping[str, str] | None = None
) -> None:
    """Ask, and wait for the answer.

    Args:
        args: ``module``, ``no_wait`` and ``timeout`` of the line.
        seat: the operator's.
        action: what is asked for.
        node: of whom; empty: this one.
        arguments: of the request.

    Raises:
        ApiError: it was refused, has failed, or was not done in time; in sentences.
    """
    where = f" on {node}" if node else ""
    seat.tell(f"{args.module}: {action}{where} asked for")

    def on_progress(progress: RequestProgress) -> None:
        if progress.status not in ("pending", "refused"):  # A refusal is told by itself, with its reason.
            seat.tell(f"{args.module}: {action}{where} {progress.status}", about=f"{action}{where}")
        for state in progress.nodes:
            seat.tell(node_line(args.module, state), about=state.node)

    request = RequestArguments(
        args.module, action, node, dict(arguments or {}), wait=not args.no_wait, timeout_ms=args.timeout
    )
    try:
        seat.client.call(request, timeout_s=args.timeout / 1000 + 10, on_progress=on_progress)
    except ApiError as error:
        if not error.reason or error.kind is ErrorKind.TIMED_OUT:
            raise
        raise _explained(error, args.module, action, node, seat) from None


def _explained(error: ApiError, module: str, action: Action, node: str, seat: Seat) -> ApiError:
    """A refusal or failure whose reason is a word for programs, in sentences."""
    view, here = one_module(seat, module)
    asked = node or here
    says = refusal(error.reason, module, asked, next((n.node for n in view.nodes if _leads(n)), ""))
    verb = "refused" if error.kind is ErrorKind.REFUSED else "could not carry out"
    return ApiError(
        error.kind,
        f"{asked} {verb} {action}: {says.says}",
        meaning=error.meaning,
        remedy=says.remedy,
        reason=error.reason,
    )


def _leads(node: NodeState) -> bool:
    return node.state is not None and node.state.is_primary
