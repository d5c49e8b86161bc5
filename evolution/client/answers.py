"""What the API answers, as objects."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

_FINAL = {"finished", "stopped", "failed", "published", "imported"}


class Answer:
    """A dataclass that is made of the members of an answer that it knows."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the object that a body describes; later versions may say more."""
        names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: value for name, value in body.items() if name in names})


@dataclass(frozen=True)
class Rule(Answer):
    """A rule as it is simulated; ``complexity`` counts operators and leaves."""

    id: int
    expressions: list[str]
    complexity: int

    def __str__(self) -> str:
        return " ; ".join(self.expressions)


@dataclass(frozen=True)
class Run(Answer):
    """A run; a fitness of None is minus infinity."""

    number: int
    seed: int
    state: str
    stop_reason: str
    generation: int
    champion_fitness: float | None
    champion: Rule | None
    improved_at_generation: int

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the run with its champion."""
        champion = body["champion"]
        return super().of({**body, "champion": Rule.of(champion) if champion else None})


@dataclass(frozen=True)
class Experiment(Answer):
    """An experiment; lists leave out the runs."""

    id: int
    name: str
    owner: str | None
    learning_task: str
    preset: str
    state: str
    seed: int
    n_runs: int
    n_generations: int
    progress: float
    best_fitness: float | None
    task_parameters: dict[str, Any] | None = None
    evolution_parameters: dict[str, Any] | None = None
    remaining_s: float | None = None
    actions: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    visibility: str = "laboratory"
    tags: tuple[str, ...] = ()
    notes: str = ""
    original: int | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the experiment with its runs."""
        runs = tuple(Run.of(run) for run in body.get("runs", ()))
        texts = {name: tuple(body.get(name, ())) for name in ("actions", "tags")}
        return super().of({**body, "runs": runs, **texts})

    @property
    def is_over(self) -> bool:
        """Whether nothing happens any more unless somebody asks for it."""
        return self.state in _FINAL


@dataclass(frozen=True)
class Simulation(Answer):
    """The behaviour of a rule in one trial.

    Attributes
    ----------
    value : float or None
        Of the trial.
    panels : list of dict
        Titles and summaries of its plots.
    """

    id: int
    rule: Rule
    learning_task: str
    preset: str
    state: str
    value: float | None
    panels: list[dict[str, str]]
    reason: str
    detail: str
    has_recording: bool = False

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the simulation with its rule."""
        return super().of({**body, "rule": Rule.of(body["rule"])})

    @property
    def is_over(self) -> bool:
        """Whether there is a result, or will be none."""
        return self.state in _FINAL


@dataclass(frozen=True)
class Validation(Answer):
    """Values of rules in trials that no experiment has.

    Attributes
    ----------
    kind : str
        validation or robustness.
    rule : Rule or None
        None where it is about several, as ``subject`` says.
    state : str
        open, finished, cancelled or failed.
    held_out : dict or None
        ``trials``, ``fitness`` (with ``value``, ``low`` and ``high``), ``gap`` to training, and
        ``baselines``: the rules of the literature in the same trials, with ``difference`` to the
        rule. None before the first trial.
    """

    id: int
    kind: str
    subject: str
    rule: Rule | None
    experiment: int | None
    learning_task: str
    n_trials: int
    state: str
    detail: str
    progress: float
    may_cancel: bool
    held_out: dict[str, Any] | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the validation with its rule."""
        rule = body["rule"]
        return super().of({**body, "rule": Rule.of(rule) if rule else None})

    @property
    def is_over(self) -> bool:
        """Whether no worker adds trials any more."""
        return self.state != "open"

    @property
    def fitness(self) -> float | None:
        """Fitness in held-out trials; None where the rule fails or nothing is known yet."""
        known = self.held_out and self.held_out["fitness"]
        return known["value"] if known else None


@dataclass(frozen=True)
class Figure(Answer):
    """A figure of the paper.

    Attributes
    ----------
    panels : list of dict
        ``key``, ``title``, ``summary`` and, where there are no data yet, why they are ``missing``.
    simulations : list of dict
        ``kind``, ``state`` and ``progress`` of those that were asked for.
    is_lacking : bool
        Whether simulations are missing that nobody has asked for.
    """

    name: str
    title: str
    learning_task: str
    experiment: int | None
    rule: list[str]
    panels: list[dict[str, str]]
    simulations: list[dict[str, Any]]
    is_open: bool
    is_lacking: bool

    @property
    def is_over(self) -> bool:
        """Whether no worker simulates anything for it."""
        return not self.is_open

    @property
    def progress(self) -> float:
        """Share of the trials that are done, from 0 to 1."""
        shares = [item["progress"] for item in self.simulations]
        return sum(shares) / len(shares) if shares else 1.0


@dataclass(frozen=True)
class Link(Answer):
    """A link with which anybody reads one experiment; its address is known when it is made."""

    id: int
    label: str
    is_valid: bool
    expires_at: str | None
    address: str = ""


@dataclass(frozen=True)
class Person(Answer):
    """Somebody with an account."""

    id: int
    name: str
    role: str
    is_active: bool


@dataclass(frozen=True)
class Token(Answer):
    """A personal token; its secret is known to its owner alone."""

    id: int
    name: str
    hint: str
    scopes: list[str]
    is_valid: bool
    expires_at: str | None


ExperimentLike: TypeAlias = Experiment | int
RuleLike: TypeAlias = Rule | int
ValidationLike: TypeAlias = Validation | int
SimulationLike: TypeAlias = Simulation | int


def number_of(what: Any) -> int:
    """Return the number of an object, or of what is one."""
    return what if isinstance(what, int) else what.id


def fitness_of(value: float | None) -> float:
    """Return a fitness, which is minus infinity where JSON has null."""
    return float("-inf") if value is None else value
