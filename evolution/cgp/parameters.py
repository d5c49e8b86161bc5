"""Parameters of the evolution: Cartesian genetic programming with a (mu + lambda) strategy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Self

from pydantic import field_validator, model_validator

from evolution.cgp.primitives import CONSTANTS, OPERATORS, PARAMETER
from simulations.parameters import ParameterError, Parameters, quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nest_build.rules import RuleSignature

#: Primitives that a genome may be built from: function nodes, constants and tuned constants.
PrimitiveName = Literal["Add", "Sub", "Mul", "Div", "Pow", "One", "Tenth", "Ten", "Parameter"]
#: The most constants of one's own.
MAX_CONSTANTS = 16


class EvolutionParameters(Parameters):
    """What hal-cgp needs to know, and when a run ends.

    References
    ----------
    Miller, J. F. (2011). Cartesian Genetic Programming. Springer.
    """

    n_generations: int = quantity(
        1000, "Generations after which a run ends.", ge=1, le=1_000_000, group="Length of a run"
    )
    max_evaluations: int | None = quantity(
        None,
        "Rules whose fitness had to be known after which a run ends; empty for any number.",
        ge=1,
        le=1_000_000_000,
        group="Length of a run",
        advanced=True,
    )
    max_wall_time_s: float | None = quantity(
        None,
        "Time after which a run ends; empty for any time.",
        unit="s",
        gt=0.0,
        le=1e9,
        group="Length of a run",
        advanced=True,
    )
    stagnation_generations: int | None = quantity(
        None,
        "Generations without a fitter champion after which a run ends; empty for any number.",
        ge=1,
        le=1_000_000,
        group="Length of a run",
        advanced=True,
    )
    target_fitness: float | None = quantity(
        None,
        "Fitness at which a run ends early; empty for none.",
        group="Length of a run",
    )
    stop_at_baseline: bool = quantity(
        False,
        "End a run as soon as its champion is at least as fit as the best rule of the literature "
        "in the same trials.",
        group="Length of a run",
    )
    n_parents: int = quantity(
        4, "Parents that survive a generation (mu).", ge=1, le=1000, group="Selection"
    )
    n_offspring: int = quantity(
        4, "Offspring that a generation breeds (lambda).", ge=1, le=1000, group="Selection"
    )
    tournament_size: int = quantity(
        1,
        "Parents drawn at random of which the best has an offspring.",
        ge=1,
        le=1000,
        group="Selection",
        advanced=True,
    )
    mutation_rate: float = quantity(
        0.045, "Share of the genes that mutate.", gt=0.0, le=1.0, group="Selection"
    )
    mutation_count: Literal["binomial", "fixed"] = quantity(
        "binomial",
        "How many genes mutate: binomial, each gene by itself with the mutation rate as its "
        "probability; or fixed, the mutation rate times the number of all genes, rounded down, and "
        "at least one, of those that are in use by their node. If fixed, a node that draws a new "
        "function draws its inputs anew too, and what is drawn may be what was there.",
        group="Selection",
        advanced=True,
    )
    n_columns: int = quantity(
        12, "Columns of the grid of nodes in a genome.", ge=1, le=200, group="Genome"
    )
    n_rows: int = quantity(
        1, "Rows of the grid of nodes.", ge=1, le=20, group="Genome", advanced=True
    )
    levels_back: int | None = quantity(
        None,
        "Columns to the left that a node may take its inputs from; empty for all.",
        ge=1,
        le=200,
        group="Genome",
        advanced=True,
    )
    primitives: tuple[PrimitiveName, ...] = quantity(
        ("Add", "Sub", "Mul", "Div", "One"),
        "Functions and constants that rules are built from.",
        group="Genome",
    )

    constants: tuple[float, ...] = quantity(
        (),
        "Constants of your own that rules are built from besides the primitives.",
        group="Genome",
        advanced=True,
    )
    parameter_initial_value: float = quantity(
        1.0,
        "Value of a Parameter node when a mutation makes it; local search tunes it.",
        group="Genome",
        advanced=True,
    )
    reorder_genome: bool = quantity(
        False,
        "Shuffle the nodes of the parents' genomes before breeding, which leaves their rules as "
        "they are; needs one row and no limit of levels back.",
        group="Genome",
        advanced=True,
    )
    hurdle_trials: int | None = quantity(
        None,
        "First trials by which offspring are judged before the others are made; empty for no "
        "hurdle.",
        ge=1,
        le=1000,
        group="Hurdle",
        advanced=True,
    )
    hurdle_percentile: float = quantity(
        0.0,
        "Percentile, from 0 to 1, of the distinct fitness values of parents and offspring in these "
        "trials below which offspring get no further ones and cannot survive.",
        ge=0.0,
        le=1.0,
        group="Hurdle",
        advanced=True,
    )
    local_search_steps: int = quantity(
        0,
        "Steps in which the values of Parameter nodes are tuned in each generation; 0 for no local "
        "search.",
        ge=0,
        le=1000,
        group="Local search",
        advanced=True,
    )
    n_local_search: int = quantity(
        1,
        "Fittest of parents and offspring whose Parameter nodes are tuned.",
        ge=1,
        le=2000,
        group="Local search",
        advanced=True,
    )
    local_search_population_size: int | None = quantity(
        None,
        "Samples that a step tries; empty for 4 + 3 log(number of tuned values).",
        ge=2,
        le=1000,
        group="Local search",
        advanced=True,
    )
    local_search_mirrored: bool = quantity(
        True,
        "Try the mirror image of each sample as well, which doubles their number.",
        group="Local search",
        advanced=True,
    )
    local_search_learning_rate_mu: float = quantity(
        1.0,
        "Learning rate of the values.",
        gt=0.0,
        le=100.0,
        group="Local search",
        advanced=True,
    )
    local_search_learning_rate_sigma: float | None = quantity(
        None,
        "Learning rate of the step sizes; empty for (3 + log n)/(5 sqrt n) with n tuned values.",
        gt=0.0,
        le=100.0,
        group="Local search",
        advanced=True,
    )
    local_search_min_sigma: float = quantity(
        1e-9,
        "Smallest step size.",
        gt=0.0,
        group="Local search",
        advanced=True,
    )
    seed_rules: tuple[str, ...] = quantity(
        (),
        "Rules that the first population begins with, such as (v - u)*s; the branches of a rule "
        "are separated by a semicolon. The rest of the population is random.",
        group="First population",
        advanced=True,
    )

    @field_validator("target_fitness")
    @classmethod
    def _target_is_finite(cls, value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise ValueError("Must be a finite number, or empty.")
        return value

    @field_validator("primitives")
    @classmethod
    def _primitives_are_a_set(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("Choose at least one primitive.")
        if len(set(value)) != len(value):
            raise ValueError("A primitive is named twice.")
        if not OPERATORS.keys() & set(value):
            raise ValueError("Choose at least one primitive that takes inputs, such as Add.")
        return value

    @field_validator("constants")
    @classmethod
    def _constants_are_a_set(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(map(math.isfinite, value)):
            raise ValueError("Constants must be finite numbers.")
        if len(set(value)) != len(value):
            raise ValueError("A constant is named twice.")
        if len(value) > MAX_CONSTANTS:
            raise ValueError(f"There may be at most {MAX_CONSTANTS} constants.")
        return value

    @field_validator("seed_rules")
    @classmethod
    def _seed_rules_are_stripped(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        rules = tuple(rule.strip() for rule in value)
        if "" in rules:
            raise ValueError("A rule is empty.")
        return rules

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        problems = [*self._problems()]
        if problems:
            raise ValueError(" ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        if self.tournament_size > self.n_parents:
            yield (
                f"The tournament size ({self.tournament_size}) is larger than the number of "
                f"parents ({self.n_parents})."
            )
        if self.levels_back is not None and self.levels_back > self.n_columns:
            yield (
                f"Levels back ({self.levels_back}) is larger than the number of columns "
                f"({self.n_columns})."
            )
        if self.reorder_genome and not (
            self.n_rows == 1 and self.levels_back in (None, self.n_columns)
        ):
            yield (
                "Genomes can be reordered only with one row and with levels back empty or equal to "
                "the number of columns."
            )
        for name, value in CONSTANTS.items():
            if name in self.primitives and value in self.constants:
                yield f"The constant {value:g} is chosen already: it is the primitive {name}."
        if self.hurdle_percentile and self.hurdle_trials is None:
            yield "A hurdle percentile needs a number of hurdle trials."
        if self.local_search_steps and PARAMETER not in self.primitives:
            yield "Local search needs the primitive Parameter, whose values it tunes."
        n_individuals = self.n_parents + self.n_offspring
        if self.local_search_steps and self.n_local_search > n_individuals:
            yield (
                f"Local search is asked for {self.n_local_search} individuals, and there are "
                f"{n_individuals} parents and offspring."
            )
        if len(self.seed_rules) > self.n_parents:
            yield (
                f"There are more given rules ({len(self.seed_rules)}) than parents "
                f"({self.n_parents})."
            )

    def check_against(self, signature: RuleSignature, n_trials: int) -> None:
        """Check what depends on the learning task.

        Parameters
        ----------
        signature : RuleSignature
            Inputs and branches of the learning task's rules.
        n_trials : int
            Number of trials that a fitness value is made of.

        Raises
        ------
        ParameterError
            With messages by the name of the parameter.
        """
        messages: dict[str, list[str]] = {}
        if self.hurdle_trials is not None and self.hurdle_trials >= n_trials:
            messages["hurdle_trials"] = [
                f"A hurdle of {self.hurdle_trials} trials saves nothing where there are "
                f"{n_trials} in all."
            ]
        if self.seed_rules:
            from evolution.cgp.encoding import EncodingError, encode_rule

            for rule in self.seed_rules:
                try:
                    encode_rule(rule, self, signature.input_names, len(signature.branches))
                except EncodingError as error:
                    messages.setdefault("seed_rules", []).append(str(error))
        if messages:
            raise ParameterError(messages)
