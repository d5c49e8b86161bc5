"""Placement: giving the nodes of a graph places in the grid of a genome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class GraphNode:
    """A node of a graph in which operands come before those who use them.

    Attributes
    ----------
    allele : int
        Number of the primitive.
    operands : tuple of int
        Addresses: first the inputs of the rule, then the nodes in their order.
    value : float or None
        Value of a parameter node.
    """

    allele: int
    operands: tuple[int, ...]
    value: float | None = None


@dataclass(frozen=True)
class Graph:
    """Nodes behind a number of inputs, and the address of the result."""

    n_inputs: int
    nodes: tuple[GraphNode, ...]
    output: int

    def needed(self) -> Graph:
        """Return the graph without the nodes that the result does not depend on."""
        return self._rebuilt(lambda node: True, len(self.nodes)) or self

    def with_own_constants(self, *, max_nodes: int) -> Graph | None:
        """Return a graph in which each user has constants of its own."""
        return self._rebuilt(lambda node: bool(node.operands), max_nodes)

    def unshared(self, *, max_nodes: int) -> Graph | None:
        """Return a graph in which each user has operands of its own."""
        return self._rebuilt(lambda node: False, max_nodes)

    def _rebuilt(self, is_shared: Callable[[GraphNode], bool], max_nodes: int) -> Graph | None:
        """Return a graph of the needed nodes, None if these are too many."""
        nodes: list[GraphNode] = []
        known: dict[int, int] = {}

        def rebuild(address: int) -> int:
            if address < self.n_inputs or len(nodes) > max_nodes:
                return address
            node = self.nodes[address - self.n_inputs]
            if address in known and is_shared(node):
                return known[address]
            # An operand that one node uses twice needs one place only.
            rebuilt = {operand: rebuild(operand) for operand in node.operands}
            operands = tuple(rebuilt[operand] for operand in node.operands)
            nodes.append(GraphNode(node.allele, operands, node.value))
            known[address] = self.n_inputs + len(nodes) - 1
            return known[address]

        output = rebuild(self.output)
        return None if len(nodes) > max_nodes else Graph(self.n_inputs, tuple(nodes), output)


@dataclass(frozen=True)
class Placed:
    """A graph whose nodes have places: their addresses in the genome, in their order."""

    graph: Graph
    addresses: tuple[int, ...]

    def address(self, address: int) -> int:
        """Return the address in the genome of an address in the graph."""
        n_inputs = self.graph.n_inputs
        return address if address < n_inputs else self.addresses[address - n_inputs]


def place(graph: Graph, *, n_columns: int, n_rows: int, levels_back: int) -> Placed | None:
    """Give each node a column and a row, None if no place was found.

    A node reads inputs, and nodes at most ``levels_back`` columns to its left. Where there is one
    row and no limit of levels back, the place is found whenever there are enough columns.
    Otherwise some strategies are tried, also with nodes that are made anew for each user, so that
    they are near enough.
    """
    max_nodes = n_columns * n_rows
    shared = graph.needed()
    if len(shared.nodes) > max_nodes:
        return None
    variants = [shared]
    if levels_back < n_columns:
        variants += [
            shared.with_own_constants(max_nodes=max_nodes),
            shared.unshared(max_nodes=max_nodes),
        ]
    for variant in variants:
        for prefers_high in (True, False):
            for prefers_urgent in (False, True):
                columns = variant and _columns(
                    variant, n_columns, n_rows, levels_back, prefers_high, prefers_urgent
                )
                if columns is not None:
                    return Placed(variant, _addresses(variant, columns, n_rows))
    return None


def _columns(
    graph: Graph,
    n_columns: int,
    n_rows: int,
    levels_back: int,
    prefers_high: bool,
    prefers_urgent: bool,
) -> list[int] | None:
    """Return the column of each node, filling the grid from the right; None if that fails."""
    n_nodes = len(graph.nodes)
    operands = [
        {address - graph.n_inputs for address in node.operands if address >= graph.n_inputs}
        for node in graph.nodes
    ]
    heights: list[int] = []
    for own in operands:
        heights.append(max((heights[index] + 1 for index in own), default=0))
    n_users = [sum(index in own for own in operands) for index in range(n_nodes)]
    #: The leftmost column from which all users placed so far can read.
    leftmost = [0] * n_nodes
    columns = [-1] * n_nodes
    ready = {index for index in range(n_nodes) if not n_users[index]}

    def urgency(index: int) -> tuple[int, ...]:
        height = heights[index] if prefers_high else -heights[index]
        return (leftmost[index], height, index) if prefers_urgent else (height, index)

    for column in range(n_columns - 1, -1, -1):
        chosen = sorted(
            ready, key=lambda index: (leftmost[index] >= column, *urgency(index)), reverse=True
        )[:n_rows]
        for index in chosen:
            if leftmost[index] > column or heights[index] > column:
                return None
            columns[index] = column
        ready -= set(chosen)
        for index in chosen:
            for operand in operands[index]:
                leftmost[operand] = max(leftmost[operand], column - levels_back)
                n_users[operand] -= 1
                if not n_users[operand]:
                    ready.add(operand)
    if -1 in columns:
        return None
    first = min(columns, default=0)
    return [column - first for column in columns]


def _addresses(graph: Graph, columns: Sequence[int], n_rows: int) -> tuple[int, ...]:
    n_used: dict[int, int] = {}
    addresses = []
    for column in columns:
        row = n_used.get(column, 0)
        n_used[column] = row + 1
        addresses.append(graph.n_inputs + column * n_rows + row)
    return tuple(addresses)
