"""The etcd keys of a cluster, built and taken apart in one place."""

from dataclasses import dataclass

ROOT = "/mirrorfarm"


@dataclass(frozen=True, slots=True)
class ModuleKeys:
    """The keys of one module."""

    prefix: str

    @property
    def config(self) -> str:
        """The module's whole configuration; kept."""
        return f"{self.prefix}config"

    @property
    def primary(self) -> str:
        """The one primary; dies with its agent's lease."""
        return f"{self.prefix}primary"

    @property
    def insync(self) -> str:
        """Which nodes hold every completed write; kept."""
        return f"{self.prefix}insync"

    @property
    def verify(self) -> str:
        """What is known of comparisons of the copies; kept."""
        return f"{self.prefix}verify"

    def desired(self, node: str) -> str:
        """What the operator wants of ``node``; kept."""
        return f"{self.prefix}desired/{node}"

    def member(self, node: str) -> str:
        """The node's own state; dies with its agent's lease."""
        return f"{self.prefix}members/{node}"

    def lacking(self, node: str) -> str:
        """What the primary knows to be missing in the copy of ``node``; kept until that is in sync."""
        return f"{self.prefix}lacking/{node}"

    def director(self, address: str) -> str:
        """Farm: who receives for ``address``; dies with its agent's lease."""
        return f"{self.prefix}director/{address}"

    def slots(self, address: str) -> str:
        """Farm: the slot table of ``address``; kept, so that the next director takes it over as it is."""
        return f"{self.prefix}slots/{address}"

    def request(self, request_id: str) -> str:
        """An operator's request and its answer; kept, trimmed."""
        return f"{self.prefix}requests/{request_id}"

    def history(self, epoch: int) -> str:
        """Who took over, when and why; kept, trimmed. Zero-padded, so that keys sort by epoch."""
        return f"{self.prefix}history/{epoch:010d}"


@dataclass(frozen=True, slots=True)
class ClusterKeys:
    """The keys of one cluster, by its name."""

    cluster: str

    @property
    def prefix(self) -> str:
        """What every key of the cluster begins with."""
        return f"{ROOT}/{self.cluster}/"

    @property
    def identity(self) -> str:
        """The cluster's identity, made once."""
        return f"{self.prefix}id"

    @property
    def nodes_prefix(self) -> str:
        """Prefix of the registrations of all agents."""
        return f"{self.prefix}nodes/"

    @property
    def known_prefix(self) -> str:
        """Prefix of what is remembered of all nodes."""
        return f"{self.prefix}known/"

    @property
    def modules_prefix(self) -> str:
        """Prefix of all modules."""
        return f"{self.prefix}modules/"

    def node(self, node: str) -> str:
        """The registration of one agent; dies with its lease."""
        return f"{self.nodes_prefix}{node}"

    def known(self, node: str) -> str:
        """Where a node was to be found when its agent ran last; kept."""
        return f"{self.known_prefix}{node}"

    def module(self, module: str) -> ModuleKeys:
        """The keys of one module."""
        return ModuleKeys(f"{self.modules_prefix}{module}/")

    def split_module(self, key: str) -> tuple[str, str] | None:
        """``(module, rest)`` for a key under ``modules/``, else ``None``."""
        if not key.startswith(self.modules_prefix):
            return None
        module, slash, rest = key.removeprefix(self.modules_prefix).partition("/")
        return (module, rest) if slash and rest else None
