"""S7, as the replicator's warden and the agent keep it: what ends, in which order, and what is left."""

from agent.adapters.addresses import lifetime
from agent.runtime.module_runtime import ModuleRuntime
from agent.runtime.replicator_hand import ReplicatorHand
from replicator import warden
from replicator.fsyncing import Fsyncing
from replicator.primary import Primary
from replicator.serving import Serving
from replicator.warden import Warden
from tests.unit.broken.variant import Cut, Variant

_WARDEN = "unit/replicator/test_warden.py"
_SERVING = "unit/replicator/test_serving.py"
_HAND = "unit/agent/runtime/test_replicator_hand.py"
_DEADLINE = f"{_WARDEN}::test_at_the_deadline_the_application_is_killed_before_the_mounts_are_aborted"
_PLAIN = f"{_WARDEN}::test_nothing_is_plain_before_the_killed_processes_are_gone"
_ADDRESSES = f"{_WARDEN}::test_the_addresses_are_gone_before_the_application_is_killed"
_ORDER = f"{_HAND}::test_the_application_ends_before_what_it_stands_on"
_KILLED_ALL = (
    "unit/agent/runtime/test_module_runtime.py::test_everything_is_said_to_be_killed_once_all_that_serves_is_gone"
)
_KILLED = "failures = self._kill() + _each(one.cut for one in mounted)"
_DETACHED = "failures += self._await_empty() + _each(one.abort for one in mounted)"

