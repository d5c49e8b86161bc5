"""The engine against hal-cgp's own loop, driven in memory with the same objective."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from evolution.cgp.encoding import EncodingError
from evolution.cgp.engine import Engine, Question
from evolution.cgp.hal import cgp
from evolution.cgp.parameters import EvolutionParameters
from evolution.cgp.phenotype import expression_text
from evolution.cgp.population import prototype
from evolution.cgp.primitives import CONSTANTS, OPERATORS
from nest_build.rules import parse
from tests.evolution.cgp.objectives import (
    NAMES,
    answer,
    engine_history,
    hal_cgp_history,
    run,
    start,
)

N_GENERATIONS = 60

CASES = {
    "one genome": ({}, 1),
    "two genomes": ({"n_columns": 5, "primitives": (*OPERATORS, *CONSTANTS)}, 2),
    "tournament and rows": (
        {"n_parents": 5, "n_offspring": 7, "tournament_size": 3, "n_rows": 2, "levels_back": 4},
        1,
    ),
    "strong mutation": ({"mutation_rate": 0.4, "n_parents": 2, "n_offspring": 6}, 1),
    "own constants": ({"constants": (-0.5, 3.0), "mutation_rate": 0.1}, 1),
    "parameters": (
        {"primitives": ("Add", "Mul", "Parameter"), "parameter_initial_value": -0.3},
        1,
    ),
    "reordered": ({"reorder_genome": True}, 1),
    "reordered, everything, two genomes": (
        {
            "reorder_genome": True,
            "levels_back": 8,
            "n_columns": 8,
            "primitives": ("Add", "Sub", "Mul", "One", "Parameter"),
            "constants": (0.25,),
            "mutation_rate": 0.1,
        },
        2,
    ),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", [1, 2, 2**32 - 1])
@pytest.mark.parametrize("case", CASES)
def test_history_is_that_of_hal_cgp_also_when_saved_at_every_step(case: str, seed: int) -> None:
    changes, n_branches = CASES[case]
    parameters = EvolutionParameters.from_mapping(changes)
    reference = hal_cgp_history(parameters, N_GENERATIONS, n_branches=n_branches, seed=seed)
    for save in (False, True):
        history = engine_history(
            parameters, N_GENERATIONS, n_branches=n_branches, seed=seed, save=save
        )
        assert history == reference


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rules_that_fail_occur_in_these_histories() -> None:
    history = hal_cgp_history(EvolutionParameters(), N_GENERATIONS, seed=2)
    assert any(fitness == -math.inf for _, _, parents in history for _, _, fitness, _ in parents)


def test_individuals_are_born_once_and_described_as_they_are() -> None:
    parameters = EvolutionParameters.from_mapping({"mutation_rate": 0.1})
    born = {}
    for _, requests, selection in run(start(parameters, n_branches=2), 30):
        (request,) = requests
        assert selection.fitness.keys() == {candidate.index for candidate in request.born}
        asked = {question.index: question for question in request.questions}
        for candidate in request.born:
            assert candidate.index not in born
            born[candidate.index] = candidate
            assert candidate.texts == tuple(
                expression_text(alleles, parameters, NAMES) for alleles in candidate.genomes
            )
            assert candidate.parameters == ({}, {})
            if candidate.parent_index is None:
                assert candidate.origin == "random"
                assert candidate.mutated_genes == ((), ())
            else:
                assert candidate.origin == "mutation"
                parent = born[candidate.parent_index]
                for before, now, mutated in zip(
                    parent.genomes, candidate.genomes, candidate.mutated_genes, strict=True
                ):
                    assert mutated == tuple(i for i in range(len(now)) if before[i] != now[i])
            if candidate.fitness is None:
                assert asked[candidate.index].texts == candidate.texts
            else:
                assert candidate.index not in asked
    assert sorted(born) == list(range(4 + 30 * 4))


def test_offspring_with_only_inactive_mutations_keep_the_fitness_of_their_parent() -> None:
    engine = start(EvolutionParameters.from_mapping({"mutation_rate": 0.02}))
    fitness = {question.key: float(question.index) for question in engine.ask().questions}
    engine.tell(fitness)
    inherited = [c for c in engine.ask().born if c.fitness is not None]
    assert inherited
    for candidate in inherited:
        assert candidate.fitness == float(candidate.parent_index)


def test_fixed_mutations_change_each_gene_as_often_as_those_of_the_paper() -> None:
    """Expected is what the version of hal-cgp of 2020 gives for one mutation, in closed form.

    A gene is drawn from those that are in use; a function comes with new inputs, and every value
    is drawn from all that are possible.
    """
    parameters = EvolutionParameters.from_mapping({"n_columns": 3, "mutation_count": "fixed"})
    add, one = (parameters.primitives.index(name) for name in ("Add", "One"))
    genes = [
        *(-1, -3, -3, -1, -3, -3),  # x_0 and x_1
        *(add, 0, 1),
        *(one, 2, 2),  # the inputs of a constant are not in use
        *(add, 3, 0),  # so the first sum is not in use by the rule
        *(-2, 4, -3),
    ]
    n_functions, n_in_use = len(parameters.primitives), 3 + 1 + 3 + 1
    binary = (n_functions - 1) / n_functions
    expected = {6: binary / n_in_use, 9: binary / n_in_use, 12: binary / n_in_use}
    for node, n_inputs in ((6, 2), (9, 3), (12, 4)):
        is_in_use = node != 9
        for gene in (node + 1, node + 2):
            expected[gene] = (is_in_use + binary) / n_in_use * (n_inputs - 1) / n_inputs
    expected[16] = 1 / n_in_use * 4 / 5

    rng = np.random.RandomState(3)
    n_all = 20_000
    counts: Counter[int] = Counter()
    n_silent = 0
    for _ in range(n_all):
        genome = prototype(parameters, 2).clone()
        genome._dna = list(genes)
        is_silent = genome.mutate(parameters.mutation_rate, rng)
        changed = [gene for gene, value in enumerate(genome.alleles) if value != genes[gene]]
        counts.update(changed)
        assert len({gene // 3 for gene in changed}) <= 1
        n_silent += is_silent
        assert not changed or is_silent == (changed[0] // 3 == 2)
    assert counts.keys() == expected.keys()
    for gene, probability in expected.items():
        assert binomtest(counts[gene], n_all, probability).pvalue > 1e-4, gene
    assert binomtest(n_silent, n_all, 3 / n_in_use).pvalue > 1e-4


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_columns": 1, "n_rows": 1},
        {"n_columns": 4, "n_rows": 3, "levels_back": 2},
        {"primitives": ["Add", "Mul", "Parameter", "One"]},
    ],
    ids=["usual", "one node", "rows", "parameters"],
)
@pytest.mark.parametrize("mutation_rate", [0.05, 0.5, 1.0])
def test_mutations_are_those_of_hal_cgp(changes: dict, mutation_rate: float) -> None:
    parameters = EvolutionParameters.from_mapping({**changes, "mutation_count": "binomial"})
    own, other = (np.random.RandomState(5) for _ in range(2))
    genome = prototype(parameters, 3).clone()
    genome.randomize(np.random.RandomState(4))
    n_silent = 0
    for _ in range(200):
        reference = genome.clone()
        is_silent = cgp.Genome.mutate(reference, mutation_rate, other)
        assert genome.mutate(mutation_rate, own) is bool(is_silent)
        assert genome.alleles == reference.alleles
        assert genome.parameter_values == reference.parameter_values
        n_silent += is_silent
    assert own.get_state()[2] == other.get_state()[2]
    assert n_silent or mutation_rate == 1.0


@pytest.mark.parametrize(
    ("changes", "n_genes", "n_mutations"),
    [
        # Two inputs, the nodes and the output have three genes each.
        ({"n_columns": 12, "mutation_rate": 0.045}, 45, 2),
        ({"n_columns": 5, "mutation_rate": 0.045}, 24, 1),
        ({"n_columns": 5, "mutation_rate": 0.001}, 24, 1),
    ],
    ids=["two", "one", "at least one"],
)
def test_the_number_of_fixed_mutations(changes: dict, n_genes: int, n_mutations: int) -> None:
    parameters = EvolutionParameters.from_mapping({**changes, "mutation_count": "fixed"})
    counts: Counter[int] = Counter()
    for _, (request,), _ in run(start(parameters, n_branches=2), 300):
        for candidate in request.born:
            for genes, mutated in zip(candidate.genomes, candidate.mutated_genes, strict=True):
                assert len(genes) == n_genes
                if candidate.parent_index is not None:
                    counts[len({gene // 3 for gene in mutated})] += 1
    # In so many nodes at most, and mostly.
    assert max(counts) == n_mutations
    assert counts[n_mutations] > counts.total() / 2


def test_as_many_fixed_mutations_as_genes_reach_all_that_can_mutate() -> None:
    parameters = EvolutionParameters.from_mapping(
        {"n_columns": 5, "mutation_rate": 1.0, "mutation_count": "fixed"}
    )
    mutated: Counter[int] = Counter()
    for _, (request,), _ in run(start(parameters), 200):
        for candidate in request.born:
            mutated.update(candidate.mutated_genes[0])
    # Behind two inputs function and two inputs of each of five nodes, and the output.
    assert sorted(mutated) == [*range(6, 21), 22]


def test_asking_twice_breeds_once() -> None:
    engine = start(EvolutionParameters())
    engine.tell({question.key: 0.0 for question in engine.ask().questions})
    assert engine.ask() == engine.ask()
    assert [candidate.index for candidate in engine.ask().born] == [4, 5, 6, 7]


def test_a_generation_of_known_fitness_is_told_nothing() -> None:
    engine = start(EvolutionParameters.from_mapping({"mutation_rate": 1e-9}))
    engine.tell({question.key: 1.0 for question in engine.ask().questions})
    request = engine.ask()
    assert len(request.born) == 4
    assert request.questions == ()
    selection = engine.tell({})
    # Equal offspring replace their parents.
    assert selection.parent_indices == (4, 5, 6, 7)
    assert selection.fitness == dict.fromkeys((4, 5, 6, 7), 1.0)


def test_a_rule_beyond_the_limits_of_the_language_fails_without_a_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evolution.cgp.phenotype.MAX_LENGTH", 12)
    engine = start(EvolutionParameters())
    request = engine.ask()
    lost = [candidate.index for candidate in request.born if candidate.texts is None]
    assert lost
    assert {q.index for q in request.questions} == {c.index for c in request.born} - set(lost)
    selection = engine.tell({question.key: 0.0 for question in request.questions})
    assert all(selection.fitness[index] == -math.inf for index in lost)


def test_the_bound_is_the_least_fit_parent() -> None:
    has_bound = False
    parents: tuple[int, ...] = ()
    known: dict[int, float] = {}
    for _, (request,), selection in run(start(EvolutionParameters()), 20):
        lowest = min((known[index] for index in parents), default=-math.inf)
        expected = None if lowest == -math.inf else lowest
        has_bound |= expected is not None
        assert {question.bound for question in request.questions} <= {expected}
        known |= selection.fitness
        parents = selection.parent_indices
    assert has_bound


def test_answers_must_be_numbers_to_the_questions_that_were_asked() -> None:
    engine = start(EvolutionParameters())
    questions = engine.ask().questions
    with pytest.raises(ValueError, match="not a number"):
        engine.tell({question.key: math.nan for question in questions})
    with pytest.raises(ValueError, match="are not those"):
        engine.tell({})
    # Nothing has happened yet.
    assert engine.ask().questions == questions
    assert engine.tell({question.key: answer(question) for question in questions}) is not None
    with pytest.raises(ValueError, match="No generation is pending"):
        engine.tell({})


def test_a_state_of_another_version_is_refused() -> None:
    state = start(EvolutionParameters()).to_state() | {"version": 99}
    with pytest.raises(ValueError, match="version 99"):
        Engine.from_state(EvolutionParameters(), state)


OPTIONS = {
    "constants": {"constants": [0.5, -2.0]},
    "reordering": {"reorder_genome": True},
    "hurdle": {"hurdle_trials": 5, "hurdle_percentile": 0.5},
    "local search": {
        "primitives": ["Add", "Sub", "Mul", "Parameter"],
        "local_search_steps": 2,
        "n_local_search": 2,
    },
    "wide local search": {
        "primitives": ["Add", "Sub", "Mul", "Parameter"],
        "local_search_steps": 2,
        "n_local_search": 7,
    },
    "given rules": {"seed_rules": ["x*y", "x - y"]},
    "everything": {
        "primitives": ["Add", "Sub", "Mul", "Parameter"],
        "constants": [0.5],
        "reorder_genome": True,
        "hurdle_trials": 5,
        "hurdle_percentile": 0.5,
        "local_search_steps": 2,
        "n_local_search": 2,
        "seed_rules": ["x*y", "0.3*x"],
    },
}


def option(name: str, n_branches: int) -> EvolutionParameters:
    changes = dict(OPTIONS[name])
    if "seed_rules" in changes:
        changes["seed_rules"] = [" ; ".join([r] * n_branches) for r in changes["seed_rules"]]
    return EvolutionParameters.from_mapping({"mutation_rate": 0.1, **changes})


@pytest.mark.parametrize("n_branches", [1, 2])
@pytest.mark.parametrize("name", OPTIONS)
def test_saving_between_any_two_calls_changes_nothing(name: str, n_branches: int) -> None:
    parameters = option(name, n_branches)
    plain = [
        (requests, selection)
        for _, requests, selection in run(start(parameters, n_branches=n_branches), 25)
    ]
    with_saves = run(start(parameters, n_branches=n_branches), 25, save=True)
    assert [(requests, selection) for _, requests, selection in with_saves] == plain


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(OPTIONS)),
    n_branches=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_answers_that_are_pruned_below_the_bound_give_the_same_survivors(
    name: str, n_branches: int, seed: int
) -> None:
    n_pruned = 0

    def pruned(question: Question) -> float:
        nonlocal n_pruned
        value = answer(question)
        if question.bound is not None and value < question.bound:
            n_pruned += 1
            return -math.inf
        return value

    parameters = option(name, n_branches)
    full = engine_history(parameters, 15, n_branches=n_branches, seed=seed)
    shortened = engine_history(parameters, 15, n_branches=n_branches, seed=seed, answer=pruned)
    assert shortened == full
    event(f"pruned: {n_pruned > 0}")


@pytest.mark.parametrize("n_branches", [1, 2])
def test_the_first_population_begins_with_the_given_rules(n_branches: int) -> None:
    parameters = option("everything", n_branches)
    request = start(parameters, n_branches=n_branches).ask()
    assert [c.origin for c in request.born] == ["given", "given", "random", "random"]
    for candidate, text in zip(request.born, ["x*y", "0.3*x"], strict=False):
        assert candidate.texts is not None
        assert candidate.parent_index is None
        assert candidate.mutated_genes == ((),) * n_branches
        for own in candidate.texts:
            assert parse(own, NAMES).fingerprint() == parse(text, NAMES).fingerprint()
    assert 0.3 in request.born[1].parameters[0].values()
    # The others are those of a population without given rules.
    random = start(parameters.with_changes({"seed_rules": []}), n_branches=n_branches).ask()
    assert [c.genomes for c in request.born[2:]] == [c.genomes for c in random.born[2:]]
    # So are the genes that the given rules do not need.
    for candidate, other in zip(request.born, random.born, strict=True):
        same = [
            a == b
            for own, theirs in zip(candidate.genomes, other.genomes, strict=True)
            for a, b in zip(own, theirs, strict=True)
        ]
        assert sum(same) > len(same) / 2


def test_a_given_rule_that_does_not_fit_is_refused() -> None:
    with pytest.raises(EncodingError, match=r"The rule 'x\*\*0\.5' needs the primitive Pow"):
        start(EvolutionParameters(seed_rules=("x**0.5",)))
