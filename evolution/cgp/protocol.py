"""What the engine and those who know the fitness say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Origin = Literal["random", "given", "mutation", "local search"]


@dataclass(frozen=True)
class Candidate:
    """An individual that was born. What is said here of it never changes.

    Attributes
    ----------
    index : int
        Number within the run.
    parent_index : int or None
        Number of its parent, or of the individual that a local search refined; None in the initial
        population.
    genomes : tuple of tuple of int
        Alleles of each genome; one genome per branch of the rule.
    parameters : tuple of dict of str to float
        Values of the parameter nodes of each genome by hal-cgp's name, such as ``<p7>``.
    fitness : float or None
        Fitness if it is known: only inactive genes differ from the parent's, or a local search
        has found the individual. Else None.
    mutated_genes : tuple of tuple of int
        Positions at which each genome differs from its parent's as it was when the individual was
        born, that is after reordering.
    origin : str
        ``"random"``, ``"given"``, ``"mutation"`` or ``"local search"``.
    texts : tuple of str or None
        Expression of each branch in the rule language; None if one exceeds the limits of the
        language.
    """

    index: int
    parent_index: int | None
    genomes: tuple[tuple[int, ...], ...]
    parameters: tuple[dict[str, float], ...]
    fitness: float | None
    mutated_genes: tuple[tuple[int, ...], ...]
    origin: Origin
    texts: tuple[str, ...] | None


@dataclass(frozen=True)
class Question:
    """A fitness that the engine needs to know.

    Attributes
    ----------
    key : int
        Number within the request.
    index : int or None
        The individual it is about; None for a rule that a local search tries.
    texts : tuple of str
        Expression of each branch in the rule language.
    n_trials : int or None
        Number of first trials to judge by (a hurdle); None for all trials.
    bound : float or None
        A fitness which is certainly below this one may be answered by minus infinity: the history
        is the same. None where every fitness matters.
    """

    key: int
    index: int | None
    texts: tuple[str, ...]
    n_trials: int | None
    bound: float | None


@dataclass(frozen=True)
class Request:
    """What the engine asks for before it goes on.

    Attributes
    ----------
    generation : int
        Number of the pending generation; 0 is the initial population.
    born : tuple of Candidate
        Individuals that appear with this request; each does so once in the history of a run.
    questions : tuple of Question
        What is to be told; may be empty.
    """

    generation: int
    born: tuple[Candidate, ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Selection:
    """What became of a generation.

    Attributes
    ----------
    generation : int
    champion_index : int
        The fittest survivor.
    champion_fitness : float
    parent_indices : tuple of int
        The survivors in the order in which hal-cgp keeps them, fittest first (as they were born in
        the initial population).
    fitness : mapping of int to float
        Fitness of every individual born in this generation; minus infinity for one whose rule
        failed, was certainly below the bound, or stayed below the hurdle.
    below_hurdle : tuple of int
        Individuals that stayed below the hurdle.
    """

    generation: int
    champion_index: int
    champion_fitness: float
    parent_indices: tuple[int, ...]
    fitness: Mapping[int, float]
    below_hurdle: tuple[int, ...]
