"""The package's names, which are loaded when they are asked for."""

import subprocess
import sys
from types import ModuleType

import pytest

from manager.model import config


def test_each_name_is_what_its_module_has_and_no_module() -> None:
    # Also after every module was loaded by its own name, which the package then has as well.
    for place in config._PLACES:
        __import__(f"{config.__name__}.{place}")
    for name in config.__all__:
        assert not isinstance(getattr(config, name), ModuleType), name


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'AgentConfiguration'"):
        config.AgentConfiguration  # type: ignore[attr-defined]  # noqa: B018


def test_who_asks_for_a_configuration_alone_loads_no_parser() -> None:
    script = "import sys; from manager.model.config import PathsConfig; print('tomllib' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )
