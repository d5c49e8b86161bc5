"""The paper's figures 3, 4 and 5: their simulations and the data of their panels.

References
----------
Jordan, Schmidt, Senn & Petrovici (2021), eLife 10:e66273.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulations.figures.base import PaperFigure

# Name -> "module:class", as learning tasks are registered.
_REGISTRY: dict[str, str] = {
    "fig3": "simulations.figures.reward_driven:RewardDrivenFigure",
    "fig4": "simulations.figures.error_driven:ErrorDrivenFigure",
    "fig5": "simulations.figures.correlation_driven:CorrelationDrivenFigure",
}
FIGURE_NAMES = tuple(_REGISTRY)


class UnknownFigure(LookupError):
    """There is no figure of that name; the message lists those that exist."""


@cache
def get_figure(name: str) -> PaperFigure:
    """Return the figure called ``name``, such as ``fig3``.

    Raises
    ------
    UnknownFigure
        If there is none of that name.
    """
    if name not in _REGISTRY:
        raise UnknownFigure(
            f"There is no figure {name!r}. Choose one of: {', '.join(FIGURE_NAMES)}."
        )
    module_name, class_name = _REGISTRY[name].split(":")
    return getattr(importlib.import_module(module_name), class_name)()
