"""What etc/needrestart has needrestart(1) leave alone, as its own program reads such a file and asks by it."""

import subprocess
from pathlib import Path

from agent.adapters.services import DROP_IN, SYSTEMD_RUNS

_FILE = Path(__file__).parents[2] / "etc/needrestart"
_PROGRAM = r"""
use strict;
use warnings;
my %nrconf = (override_rc => { qr(^docker) => 0 });
eval do { local (@ARGV, $/) = shift @ARGV; <> };
die "Error parsing: $@" if ($@);
foreach my $rc (@ARGV) {
    my $restart = 1;
    foreach my $re (keys %{$nrconf{override_rc}}) {
        next unless ($rc =~ /$re/);
        $restart = $nrconf{override_rc}->{$re};
        last;
    }
    print "$rc\n" if $restart;
}
"""


def test_neither_the_agent_nor_what_is_an_application_is_restarted_by_itself(tmp_path: Path) -> None:
    for unit in ("postgresql@15-main.service", "redis.service"):
        (tmp_path / f"{unit}.d").mkdir()
        (tmp_path / f"{unit}.d" / DROP_IN).touch()
    (tmp_path / "nginx.service.d").mkdir()
    file = tmp_path / "mirrorfarm.conf"
    file.write_text(_FILE.read_text().replace(SYSTEMD_RUNS, str(tmp_path)))
    units = (
        "mirrorfarm-agent", "mirrorfarm-agent.service", "postgresql@15-main.service", "postgresql@16-main.service",
        "redis.service", "nginx.service", "docker.service",
    )  # fmt: skip
    done = subprocess.run(
        ["perl", "-e", _PROGRAM, file, *units], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stderr == ""
    assert done.stdout.split() == ["postgresql@16-main.service", "nginx.service"]
