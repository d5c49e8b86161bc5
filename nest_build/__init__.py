"""NEST extension modules: built here, loaded into NEST by ``nest.Install(module_path(name))``."""

from nest_build.attach import module_path
from nest_build.builder import MODULES, BuildError, ModulesNotBuilt, build, is_built
from nest_build.nest_config import write_nest_config

__all__ = [
    "MODULES",
    "BuildError",
    "ModulesNotBuilt",
    "build",
    "is_built",
    "module_path",
    "write_nest_config",
]