VARIANTS = (
    Variant(
        "s7-no-deadline",
        "The warden does not look at the deadline.",
        (Cut(Warden._due, "self._clock() >= self._deadline_ns", "False"),),
        _DEADLINE,
    ),
    Variant(
        "s7-flag-last",
        "The warden says that nothing may complete once all has ended, not before.",
        (
            Cut(Warden._watch, "self.fenced = True", "pass"),
            Cut(Warden._watch, "self._on_fenced(", "self.fenced = True; self._on_fenced("),
        ),
        _ADDRESSES,
    ),
    Variant(
        "s7-fenced-when-it-has-its-turn",
        "Who is told to fence sets the flag when the warden's thread has its turn.",
        (Cut(Warden.fence, "self.fenced = True", "pass"),),
        f"{_WARDEN}::test_a_fence_counts_before_the_thread_has_its_turn",
    ),
    Variant(
        "s7-addresses-last",
        "The warden removes the addresses when the application is dead.",
        (
            Cut(Warden._watch, "self._addresses.begin()", "pass"),
            Cut(Warden._watch, _DETACHED, f"{_DETACHED}; self._addresses.begin()"),
        ),
        _ADDRESSES,
    ),
    Variant(
        "s7-addresses-hold-it-up",
        "The warden waits with the kill for the addresses to be gone, however long the kernel takes.",
        (Cut(Warden._watch, "wait(ADDRESSES_FIRST_SECONDS)", "wait(ADDRESSES_WITHIN_SECONDS)"),),
        f"{_WARDEN}::test_a_kernel_that_does_not_answer_for_the_addresses_holds_nothing_up",
    ),
    Variant(
        "s7-unkilled",
        "The warden does not kill the application.",
        (Cut(Warden._watch, _KILLED, "failures = _each(one.cut for one in mounted)"),),
        _DEADLINE,
    ),
    Variant(
        "s7-mounts-first",
        "The warden aborts the mounts before it kills the application.",
        (Cut(Warden._watch, _KILLED, "failures = _each(one.cut for one in mounted) + self._kill()"),),
        _DEADLINE,
    ),
    Variant(
        "s7-held-writes-wait",
        "The warden waits for the end of whoever hangs in a held write before it aborts the mounts.",
        (
            Cut(Warden._watch, _KILLED, "failures = self._kill()"),
            Cut(
                Warden._watch,
                _DETACHED,
                "failures += self._await_empty()\n"
                "        failures += _each(one.cut for one in mounted) + _each(one.abort for one in mounted)",
            ),
        ),
        f"{_WARDEN}::test_who_hangs_in_a_held_write_is_freed_before_his_end_is_waited_for",
    ),
    Variant(
        "s7-plain-at-once",
        "The mounts go while the killed application may be in a call yet, which is then done in the plain directory.",
        (Cut(Warden._watch, _DETACHED, "failures += _each(one.abort for one in mounted) + self._await_empty()"),),
        _PLAIN,
    ),
    Variant(
        "s7-mounts-stay",
        "The warden leaves the dead mounts over the directories.",
        (Cut(Warden._watch, _DETACHED, "failures += self._await_empty()"),),
        _PLAIN,
    ),
    Variant(
        "s7-one-failure-is-the-end",
        "A mount that cannot be aborted keeps the warden from the others.",
        (Cut(warden._each, 'failures.append(f"abort: {error}")', 'return [f"abort: {error}"]'),),
        f"{_WARDEN}::test_what_fails_is_reported_and_the_rest_is_done",
    ),
    Variant(
        "s7-fenced-and-applied",
        "What is acknowledged when the module is fenced is applied and completed.",
        (
            Cut(Primary.drain, "or self._fence.is_due()", ""),
            Cut(Primary.drain, "if fence.fenced or self._failed:", "if self._failed:"),
            Cut(Primary.drain, "if fence.fenced:", "if False:"),
        ),
        "unit/replicator/test_primary.py::test_fenced_nothing_is_applied_though_it_is_acknowledged",
    ),
    Variant(
        "s7-fenced-and-synced",
        "An fsync that both disks have answered completes when the module is fenced.",
        (Cut(Fsyncing._finish, "if not self._primary.stopped:", "if True:"),),
        "unit/replicator/test_fsyncing.py::test_fenced_no_fsync_is_over",
    ),
    Variant(
        "s7-mounting-unguarded",
        "The warden is told of what is mounted once all is.",
        (
            Cut(Serving.begin, "self.warden.guard(deadline_ns, mounted)", "pass"),
            Cut(
                Serving.begin,
                "self._timer = self._loop",
                "self.warden.guard(deadline_ns, mounted)\n    self._timer = self._loop",
            ),
        ),
        f"{_SERVING}::test_what_is_mounted_is_guarded_while_the_next_one_is_being_mounted",
    ),
    Variant(
        "s7-unmounted-and-lived",
        "The application goes on where somebody has unmounted what it stands on.",
        (Cut(Serving._report, "self.warden.fence(str(error))", "pass"),),
        f"{_SERVING}::test_a_mount_that_is_gone_ends_the_application_without_an_agent",
    ),
    Variant(
        "s7-application-left",
        "An agent that ends a replicator which may serve leaves the application.",
        (Cut(ReplicatorHand._end_both, "await self._kill_application()", "pass"),),
        _ORDER,
    ),
    Variant(
        "s7-replicator-first",
        "An agent ends a replicator before the application that stands on it.",
        (
            Cut(ReplicatorHand._end_both, "await self._kill_application()", "pass"),
            Cut(
                ReplicatorHand._end,
                "if self._may_serve and self._spec.cgroup:",
                "await self._kill_application()\n            if self._may_serve and self._spec.cgroup:",
            ),
        ),
        _ORDER,
    ),
    Variant(
        "s7-unmounted-too-early",
        "An agent unmounts before the killed application is gone.",
        (
            Cut(
                ReplicatorHand._end,
                "if self._may_serve and self._spec.cgroup:",
                "await self._unmount()\n            if self._may_serve and self._spec.cgroup:",
            ),
        ),
        _ORDER,
    ),
    Variant(
        "s7-mounts-left-by-the-agent",
        "An agent leaves the mounts of a replicator that is gone.",
        (Cut(ReplicatorHand._end, "await self._unmount()", "pass"),),
        _ORDER,
    ),
    Variant(
        "s7-killed-in-advance",
        "An agent counts everything as dead when it has begun to kill it, and gives its place up.",
        (
            Cut(
                ModuleRuntime._kill_and_say,
                "await self._kill_all()\n    self.give(events.Killed())",
                "self.give(events.Killed())\n    await self._kill_all()",
            ),
        ),
        _KILLED_ALL,
    ),
    Variant(
        "s7-killed-but-the-application",
        "An agent counts everything as dead while the application lives.",
        (Cut(ModuleRuntime._kill_all, "hands.application.kill(), ", ""),),
        _KILLED_ALL,
    ),
    Variant(
        "s7-killed-but-the-addresses",
        "An agent counts everything as dead while the addresses are there.",
        (Cut(ModuleRuntime._kill_all, "hands.addresses.kill(), ", ""),),
        _KILLED_ALL,
    ),
    Variant(
        "s7-killed-but-the-replicator",
        "An agent counts everything as dead while the replicator lives.",
        (Cut(ModuleRuntime._kill_all, ", hands.replicator.kill()", ""),),
        _KILLED_ALL,
    ),
    Variant(
        "s7-address-outlives",
        "An address is given a life in the kernel that ends after the deadline.",
        (Cut(lifetime, "remaining_ns // SECOND_NS", "-(-remaining_ns // SECOND_NS)"),),
        "unit/agent/adapters/test_addresses.py::test_a_life_never_outlasts_the_deadline",
    ),
    Variant(
        "s7-warden-needs-its-agent",
        "At the deadline a replicator does what its agent says.",
        (),
        "integration/replicator/test_warden.py::test_without_an_agent_nothing_of_a_former_primary_is_left_that_serves",
    ),
    Variant(
        "s7-replicator-ends-with-its-agent",
        "A replicator ends with its agent, or is not adopted by the next one.",
        (),
        "integration/lab/test_agent_away.py::test_an_agent_that_is_exchanged_is_not_noticed",
    ),
    Variant(
        "s7-left-at-the-start",
        "An agent that begins leaves what a killed one and its replicator had mounted, started and added.",
        (),
        "integration/lab/test_agent_away.py::test_what_a_killed_agent_and_its_replicator_left_is_removed_at_once",
    ),
    Variant(
        "s7-hung-at-the-start",
        "An agent that begins, and hears no etcd, leaves an application whose replicator hangs.",
        (),
        "integration/lab/test_agent_away.py::test_what_a_replicator_holds_that_hangs_is_ended_by_the_next_agent_though_it_hears_no_etcd",
    ),
    Variant(
        "s7-addresses-for-ever",
        "Addresses have no end of life in the kernel.",
        (),
        "integration/agent/test_addresses.py::test_the_kernel_drops_them_by_itself_within_a_second_of_the_deadline",
    ),
    Variant(
        "s7-broken-invariant",
        "A replicator in which an invariant is broken ends, and leaves the application and the mounts.",
        (),
        "integration/replicator/test_roles.py::test_a_broken_command_ends_the_process_and_leaves_nothing_that_serves",
    ),
    Variant(
        "s7-told-by-a-signal",
        "A replicator that is told to end by a signal leaves the application on the plain directories.",
        (),
        "integration/agent/test_falling_through.py::test_a_replicator_that_is_told_to_end_by_a_signal_ends_the_application_without_an_agent",
    ),
    Variant(
        "s11-clock-that-stops",
        "A deadline does not count the time for which the machine is suspended.",
        (),
        "integration/agent/test_clock.py::test_what_a_suspension_adds_is_counted",
    ),
)
