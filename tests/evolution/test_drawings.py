"""Drawings of genomes: what they show, where it lies and what is said of a mutation."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolution.cgp.genome_graph import GenomeGraph, genome_graph, node_of_gene
from evolution.cgp.hal import cgp
from evolution.cgp.parameters import EvolutionParameters
from evolution.drawings import Drawing, changes_in_words, draw, mutated_addresses, strips
from tests.evolution.cgp.objectives import genome_params

NAMES = ("v", "u", "s")
GRIDS = ({}, {"n_rows": 3, "levels_back": 2, "n_columns": 6}, {"n_columns": 24})


def random_genomes(changes: dict, seed: int) -> tuple[EvolutionParameters, list[int], list[int]]:
    """Return alleles of a random genome and of a mutant of it."""
    parameters = EvolutionParameters.from_mapping(changes)
    genome = cgp.Genome(**genome_params(parameters, len(NAMES)))
    rng = np.random.RandomState(seed)
    genome.randomize(rng)
    before = list(genome.dna)
    genome.mutate(0.2, rng)
    return parameters, before, list(genome.dna)


genomes = st.builds(random_genomes, st.sampled_from(GRIDS), st.integers(0, 2**32 - 1))


def ends(path: str) -> tuple[tuple[float, float], tuple[float, float]]:
    numbers = [float(number) for number in re.findall(r"-?\d+\.\d", path)]
    return (numbers[0], numbers[1]), (numbers[-2], numbers[-1])


def read_by(graph: GenomeGraph) -> set[tuple[int, int]]:
    """Return (read, reader) among the nodes that the output depends on; -1 is the output."""
    found, open_nodes = {(graph.output, -1)}, [graph.output]
    while open_nodes:
        index = open_nodes.pop()
        for source in graph.nodes[index].inputs:
            if (source, index) not in found:
                found.add((source, index))
                open_nodes.append(source)
    return found


def operands(graph: GenomeGraph) -> dict[int, tuple[int, ...]]:
    """Return what each node that the output depends on reads, in order; -1 is the output."""
    used = {index for index, _ in read_by(graph)}
    return {-1: (graph.output,), **{index: graph.nodes[index].inputs for index in used}}


def check_places(drawing: Drawing) -> None:
    """Nothing overlaps or lies outside, and edges go to the right."""
    nodes = [*drawing.nodes, drawing.output]
    for one, other in combinations(nodes, 2):
        assert (one.x - other.x) ** 2 + (one.y - other.y) ** 2 > (2 * 17) ** 2
    for node in nodes:
        assert 17 <= node.x <= drawing.width - 17
        assert 17 <= node.y <= drawing.height - 17
    for edge in drawing.edges:
        (x1, _), (x2, _) = ends(edge.path)
        assert x1 < x2


@settings(max_examples=60, deadline=None)
@given(genomes)
def test_a_drawing_shows_each_node_once_and_marks_what_is_used(case) -> None:
    parameters, alleles, _ = case
    graph = genome_graph(alleles, parameters, NAMES)
    drawing = draw(graph, output_name="w")
    check_places(drawing)
    assert [node.address for node in drawing.nodes] == list(range(len(graph.nodes)))
    used = {index for index, _ in read_by(graph)}
    assert {node.address for node in drawing.nodes if "unused" not in node.kinds.split()} == used
    edges = [edge for edge in drawing.edges if edge.kinds == "edge"]
    n_operands = sum(len(graph.nodes[index].inputs) for index in used)
    assert len(edges) == n_operands + 1
    assert len(drawing.rows) == len(graph.nodes) + 1
    n_active = sum(1 for index in used if index >= len(NAMES))
    assert f"{n_active} of {len(graph.nodes) - len(NAMES)} nodes are active" in drawing.summary


@settings(max_examples=60, deadline=None)
@given(genomes)
def test_a_drawing_of_what_is_used_leaves_the_rest_out(case) -> None:
    parameters, alleles, _ = case
    graph = genome_graph(alleles, parameters, NAMES)
    drawing = draw(graph, output_name="w", only_used=True)
    check_places(drawing)
    used = {index for index, _ in read_by(graph)}
    assert {node.address for node in drawing.nodes} == used | set(range(len(NAMES)))


@settings(max_examples=100, deadline=None)
@given(genomes)
def test_a_mutation_is_drawn_as_the_edges_that_came_and_went(case) -> None:
    parameters, old, new = case
    before, after = (genome_graph(alleles, parameters, NAMES) for alleles in (old, new))
    genes = [gene for gene, (one, other) in enumerate(zip(old, new, strict=True)) if one != other]
    mutated = mutated_addresses(genes, parameters, NAMES)
    assert mutated == {node_of_gene(gene, parameters, NAMES) for gene in genes}
    drawing = draw(after, output_name="w", mutated=mutated, before=before, only_used=True)
    check_places(drawing)
    is_unchanged = operands(before) == operands(after)
    assert is_unchanged == all(edge.kinds in {"edge", "edge unused"} for edge in drawing.edges)
    marked = {node.address for node in drawing.nodes if node.is_mutated}
    shown = {node.address for node in drawing.nodes}
    assert marked == {index for index in mutated if index is not None} & shown
    assert ("mutated" in drawing.output.kinds) == (None in mutated)


@settings(max_examples=100, deadline=None)
@given(genomes)
def test_words_tell_every_change_that_matters_and_no_other(case) -> None:
    parameters, old, new = case
    before, after = (genome_graph(alleles, parameters, NAMES) for alleles in (old, new))
    used, unused = changes_in_words(before, after)
    changed = {
        one.index
        for one, other in zip(before.nodes, after.nodes, strict=True)
        if one.label != other.label or one.inputs != other.inputs
    }
    matter = {index for graph in (before, after) for index, _ in read_by(graph)}
    named = {int(text.split(":")[0].removeprefix("node ")) for text in used if text[0] == "n"}
    others = {int(text.split(":")[0].removeprefix("node ")) for text in unused}
    assert named <= changed & matter
    assert others <= changed - matter
    assert any(text.startswith("output") for text in used) == (before.output != after.output)


def test_words_name_operators_and_inputs_as_people_do() -> None:
    parameters = EvolutionParameters.from_mapping(
        {"primitives": ["Add", "Mul"], "constants": [], "n_columns": 2, "n_rows": 1}
    )
    inputs = [-1, -3, -3] * 3
    old = [*inputs, 0, 0, 1, 1, 3, 2, -2, 4, -3]
    new = [*inputs, 1, 0, 2, 1, 3, 2, -2, 3, -3]
    before, after = (genome_graph(alleles, parameters, NAMES) for alleles in (old, new))
    used, unused = changes_in_words(before, after)
    assert used == [
        "node 3: + became ×, second input u → s",
        "output: node 4 → node 3",
    ]
    assert unused == []


def test_strips_share_a_scale() -> None:
    """Errors are drawn by their logarithm: 1, 10 and 100 are at equal distances."""
    first, second, nothing = strips(
        [((-1.0, -100.0), -10.0), ((-10.0,), -10.0), ((), None)], is_error=True
    )
    assert nothing is None
    high, low = first.marks
    assert high - first.fitness == pytest.approx(first.fitness - low)
    assert second.marks == [first.fitness]
    assert 0 < low < high < first.width
    assert "2 trials from -100 to -1" in first.summary
    linear, _ = strips([((1.0, 3.0), 2.0), ((float("inf"),), None)], is_error=False)
    assert linear.fitness == pytest.approx(sum(linear.marks) / 2)
