"""What the figures of the paper have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from nest_build.rules import PlasticityRule
from simulations.learning_tasks import get_learning_task

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from simulations.figures.panel import Panel
    from simulations.learning_tasks import LearningTask, Preset
    from simulations.parameters import TaskParameters


@dataclass(frozen=True)
class PaperRule:
    """A rule that the paper shows.

    Attributes
    ----------
    run_index : int or None
        The authors' number, from 0, of the run whose champion it is and for which they published
        values of held-out trials.
    """

    name: str
    expressions: tuple[str, ...]
    run_index: int | None = None


class PaperFigure(ABC):
    """A figure: which simulations it needs, and the panels that their traces make.

    One instance per figure, registered in :mod:`simulations.figures`.
    """

    name: ClassVar[str]
    number: ClassVar[int]
    title: ClassVar[str]
    summary: ClassVar[str]
    learning_task_name: ClassVar[str]
    #: Rules that are validated; ``shown_rule`` is the one that panels of a simulation show.
    rules: ClassVar[tuple[PaperRule, ...]]
    shown_rule: ClassVar[PaperRule]
    #: Keys of the panels, row by row.
    layout: ClassVar[tuple[tuple[str, ...], ...]]
    #: Titles of the panels of a simulation.
    simulated: ClassVar[Mapping[str, str]]
    #: Letter of the panel with all runs, and of that with one run, if there is one.
    runs_key: ClassVar[str]
    path_key: ClassVar[str | None] = None
    #: Number, from 0, of the published run along which the paper looks.
    path_run_index: ClassVar[int | None] = None
    #: Rule of the paper whose mean in the held-out trials the panel with all runs shows as a line.
    baseline: ClassVar[str | None] = None
    n_held_out: ClassVar[int]
    n_held_out_quick: ClassVar[int] = 2
    #: Parameters that differ from the preset "paper" in the simulation, and in a quick one.
    changes: ClassVar[Mapping[str, Any]] = {}
    quick_changes: ClassVar[Mapping[str, Any]]
    quick_held_out_changes: ClassVar[Mapping[str, Any]]

    @property
    def learning_task(self) -> LearningTask:
        """The learning task that the figure is about."""
        return get_learning_task(self.learning_task_name)

    @property
    def preset(self) -> Preset:
        """The authors' parameters."""
        return self.learning_task.presets["paper"]

    @property
    def validation_key(self) -> str:
        """Key of the panel with values of held-out trials."""
        return f"{self.runs_key}-validation"

    def rule(self, expressions: tuple[str, ...]) -> PlasticityRule:
        """Return a rule in the form that is simulated.

        Raises
        ------
        nest_build.rules.RuleSyntaxError
            If it is none of the learning task.
        """
        return PlasticityRule.parse(self.learning_task.signature, expressions).canonical()

    def parameters(self, *, is_quick: bool = False) -> TaskParameters:
        """Return the parameters of the simulation whose traces the panels show."""
        changes = {**self.changes, **(self.quick_changes if is_quick else {})}
        return self.preset.task_parameters.with_changes(changes)

    def held_out_parameters(self, *, is_quick: bool = False) -> TaskParameters:
        """Return the parameters of the held-out trials, the paper's own seeds."""
        changes = {**self.preset.validation_changes, "n_trials": self.n_held_out}
        if is_quick:
            changes |= {**self.quick_held_out_changes, "n_trials": self.n_held_out_quick}
        return self.preset.task_parameters.with_changes(changes)

    def quick_words(self) -> str:
        """Return what is smaller in a quick figure."""
        simulated = _differences(self.parameters(), self.parameters(is_quick=True))
        held_out = _differences(self.held_out_parameters(), self.held_out_parameters(is_quick=True))
        return (
            f"Quick settings: in the simulation {', '.join(simulated)}; "
            f"in held-out trials {', '.join(held_out)}."
        )

    def simulate(self, rule: PlasticityRule, *, is_quick: bool = False) -> list[Panel]:
        """Simulate the first trial with a rule and return the panels of its traces.

        Raises
        ------
        ValueError
            If the rule gives nothing to show.
        """
        parameters = self.parameters(is_quick=is_quick)
        (shown,) = self.learning_task.simulate_trial(
            [rule], parameters, seed=self.preset.seed, record_traces=True
        )
        if shown.traces is None:
            raise ValueError(shown.detail or "The simulation has recorded nothing.")
        return self.panels(shown.traces.arrays, parameters, " ; ".join(rule.texts))

    @abstractmethod
    def panels(
        self, arrays: Mapping[str, np.ndarray], parameters: TaskParameters, rule_text: str
    ) -> list[Panel]:
        """Return the panels that traces of the learning task make, in the order of ``simulated``.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            What the learning task records of a trial.
        parameters : TaskParameters
            Those of the simulation.
        rule_text : str
        """

    def panels_of_rule(self, rule: PlasticityRule | None) -> list[Panel]:
        """Return the panels that need no simulation.

        Parameters
        ----------
        rule : PlasticityRule or None
            The rule that was chosen in place of the paper's.
        """
        return []


def _differences(usual: TaskParameters, quick: TaskParameters) -> list[str]:
    descriptions = type(usual).descriptions()
    words = []
    for name, value in quick.to_mapping().items():
        before = usual.to_mapping()[name]
        if value != before:
            label = descriptions[name].label.removeprefix("n ")
            words.append(
                f"{label} {value:g} instead of {before:g} {descriptions[name].unit}".strip()
            )
    return words
