"""Of pyroute2 only what is needed is loaded, and whoever wants more of it gets it. Each in a process of its own."""

import subprocess
import sys

_LOADED = "len([name for name in sys.modules if name.startswith('pyroute2.')])"


def said_by(program: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.split()


def test_it_is_the_librarys_own_and_not_all_of_it_is_loaded() -> None:
    ours, everything, same = said_by(
        f"from agent.adapters.route_library import IPRoute, NetlinkError; print({_LOADED})\n"
        f"import pyroute2; wanted = pyroute2.NDB; print({_LOADED})\n"
        "print((pyroute2.IPRoute, pyroute2.NetlinkError) == (IPRoute, NetlinkError))"
    )
    assert int(ours) < 0.75 * int(everything) and same == "True"


def test_who_wants_more_gets_it_and_what_is_not_there_is_missing_as_ever() -> None:
    assert said_by(
        "import agent.adapters.route_library\n"
        "from pyroute2 import IPSet, netns\n"
        "print(IPSet.__name__, netns.__name__)\n"
        "try:\n    from pyroute2 import of_no_such_name\n"
        "except ImportError as error:\n    print(error.name)"
    ) == ["IPSet", "pyroute2.netns", "pyroute2"]


def test_what_somebody_has_loaded_stays() -> None:
    assert said_by(
        "import pyroute2\nfrom agent.adapters.route_library import IPRoute\n"
        "print(pyroute2.IPRoute is IPRoute and pyroute2 is sys.modules['pyroute2'])"
    ) == ["True"]
