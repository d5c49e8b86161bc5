"""What is in an experiment file: its members, their rows and how large they may be.

Numbers are JSON numbers, of which Python writes as many digits as it takes to read back the very
same bits. JSON has no infinity: a fitness of minus infinity is the text ``"-Infinity"``, and null
stands where there is nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

FORMAT = "e2l experiment"
VERSION = 1
SUFFIX = ".e2l.zip"

README = "README.txt"
MANIFEST = "manifest.json"
CONFIGURATION = "experiment.json"
RUNS = "runs.jsonl"
RULES = "rules.jsonl"
EVALUATIONS = "evaluations.jsonl"
GENERATIONS = "generations.jsonl"
INDIVIDUALS = "individuals.jsonl"
#: Members that hold data, in the order in which they are written.
DATA = (CONFIGURATION, RUNS, RULES, EVALUATIONS, GENERATIONS, INDIVIDUALS)
#: All members. There is nothing else in an experiment file, and nothing twice.
MEMBERS = (README, *DATA, MANIFEST)

MINUS_INFINITY = "-Infinity"
_INT = 2**31 - 1


class BrokenExperimentFile(ValueError):
    """A file that cannot be imported; the message names member and line."""


@dataclass(frozen=True)
class Limits:
    """How large a file may be, so that a hostile one costs little.

    Attributes
    ----------
    file_bytes : int
        Of the file as it is.
    unpacked_bytes : int
        Of all members together.
    ratio : float
        Unpacked by packed size of a member; larger ones are bombs. JSON of experiments has 5 to 20.
    text_bytes : int
        Of a member that is one JSON text.
    line_bytes : int
        Of a line.
    rows : dict of str to int
        Lines of a member.
    """

    file_bytes: int = 512 * 2**20
    unpacked_bytes: int = 4 * 2**30
    ratio: float = 200.0
    text_bytes: int = 2 * 2**20
    line_bytes: int = 2 * 2**20
    n_runs: int = 100
    n_rules: int = 1_000_000
    n_generations: int = 5_000_000
    n_individuals: int = 20_000_000

    @property
    def rows(self) -> dict[str, int]:
        """How many lines each member may have."""
        return {
            RUNS: self.n_runs,
            RULES: self.n_rules,
            EVALUATIONS: self.n_rules,
            GENERATIONS: self.n_generations,
            INDIVIDUALS: self.n_individuals,
        }


def fitness_to_json(value: float | None) -> float | str:
    """Return a fitness as files and tables have it; the database's None is minus infinity."""
    return MINUS_INFINITY if value is None else value


def fitness_from_json(value: float | str) -> float | None:
    """Return a fitness as the database has it."""
    return None if value == MINUS_INFINITY else float(value)


def _storable(text: str) -> str:
    # PostgreSQL has no text with a zero in it.
    if "\0" in text:
        raise ValueError("A text has a zero character in it.")
    return text


def _in_our_times(moment: datetime) -> datetime:
    if not 2000 <= moment.year <= 2200:
        raise ValueError("The year is not from 2000 to 2200.")
    return moment.astimezone(UTC)


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    # Raises a ValueError for numbers that JSON does not have.
    _storable(json.dumps(value, allow_nan=False).replace(r"\u0000", "\0"))
    return value


def _text(length: int) -> Any:
    return Annotated[str, Field(max_length=length), AfterValidator(_storable)]


