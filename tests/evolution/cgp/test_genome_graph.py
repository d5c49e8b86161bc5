"""Graphs of genomes against hal-cgp's own graph of the same genome."""

from __future__ import annotations

import numpy as np
import pytest

from evolution.cgp.genome_graph import GenomeNode, genome_graph, node_of_gene
from evolution.cgp.hal import cgp
from evolution.cgp.parameters import EvolutionParameters
from tests.evolution.cgp.objectives import genome_params

NAMES = ("v", "u", "s")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_rows": 3, "levels_back": 2, "n_columns": 6},
        {"primitives": ["Mul", "Tenth", "Parameter"], "constants": [-2.0]},
    ],
)
def test_nodes_are_those_of_hal_cgp(changes: dict) -> None:
    parameters = EvolutionParameters.from_mapping(changes)
    for seed in range(30):
        genome = cgp.Genome(**genome_params(parameters, len(NAMES)))
        genome.randomize(np.random.RandomState(seed))
        expected = cgp.CartesianGraph(genome)
        graph = genome_graph(genome.dna, parameters, NAMES, genome._parameter_names_to_values)
        assert [node.index for node in graph.nodes] == list(range(len(graph.nodes)))
        assert len(graph.nodes) == 3 + parameters.n_columns * parameters.n_rows
        assert graph.output == expected.output_nodes[0].addresses[0]
        # Hal-cgp lists the active nodes of the grid only, and the output with them.
        active = set(expected.determine_active_regions()) & set(range(len(graph.nodes)))
        references = [*expected.input_nodes, *expected.hidden_nodes]
        for node, reference in zip(graph.nodes, references, strict=True):
            is_read = any(node.index in graph.nodes[user].inputs for user in active)
            assert node.is_active == (is_read or node.index == graph.output)
            assert node.is_active == (node.index in active) or node.index < len(NAMES)
            assert node.inputs == tuple(reference.addresses[: len(node.inputs)])
            if node.index >= len(NAMES):
                assert len(node.inputs) == reference.arity


def test_nodes_are_described_for_people() -> None:
    parameters = EvolutionParameters.from_mapping(
        {"primitives": ["Sub", "Parameter"], "constants": [-2.0], "n_columns": 2, "n_rows": 2}
    )
    inputs = [-1, -3, -3] * 3
    dna = [*inputs, 1, 0, 0, 2, 0, 0, 0, 3, 1, 0, 2, 2, -2, 5, -3]
    graph = genome_graph(dna, parameters, NAMES, {"<p3>": -0.5})
    assert graph.output == 5
    assert graph.nodes == (
        GenomeNode(0, 0, 0, None, "v", (), is_active=False),
        GenomeNode(1, 0, 1, None, "u", (), is_active=True),
        GenomeNode(2, 0, 2, None, "s", (), is_active=False),
        GenomeNode(3, 1, 0, "Parameter", "(-0.5)", (), is_active=True),
        GenomeNode(4, 1, 1, "(-2)", "(-2)", (), is_active=False),
        GenomeNode(5, 2, 0, "Sub", "-", (3, 1), is_active=True),
        GenomeNode(6, 2, 1, "Sub", "-", (2, 2), is_active=False),
    )
    assert [node.index for node in graph.active_nodes] == [1, 3, 5]
    assert genome_graph(dna, parameters, NAMES).nodes[3].label == "Parameter"


def test_a_gene_belongs_to_a_node_or_to_the_output() -> None:
    parameters = EvolutionParameters.from_mapping({"n_columns": 2})
    owners = [node_of_gene(position, parameters, NAMES) for position in range(18)]
    assert owners == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3 + [None] * 3
