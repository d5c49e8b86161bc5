"""Figures of groups of runs beside each other."""

from evolution.comparison_plots.distributions import finals_figure, times_figure
from evolution.comparison_plots.fronts import fronts_figure
from evolution.comparison_plots.generations import bands_figure, curves_figure
from evolution.comparison_plots.parameters import parameters_figure

__all__ = [
    "bands_figure",
    "curves_figure",
    "finals_figure",
    "fronts_figure",
    "parameters_figure",
    "times_figure",
]
