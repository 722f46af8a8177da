# make demo     builds a cluster on this machine, crashes it, and checks that nothing is lost
# make test     all that CI runs: lint, unit, simulation, integration, robustness (tox.ini has each alone)
# make soak     the same tests at full counts, with new random examples each time (200 schedules of real faults)
# make soak MINUTES=n   random schedules of real faults alone, for n minutes; SEED=s begins with that seed
# make bench    how fast a mirror is, beside a plain directory and the bare protocol
# make setup    what they all need; done first by each, and quick when it was done before
#
# They are for Debian 12 or newer, as root.

PYTHON_BIN := .venv/bin

.PHONY: demo test soak bench setup machine
.NOTPARALLEL:

demo: machine
	$(PYTHON_BIN)/mirrorfarm lab demo

test: machine
	$(PYTHON_BIN)/tox run

soak: machine
ifdef MINUTES
	$(PYTHON_BIN)/python -m tests.robustness.soak --wall-clock --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))
else
	MIRRORFARM_SOAK=1 $(PYTHON_BIN)/tox run -e unit,simulation,model,integration,robustness
endif

bench: setup
	$(PYTHON_BIN)/python -m bench.write

# What no package brings is said before anything begins: /dev/fuse, loop devices, cgroup2.
machine: setup
	@$(PYTHON_BIN)/mirrorfarm lab check

setup:
	@[ "$$(id -u)" = 0 ] || { echo "make: missing: root" >&2; exit 1; }
	@scripts/setup
