"""Configurations of modules, for tests that know the kind."""

from collections.abc import Mapping

from manager.model.config import FarmConfig, ModuleConfig, parse_module


def mirror(text: str, scripts: Mapping[str, str] | None = None) -> ModuleConfig:
    """The mirror that ``text`` must be."""
    module = parse_module(text, scripts or {})
    assert isinstance(module, ModuleConfig)
    return module


def farm(text: str, scripts: Mapping[str, str] | None = None) -> FarmConfig:
    """The farm that ``text`` must be."""
    module = parse_module(text, scripts or {})
    assert isinstance(module, FarmConfig)
    return module
