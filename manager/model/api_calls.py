"""The calls of the agent: what the CLI may ask on the local socket, and what it is answered.

Each call has one dataclass of arguments and one of results. How they travel is ``manager.model.api_lines``'s.
"""

from manager.model.api import NodeInfo, NodeInfoArguments, StateArguments, StateResult, WhyArguments, WhyResult
from manager.model.api_asides import (
    AsideClearArguments,
    AsideGiveUpArguments,
    AsideListArguments,
    AsideRestoreArguments,
    AsideShowArguments,
)
from manager.model.api_check import CheckFacts, CheckFactsArguments
from manager.model.api_farm import (
    FarmPlace,
    FarmReport,
    FarmShowArguments,
    FarmTrafficArguments,
    FarmTrafficResult,
    FarmWeightArguments,
    FarmWeightResult,
    FarmWhereArguments,
)
from manager.model.api_log_files import LogsArguments, LogsResult, LogText
from manager.model.api_log_levels import LogLevelArguments, LogLevels, LogLevelsArguments
from manager.model.api_modules import (
    ApplyArguments,
    ApplyResult,
    DesiredArguments,
    DesiredResult,
    ModuleFolder,
    RemoveArguments,
    RemoveResult,
    ShowArguments,
    SwitchArguments,
    SwitchResult,
)
from manager.model.api_requests import (
    HistoryArguments,
    HistoryResult,
    RequestArguments,
    RequestProgress,
    RequestResult,
    Stakes,
    StakesArguments,
)
from manager.model.api_snapshot import (
    ReplicatorArguments,
    ReplicatorReport,
    SnapshotArguments,
    SnapshotPiece,
    SnapshotResult,
)
from manager.model.api_verify import DiffArguments, VerifyArguments
from manager.model.asides import AsideReport
from manager.model.reports import DiffReport, Progress, VerifyReport

CALLS: dict[str, tuple[type, type]] = {
    "node.info": (NodeInfoArguments, NodeInfo),
    "state": (StateArguments, StateResult),
    "why": (WhyArguments, WhyResult),
    "module.apply": (ApplyArguments, ApplyResult),
    "module.show": (ShowArguments, ModuleFolder),
    "module.remove": (RemoveArguments, RemoveResult),
    "desired": (DesiredArguments, DesiredResult),
    "switch": (SwitchArguments, SwitchResult),
    "request": (RequestArguments, RequestResult),
    "history": (HistoryArguments, HistoryResult),
    "stakes": (StakesArguments, Stakes),
    "logs": (LogsArguments, LogsResult),
    "verify": (VerifyArguments, VerifyReport),
    "diff": (DiffArguments, DiffReport),
    "check.facts": (CheckFactsArguments, CheckFacts),
    "aside.list": (AsideListArguments, AsideReport),
    "aside.show": (AsideShowArguments, AsideReport),
    "aside.restore": (AsideRestoreArguments, AsideReport),
    "aside.clear": (AsideClearArguments, AsideReport),
    "aside.give_up": (AsideGiveUpArguments, AsideReport),
    "farm.show": (FarmShowArguments, FarmReport),
    "farm.where": (FarmWhereArguments, FarmPlace),
    "farm.weight": (FarmWeightArguments, FarmWeightResult),
    "farm.traffic": (FarmTrafficArguments, FarmTrafficResult),
    "snapshot": (SnapshotArguments, SnapshotResult),
    "log.levels": (LogLevelsArguments, LogLevels),
    "log.level": (LogLevelArguments, LogLevels),
    "replicator": (ReplicatorArguments, ReplicatorReport),
}
"""Name of each call to the types of its arguments and its result."""

PROGRESS: dict[str, type] = {
    "request": RequestProgress,
    "logs": LogText,
    "verify": Progress,
    "snapshot": SnapshotPiece,
}
"""Type of a call's progress, for the calls that report any."""

CALL_OF: dict[type, str] = {arguments: call for call, (arguments, _) in CALLS.items()}
"""Type of a call's arguments to its name."""
