# make demo     builds a cluster on this machine, crashes it, and checks that nothing is lost
# make test     all that CI runs: lint, unit, simulation, integration, robustness (tox.ini has each alone)
# make soak     the same tests at full counts, with new random examples each time (200 schedules of real faults)
# make soak MINUTES=n   random schedules of real faults alone, for n minutes; SEED=s begins with that seed, MIX=1 has
#               them befall two farms and three mirrors on three nodes
# make bench    how fast a mirror is, beside a plain directory and the bare protocol
# make setup    what these need; done first by each, and quick when it was done before
#
# make install  Mirrorfarm on this machine, in /opt/mirrorfarm; DESTDIR=root: in place of /
# make uninstall   removes it, and says what it keeps; REMOVE="config logs state" removes that too, and
#                asks; REMOVE="--yes config ..." does not
# make bundle   a folder, build/bundle, whose "install" needs neither this checkout nor a network
#
# They are for Debian 12 or newer, as root. make install needs python3-venv, and of setup nothing.

PYTHON_BIN := .venv/bin
BUNDLE = build/bundle

.PHONY: demo test soak bench setup machine install uninstall bundle
.NOTPARALLEL:

demo: machine
	$(PYTHON_BIN)/mirrorfarm lab demo

test: machine
	$(PYTHON_BIN)/tox run

soak: machine
ifdef MINUTES
	$(PYTHON_BIN)/python -m tests.robustness.soak --wall-clock --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(MIX),--mix)
else
# Faults of schedules, jumps of the wall clock among them, befall one lab at a time; whatever fails before, they are run.
	MIRRORFARM_SOAK=1 $(PYTHON_BIN)/tox run -e unit,simulation,model,integration; ended=$$?; \
	MIRRORFARM_SOAK=1 $(PYTHON_BIN)/tox run -e robustness -- -n 0 && exit $$ended
endif

bench: setup
	$(PYTHON_BIN)/python -m bench.write

# What no package brings is said before anything begins: /dev/fuse, loop devices, cgroup2.
machine: setup
	@$(PYTHON_BIN)/mirrorfarm lab check

setup:
	@[ "$$(id -u)" = 0 ] || { echo "make: missing: root" >&2; exit 1; }
	@scripts/setup

bundle:
	scripts/bundle $(BUNDLE)

install: bundle
	$(BUNDLE)/install $(if $(DESTDIR),--root $(abspath $(DESTDIR)))

uninstall:
	scripts/uninstall $(if $(DESTDIR),--root $(abspath $(DESTDIR))) $(REMOVE)
