"""Genomes as drawings: where nodes and edges lie in an SVG, and the same in words.

A template writes the elements and the style sheet colours them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evolution.cgp.genome_graph import genome_graph, node_of_gene

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from evolution.cgp.genome_graph import GenomeGraph, GenomeNode
    from evolution.cgp.parameters import EvolutionParameters

#: Distances, in units of the drawing.
_COLUMN, _ROW, _RADIUS, _MARGIN = 62, 58, 17, 14
#: How far an edge swings out of the row for each column that it passes, and at most.
_SWING, _LARGEST_SWING = 13, 110
_SYMBOLS = {"+": "+", "-": "−", "*": "×", "/": "÷", "**": "^"}
_ORDINALS = ("first", "second")


@dataclass(frozen=True)
class DrawnNode:
    """A node with its place; ``kinds`` are words for the style sheet."""

    x: float
    y: float
    label: str
    address: int
    kinds: str
    title: str

    @property
    def is_mutated(self) -> bool:
        """Whether the mutation touched it."""
        return "mutated" in self.kinds.split()


@dataclass(frozen=True)
class DrawnEdge:
    """A curve from a node to one that reads it."""

    path: str
    kinds: str


@dataclass(frozen=True)
class Drawing:
    """One genome, drawn.

    Attributes
    ----------
    rows : list of dict
        The nodes as a table says them: name, what it computes, whether it is active or mutated.
    """

    width: float
    height: float
    nodes: list[DrawnNode]
    edges: list[DrawnEdge]
    summary: str
    rows: list[dict[str, object]] = field(default_factory=list)
    output: DrawnNode | None = None


def graphs_of(
    genomes: Sequence[Sequence[int]],
    constants: Sequence[Mapping[str, float]] | None,
    parameters: EvolutionParameters,
    input_names: Sequence[str],
) -> list[GenomeGraph]:
    """Return the graph of each genome of an individual."""
    values = constants or [{} for _ in genomes]
    return [
        genome_graph(alleles, parameters, input_names, constant)
        for alleles, constant in zip(genomes, values, strict=True)
    ]


def mutated_addresses(
    genes: Sequence[int], parameters: EvolutionParameters, input_names: Sequence[str]
) -> set[int | None]:
    """Return the nodes that mutated genes belong to; None stands for the output."""
    return {node_of_gene(gene, parameters, input_names) for gene in genes}


def draw(
    graph: GenomeGraph,
    *,
    output_name: str,
    mutated: Collection[int | None] = (),
    before: GenomeGraph | None = None,
    only_used: bool = False,
) -> Drawing:
    """Draw a genome in its grid.

    Parameters
    ----------
    graph : GenomeGraph
    output_name : str
        What the genome computes.
    mutated : collection of int or None
        Addresses of the nodes that a mutation touched; None for the output.
    before : GenomeGraph, optional
        The parent's genome: edges that came and went are marked.
    only_used : bool
        Leave out what is inactive here and in ``before``.
    """
    active = {node.index for node in graph.active_nodes}
    active_before = {node.index for node in before.active_nodes} if before else active
    shown = [
        node
        for node in graph.nodes
        if not only_used or not node.column or node.index in active | active_before
    ]
    places = _places(shown, compact=only_used)
    last_column = max(places[node.index][0] for node in shown)
    inputs = [node for node in shown if node.column == 0]
    n_rows = max((places[node.index][1] for node in shown if node.column), default=0) + 1
    edges = _edges(graph, shown, active)
    edges_before = _edges(before, shown, active_before) if before else edges

    swings = [
        _swing(_span(places, last_column, of, to), is_output=to < 0)
        for of, to, _ in edges | edges_before
    ]
    swing = max(swings, default=0)
    inputs_height = (len(inputs) - 1) * _ROW * 0.8
    grid_height = (n_rows - 1) * _ROW
    half = max(inputs_height / 2, grid_height / 2 + 0.78 * swing) + _RADIUS + _MARGIN
    height = 2 * half

    def place(index: int) -> tuple[float, float]:
        column, row = places[index]
        x = _MARGIN + _RADIUS + column * _COLUMN
        if column == 0:
            return x, half - inputs_height / 2 + row * _ROW * 0.8
        return x, half - grid_height / 2 + row * _ROW

    width = 2 * (_MARGIN + _RADIUS) + (last_column + 1) * _COLUMN + 30
    end = (width - _MARGIN - _RADIUS - 15, half)
    drawn_edges = []
    for edge in sorted(edges | edges_before):
        of, to, operand = edge
        kinds = _edge_kinds(edge, edges, edges_before, active, active_before)
        target = end if to < 0 else place(to)
        span = _span(places, last_column, of, to)
        drawn_edges.append(DrawnEdge(_curve(place(of), target, span, operand, to < 0), kinds))
    # What is active is drawn over what is not.
    drawn_edges.sort(key=lambda edge: ("unused" not in edge.kinds, "new" in edge.kinds))
    nodes = [
        _drawn_node(node, place(node.index), active, active_before, mutated, before)
        for node in shown
    ]
    output = DrawnNode(
        *end,
        label=output_name,
        address=-1,
        kinds="output mutated" if None in mutated else "output",
        title=f"Output: reads {_name(graph, graph.output)}",
    )
    n_nodes = sum(1 for node in graph.nodes if node.column)
    n_active = sum(1 for node in graph.active_nodes if node.column)
    summary = f"Genome of {output_name}: {n_active} of {n_nodes} nodes are active."
    if mutated:
        summary += f" The mutation touched {_listing(graph, mutated)}."
    return Drawing(
        round(width, 1),
        round(height, 1),
        nodes,
        drawn_edges,
        summary,
        _rows(graph, mutated),
        output,
    )


def changes_in_words(before: GenomeGraph, after: GenomeGraph) -> tuple[list[str], list[str]]:
    """Say what a mutation did to nodes and output: to those that matter, and to inactive ones.

    What matters is active before or after.
    """
    active = {node.index for node in before.active_nodes} | {
        node.index for node in after.active_nodes
    }
    used: list[str] = []
    unused: list[str] = []
    for old, new in zip(before.nodes, after.nodes, strict=True):
        parts = []
        if old.label != new.label:
            parts.append(f"{_symbol(old)} became {_symbol(new)}")
        for number, (source, other) in enumerate(zip(old.inputs, new.inputs, strict=False)):
            if source != other:
                which = f"{_ORDINALS[number]} input" if len(new.inputs) > 1 else "input"
                parts.append(f"{which} {_name(before, source)} → {_name(after, other)}")
        if parts:
            text = f"{_name(after, new.index)}: {', '.join(parts)}"
            (used if new.index in active else unused).append(text)
    if before.output != after.output:
        used.append(f"output: {_name(before, before.output)} → {_name(after, after.output)}")
    return used, unused


# --- values of trials ---------------------------------------------------------------------------

_STRIP_WIDTH, _STRIP_MARGIN = 120, 5


@dataclass(frozen=True)
class Strip:
    """Values of the trials of a rule as marks on a line.

    Attributes
    ----------
    marks : list of float
        Places of the trials.
    fitness : float or None
        Place of the fitness.
    """

    marks: list[float]
    fitness: float | None
    summary: str
    width: int = _STRIP_WIDTH


def strips(
    rows: Sequence[tuple[Sequence[float], float | None]], *, is_error: bool
) -> list[Strip | None]:
    """Draw the trials of several rules on a common scale; None where there are none.

    Parameters
    ----------
    rows : sequence of (sequence of float, float or None)
        Values of the trials and the fitness.
    is_error : bool
        Whether fitness is minus an error: then the scale is that of the error's logarithm, as
        errors differ by orders of magnitude.
    """

    def scaled(value: float) -> float | None:
        if not math.isfinite(value):
            return None
        if not is_error:
            return value
        return -math.log10(-value) if value < 0.0 else None

    known = [
        place
        for values, fitness in rows
        for value in (*values, *([] if fitness is None else [fitness]))
        if (place := scaled(value)) is not None
    ]
    if not known:
        return [None for _ in rows]
    low, high = min(known), max(known)

    def placed(value: float) -> float | None:
        place = scaled(value)
        if place is None:
            return None
        share = 0.5 if high == low else (place - low) / (high - low)
        return round(_STRIP_MARGIN + share * (_STRIP_WIDTH - 2 * _STRIP_MARGIN), 1)

    drawn: list[Strip | None] = []
    for values, fitness in rows:
        marks = [place for value in values if (place := placed(value)) is not None]
        if not marks:
            drawn.append(None)
            continue
        summary = f"{len(values)} trial{'s' if len(values) != 1 else ''}"
        if len(values) > 1:
            summary += f" from {min(values):.5g} to {max(values):.5g}"
        drawn.append(Strip(marks, None if fitness is None else placed(fitness), summary))
    return drawn


# --- places -------------------------------------------------------------------------------------


def _places(nodes: Sequence[GenomeNode], *, compact: bool) -> dict[int, tuple[int, int]]:
    """Return column and row of each node; ``compact`` closes the gaps of empty columns."""
    columns = sorted({node.column for node in nodes})
    number = {column: position for position, column in enumerate(columns)}
    column_of: Callable[[GenomeNode], int] = lambda node: (  # noqa: E731
        number[node.column] if compact else node.column
    )
    return {node.index: (column_of(node), node.row) for node in nodes}


def _edges(
    graph: GenomeGraph, shown: Sequence[GenomeNode], active: Collection[int]
) -> set[tuple[int, int, int]]:
    """Return (source, target, operand) of the edges of shown nodes; target -1 is the output."""
    visible = {node.index for node in shown}
    is_whole = len(visible) == len(graph.nodes)
    edges = {
        (source, node.index, operand)
        for node in graph.nodes
        if node.index in visible and (is_whole or node.index in active)
        for operand, source in enumerate(node.inputs)
        if source in visible
    }
    return edges | {(graph.output, -1, 0)}


def _span(places: Mapping[int, tuple[int, int]], last_column: int, of: int, to: int) -> int:
    """Return how many columns an edge goes to the right."""
    return (last_column + 1 if to < 0 else places[to][0]) - places[of][0]


def _swing(span: int, *, is_output: bool) -> float:
    """Return how far an edge swings out of its row, to get round the nodes between."""
    if span <= 1:
        return 0
    return min(_LARGEST_SWING, 2 * _SWING * (span - 1) if is_output else 10 + _SWING * (span - 1))


def _curve(
    start: tuple[float, float], end: tuple[float, float], span: int, operand: int, is_output: bool
) -> str:
    """Return the path of an edge: first operands arrive from above, second ones from below."""
    (x1, y1), (x2, y2) = start, end
    # The edge to the output passes below the nodes.
    side = 0 if is_output else 1 if operand else -1
    swing = _swing(span, is_output=is_output) * (side or 1)
    x2 -= 12 if is_output else 0
    x1 += _RADIUS * 0.9
    x2 -= _RADIUS * 0.94
    y2 += side * 6
    reach = max(18.0, 0.32 * (x2 - x1))
    return (
        f"M{x1:.1f} {y1:.1f}C{x1 + reach:.1f} {y1 + swing:.1f} "
        f"{x2 - reach:.1f} {y2 + swing:.1f} {x2:.1f} {y2:.1f}"
    )


def _edge_kinds(
    edge: tuple[int, int, int],
    edges: Collection[tuple[int, int, int]],
    edges_before: Collection[tuple[int, int, int]],
    active: Collection[int],
    active_before: Collection[int],
) -> str:
    target = edge[1]
    is_used = edge in edges and (target < 0 or target in active)
    was_used = edge in edges_before and (target < 0 or target in active_before)
    if is_used:
        return "edge" if was_used else "edge new"
    return "edge gone" if was_used else "edge unused"


def _drawn_node(
    node: GenomeNode,
    place: tuple[float, float],
    active: Collection[int],
    active_before: Collection[int],
    mutated: Collection[int | None],
    before: GenomeGraph | None,
) -> DrawnNode:
    kinds = ["input" if node.column == 0 else "operator" if node.inputs else "constant"]
    if node.index not in active:
        kinds.append("gone" if before and node.index in active_before else "unused")
    elif before and node.index not in active_before:
        kinds.append("new")
    if node.index in mutated:
        kinds.append("mutated")
    title = f"Input {node.label}" if node.column == 0 else f"Node {node.index}: {_symbol(node)}"
    if before and node.column and before.nodes[node.index].label != node.label:
        title += f", was {_symbol(before.nodes[node.index])}"
    return DrawnNode(*place, _symbol(node), node.index, " ".join(kinds), title)


# --- words --------------------------------------------------------------------------------------


def _symbol(node: GenomeNode) -> str:
    """Return an operator as people write it, a constant with few digits, an input's name."""
    if node.inputs:
        return _SYMBOLS.get(node.label, node.label)
    try:
        return f"{float(node.label.strip('()')):.3g}".replace("-", "−")
    except ValueError:
        return node.label


def _name(graph: GenomeGraph, index: int) -> str:
    node = graph.nodes[index]
    return node.label if node.column == 0 else f"node {index}"


def _listing(graph: GenomeGraph, mutated: Collection[int | None]) -> str:
    names = [_name(graph, index) for index in sorted(i for i in mutated if i is not None)]
    if None in mutated:
        names.append("the output")
    return ", ".join(names)


def _rows(graph: GenomeGraph, mutated: Collection[int | None]) -> list[dict[str, object]]:
    return [
        {
            "name": _name(graph, node.index),
            "symbol": _symbol(node) if node.column else "input",
            "inputs": [_name(graph, index) for index in node.inputs],
            "is_active": node.is_active,
            "is_mutated": node.index in mutated,
        }
        for node in graph.nodes
    ] + [
        {
            "name": "output",
            "symbol": "output",
            "inputs": [_name(graph, graph.output)],
            "is_active": True,
            "is_mutated": None in mutated,
        }
    ]
