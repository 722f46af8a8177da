"""Another module of a module's name: this one was removed, and that one applied, before anybody here looked."""

from agent.core.view import ModuleView


def without_namesake(view: ModuleView, module_id: str) -> ModuleView:
    """``view``, as the module with this id sees it: of another one's keys none is said of it.

    What belongs to no module stays. Keys beside a configuration that is not understood may be of either, and stay, too.
    """
    if view.config is None or view.config.record.module_id == module_id:
        return view
    return ModuleView(view.revision, view.cluster_id, view.store_id, nodes=view.nodes, known=view.known)
