"""Which files of the authors' data folder hold what.

``error-driven/<hash>`` and ``reward-driven/<hash>`` have ``sim_params.json``, for each run
``res_<run>.pkl`` (fitness of the champion and of all parents by generation, and the champions'
expressions) and for some ``res_test_<run>.pkl`` (validation, a value per trial).
``correlation_based/<hash>`` has for each run ``fitness_<run>.npy`` (of all parents by generation),
for most ``champion_evol_<run>.txt`` (the champions' expressions of depression and facilitation by
generation), and for one ``Fig5D_fitness_validation_run_<run>.npy``.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evolution.published.files import (
    BrokenFile,
    numbers,
    read_json,
    read_npy,
    read_pickle,
    read_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_GENERATIONS = 100_000
_LONGEST_TEXT = 10_000


class UnknownFolder(ValueError):
    """There is nothing of the authors' in a folder."""


@dataclass(frozen=True)
class Problem:
    """A file that was left out, and why."""

    path: Path
    message: str


@dataclass(frozen=True)
class PublishedRun:
    """One run.

    Attributes
    ----------
    number : int
        The authors' number, from 0.
    champion_fitness : tuple of float
        By generation.
    champions : tuple of (tuple of str or None)
        Expressions of the branches by generation, with ``x_0`` and so on for the inputs; None where
        they were not published.
    validation : tuple of float
        Value of each held-out trial of the last champion; empty where there is none.
    """

    number: int
    champion_fitness: tuple[float, ...]
    champions: tuple[tuple[str, ...] | None, ...]
    validation: tuple[float, ...] = ()


@dataclass(frozen=True)
class PublishedTask:
    """All runs of one folder, in the order of their numbers."""

    learning_task_name: str
    folder_name: str
    parameters: dict[str, Any]
    runs: tuple[PublishedRun, ...]
    problems: list[Problem] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Name of the content: the same runs have the same one."""
        content = (self.learning_task_name, self.folder_name, self.runs)
        return hashlib.sha256(repr(content).encode()).hexdigest()


def read_folder(directory: Path) -> list[PublishedTask]:
    """Return what a folder holds of each learning task; broken files are named and left out.

    Raises
    ------
    UnknownFolder
        If it holds nothing of the authors'.
    """
    readers: dict[str, tuple[str, _Reader]] = {
        "reward-driven": ("reward-driven", _continuous_run),
        "error-driven": ("error-driven", _continuous_run),
        "correlation_based": ("correlation-driven", _pair_run),
    }
    tasks = []
    for folder_name, (task_name, read_run) in readers.items():
        for folder in sorted(directory.glob(f"{folder_name}/*/")):
            task = _read_task(folder, task_name, read_run)
            if task.runs or task.problems:
                tasks.append(task)
    if not tasks:
        raise UnknownFolder(
            f"There is none of the folders {', '.join(readers)} with results in {directory}."
        )
    return tasks


if TYPE_CHECKING:
    _Reader = Callable[["_Files", int], PublishedRun]


class _Files:
    """The files of a folder; what cannot be read is noted with its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[Problem] = []
        self._path = folder

    def read(self, name: str, reader: Callable[[Path], Any]) -> Any:
        """Read a file; whatever is wrong with its content afterwards is blamed on it."""
        self._path = self.folder / name
        return reader(self._path)

    def read_if_there(self, name: str, reader: Callable[[Path], Any], default: Any) -> Any:
        """Read a file that may be missing or broken without harm to others."""
        if not (self.folder / name).exists():
            return default
        try:
            return self.read(name, reader)
        except BrokenFile as error:
            self.blame(error)
            return default

    def blame(self, error: BrokenFile) -> None:
        """Note what is wrong with the file that was read last."""
        self.problems.append(Problem(self._path, str(error)))

    def numbers(self) -> Iterator[int]:
        """Return the numbers of all runs."""
        found = {
            int(match[1])
            for path in self.folder.iterdir()
            if (match := re.fullmatch(r"(?:res|fitness)_(\d{1,4})\.(?:pkl|npy)", path.name))
        }
        return iter(sorted(found))


def _read_task(folder: Path, task_name: str, read_run: _Reader) -> PublishedTask:
    files = _Files(folder)
    parameters = files.read_if_there("sim_params.json", read_json, {})
    runs = []
    for number in files.numbers():
        try:
            runs.append(read_run(files, number))
        except BrokenFile as error:
            files.blame(error)
    return PublishedTask(task_name, folder.name, parameters, tuple(runs), files.problems)


def _continuous_run(files: _Files, number: int) -> PublishedRun:
    record = files.read(f"res_{number}.pkl", read_pickle)
    if not isinstance(record, dict) or not {"fitness_champion", "expr_champion"} <= record.keys():
        raise BrokenFile("It does not hold fitness and expression of the champions.")
    fitness = _curve(record["fitness_champion"])
    texts = record["expr_champion"]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BrokenFile("Its expressions are no texts.")
    _check_lengths(fitness, texts)
    champions = tuple((text[:_LONGEST_TEXT],) for text in texts)
    validation = files.read_if_there(f"res_test_{number}.pkl", _pickled_trials, ())
    return PublishedRun(number, fitness, champions, validation)


def _pair_run(files: _Files, number: int) -> PublishedRun:
    parents = numbers(files.read(f"fitness_{number}.npy", read_npy), n_dimensions=2)
    if not parents.size:
        raise BrokenFile("It holds no generation.")
    # A generation's parents are the fittest so far, so the best of them is the champion.
    fitness = _curve(np.nanmax(np.where(np.isfinite(parents), parents, -np.inf), axis=1))
    lines = files.read_if_there(f"champion_evol_{number}.txt", _pairs, None)
    champions: tuple[tuple[str, ...] | None, ...] = (None,) * len(fitness)
    if lines is not None:
        _check_lengths(fitness, lines)
        champions = lines
    name = f"Fig5D_fitness_validation_run_{number}.npy"
    validation = files.read_if_there(name, _trials, ())
    return PublishedRun(number, fitness, champions, validation)


def _curve(value: Any) -> tuple[float, ...]:
    curve = numbers(value, n_dimensions=1)
    if not 0 < len(curve) <= MAX_GENERATIONS:
        raise BrokenFile(f"It has {len(curve)} generations.")
    return tuple(curve.tolist())


def _check_lengths(fitness: tuple[float, ...], texts: Any) -> None:
    if len(texts) != len(fitness):
        raise BrokenFile(f"It has {len(texts)} expressions for {len(fitness)} generations.")


def _pairs(path: Path) -> tuple[tuple[str, ...], ...]:
    """Read lines such as ``[[2*x_1], [x_1]]``."""
    pairs = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        match = re.fullmatch(r"\[\[(.*)\], \[(.*)\]\]", line.strip())
        if match is None or len(line) > _LONGEST_TEXT:
            raise BrokenFile(f"Line {number} is no pair of expressions.")
        pairs.append((match[1], match[2]))
    return tuple(pairs)


def _pickled_trials(path: Path) -> tuple[float, ...]:
    return _curve(read_pickle(path))


def _trials(path: Path) -> tuple[float, ...]:
    return _curve(read_npy(path))
