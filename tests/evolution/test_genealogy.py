"""Lineages against a plain walk from offspring to parent over the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolution import genealogy
from evolution.enums import Outcome
from evolution.genealogy import Ancestor
from evolution.models import Individual, Run
from tests.evolution.conftest import launch, work_until_idle

if TYPE_CHECKING:
    from collections.abc import Callable

    from evolution.models import Experiment


@pytest.fixture
def runs(db: None, make_experiment: Callable[..., Experiment]) -> list[Run]:
    experiment = make_experiment(n_runs=2, n_generations=25)
    launch(experiment)
    work_until_idle()
    return list(Run.objects.all())


def walk(run: Run, index: int) -> list[Individual]:
    """Return an individual and its ancestors, the first first, one row after the other."""
    found = []
    while index is not None:
        individual = Individual.objects.get(run=run, index=index)
        found.append(individual)
        index = individual.parent_index
    return found[::-1]


def test_ancestors_are_those_that_a_walk_finds(runs, django_assert_num_queries):
    for run in runs:
        for index in (0, run.champion.index, run.individuals.count() - 1):
            expected = [
                (i.index, i.parent_index, i.birth_generation, i.origin, i.rule_id, i.fitness)
                for i in walk(run, index)
            ]
            with django_assert_num_queries(1):
                found = genealogy.ancestors(run, index)
            assert [
                (a.index, a.parent_index, a.birth_generation, a.origin, a.rule_id, a.fitness)
                for a in found
            ] == expected
    assert genealogy.ancestors(runs[0], 10**6) == []


def test_neutral_steps_are_those_that_the_history_calls_neutral(runs):
    for run in runs:
        individuals = walk(run, run.champion.index)
        lineage = genealogy.collapse(genealogy.ancestors(run, run.champion.index))
        changed = [i.index for i in individuals if not i.is_neutral]
        assert [change.after.index for change in lineage.changes] == changed
        n_neutral = sum(change.n_neutral for change in lineage.changes) + lineage.n_neutral_at_end
        assert n_neutral == sum(i.is_neutral for i in individuals)
        assert lineage.length == len(individuals)
        for individual in individuals:
            if individual.outcome == Outcome.INHERITED:
                assert individual.is_neutral
    assert any(individual.is_neutral for individual in individuals)


@given(st.lists(st.sampled_from([None, 1, 2, 3]), max_size=30))
def test_collapsing_keeps_every_change_and_counts_every_other_step(rule_ids):
    ancestors = [
        Ancestor(n, n - 1 if n else None, n, "mutation", rule_id, 0.0)
        for n, rule_id in enumerate(rule_ids)
    ]
    lineage = genealogy.collapse(ancestors)
    # Unfold it again.
    unfolded: list[int | None] = []
    for change in lineage.changes:
        unfolded += [unfolded[-1]] * change.n_neutral if change.n_neutral else []
        unfolded.append(change.after.rule_id)
        assert change.before == (ancestors[change.after.index - 1] if change.after.index else None)
    unfolded += [unfolded[-1]] * lineage.n_neutral_at_end if lineage.n_neutral_at_end else []
    assert unfolded == rule_ids
    for change in lineage.changes[1:]:
        assert change.after.rule_id is None or change.after.rule_id != change.before.rule_id


def test_offspring_and_population_are_complete(runs):
    for run in runs:
        everybody = list(run.individuals.order_by("index"))
        parent = max(everybody, key=lambda one: sum(i.parent_index == one.index for i in everybody))
        expected = [i.index for i in everybody if i.parent_index == parent.index]
        assert len(expected) > 3
        found, n_all = genealogy.offspring(run, parent, 3)
        assert ([i.index for i in found], n_all) == (expected[:3], len(expected))
        for generation in run.generations.filter(index__in=[0, 5, 20]):
            (parents,) = generation.parents
            people = [i.index for i in genealogy.population(run, generation.index, parents)]
            born = {i.index for i in everybody if i.birth_generation == generation.index}
            assert people[: len(parents)] == parents
            assert people[len(parents) :] == sorted(born - set(parents))
