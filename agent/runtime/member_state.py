"""A module's state on this node, as it is told of: where etcd has no record of it, and when it becomes another one."""

import structlog

from agent.api_view import why_stopped
from agent.runtime.cluster_view import ClusterView
from manager.model.reasons import Reason
from manager.model.records import MemberRecord
from manager.model.states import ModuleState, Readiness, Run


def stopped_member(view: ClusterView, module: str, node: str, boot_id: str) -> MemberRecord:
    """What stands for a module that is stopped here, of which etcd has no record."""
    desired = view.keys.desired(module, node)
    if desired is None and view.cluster.module(module).desired(node) in view.kvs:
        readiness, reason = Readiness.BLOCKED, str(Reason.RECORD_UNREADABLE)
    elif desired is not None and desired.run is Run.STARTED:
        readiness, reason = Readiness.TRANSIENT, ""
    else:
        readiness, reason = Readiness.READY, str(why_stopped(desired))
    return MemberRecord(
        node=node,
        state=ModuleState.STOP,
        readiness=readiness,
        reason=reason,
        boot_id=boot_id,
        instance="",
        endpoint=None,
        disk=None,
    )


def stopping_member(node: str, boot_id: str) -> MemberRecord:
    """What stands for a module while what a former agent left of it is being stopped here."""
    return MemberRecord(
        node, ModuleState.WAIT, Readiness.TRANSIENT, str(Reason.STOPPING_APPLICATION), boot_id, "", None, None
    )


def tell_change(log: structlog.stdlib.BoundLogger, former: MemberRecord | None, now: MemberRecord | None) -> bool:
    """Log that the state has become another one; whether it has, and the module is not stopped by it."""
    was = (former.state, former.readiness, former.reason) if former is not None else None
    if now is not None and (now.state, now.readiness, now.reason) != was:
        log.info("state.changed", state=now.state, readiness=now.readiness, reason=now.reason)
        return True
    if now is None and was is not None:
        log.info("state.changed", state=ModuleState.STOP, readiness=Readiness.READY)
    return False