Word, Line, Text = _text(60), _text(500), _text(20_000)
Moment = Annotated[AwareDatetime, AfterValidator(_in_our_times)]
Fitness = float | Literal["-Infinity"]
Count = Annotated[int, Field(ge=0, le=_INT)]
Number = Annotated[int, Field(ge=1, le=10_000)]
Seconds = Annotated[float, Field(ge=0.0, le=1e12)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Genome = Annotated[list[Annotated[int, Field(ge=-3, le=1_000_000)]], Field(max_length=20_000)]
Positions = Annotated[list[Count], Field(max_length=20_000)]
ParameterName = Annotated[str, Field(pattern=r"^<p[0-9]{1,6}>$")]
MAX_BRANCHES = 16


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Member(_Row):
    """Size and digest of a member, unpacked."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0)]
    rows: Count


class Manifest(_Row):
    """The member that says what the others are; it is written last."""

    format: Literal["e2l experiment"]
    version: Annotated[int, Field(ge=1)]
    created_at: Moment
    written_by: Annotated[dict[Word, Line], Field(max_length=50)]
    members: Annotated[dict[Word, Member], Field(max_length=20)]


class Configuration(_Row):
    """What was to be done, with which seeds and software; how its numbers are to be read."""

    name: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
    learning_task: Word
    learning_task_title: Line
    signature: Annotated[str, Field(max_length=200), AfterValidator(_storable)]
    fitness: Line
    preset: Word
    task_parameters: dict[Word, Any]
    evolution_parameters: dict[Word, Any]
    units: dict[Word, Word]
    seed: Seed
    n_runs: Annotated[int, Field(ge=1, le=100)]
    state: Word
    owner: Line | None
    tags: Annotated[list[Word], Field(max_length=12)]
    notes: Text
    provenance: Annotated[dict[Line, Text], Field(max_length=200)]
    engine_version: Annotated[str, Field(max_length=200), AfterValidator(_storable)]
    published: Annotated[dict[Word, Any], AfterValidator(_plain)] | None
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    rested_s: Seconds


class RunRow(_Row):
    """A run; people count from 1."""

    run: Number
    seed: Seed
    state: Word
    stop_reason: Word
    n_generations: Annotated[int, Field(ge=-1, le=1_000_000)]
    champion: Count | None
    champion_fitness: Fitness
    improved_at_generation: Count
    n_evaluations: Count
    n_cached: Count
    n_pruned: Count
    simulated_s: Seconds
    saved_s: Seconds
    paused_s: Seconds
    started_at: Moment | None
    finished_at: Moment | None


class RuleRow(_Row):
    """A rule in its canonical form; others refer to it by the number of its line, from 0."""

    rule: Count
    key: Word
    expressions: Annotated[list[Text], Field(min_length=1, max_length=MAX_BRANCHES)]
    complexity: Count


class EvaluationRow(_Row):
    """The values of a rule's first trials, and why the next one has none."""

    rule: Count
    trials: Annotated[list[float], Field(max_length=1000)]
    reason: Word
    detail: Text
    simulated_s: Seconds


class GenerationRow(_Row):
    """A generation of a run; 0 is the initial population."""

    run: Number
    generation: Count
    champion: Count
    champion_fitness: Fitness
    is_improvement: bool
    parents: Annotated[list[Count], Field(max_length=1000)]
    n_evaluations: Count
    n_cached: Count
    n_pruned: Count
    created_at: Moment


class IndividualRow(_Row):
    """An individual of a run, numbered as hal-cgp counts."""

    run: Number
    individual: Count
    parent: Count | None
    generation: Count
    origin: Word
    genomes: Annotated[list[Genome], Field(min_length=1, max_length=MAX_BRANCHES)]
    constants: Annotated[list[dict[ParameterName, float]], Field(max_length=MAX_BRANCHES)] | None
    mutated_genes: Annotated[list[Positions], Field(max_length=MAX_BRANCHES)]
    rule: Count | None
    fitness: Fitness
    outcome: Word
    is_neutral: bool
    is_cached: bool


README_TEXT = f"""\
An experiment of e2l: plasticity rules that evolved, with all that it takes to repeat it.

{CONFIGURATION}   configuration, seeds, software, and the units of the parameters
{RUNS}         one run a line: seed, state, champion
{RULES}        one rule a line in canonical form; others refer to it by its number, from 0
{EVALUATIONS}  the values of the trials of each rule
{GENERATIONS}  one generation a line: champion, fitness, survivors, the fittest first
{INDIVIDUALS}  one individual a line: genome of each branch, parent, mutated genes, rule, fitness
{MANIFEST}      format, version and SHA-256 of each member

Files that end with .jsonl hold one JSON object a line: pandas.read_json(name, lines=True).
Numbers have as many digits as it takes to read back the same bits. A fitness of "{MINUS_INFINITY}"
is minus infinity: the rule failed. null: there is none. Times are UTC.

To import it: "Import" on the page of experiments, or manage.py experiment import FILE.
To repeat it: "Reproduce" on the page of the imported experiment, or manage.py experiment reproduce.
"""
