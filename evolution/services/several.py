"""The same done to several experiments: each by itself, so that one that refuses stops no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evolution.errors import StateConflict
from evolution.services import control

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from evolution.access import Person
    from evolution.models import Experiment

#: What may be done to several experiments at once.
ACTIONS: Mapping[str, Callable[..., None]] = {
    "pause": control.pause_experiment,
    "resume": control.resume_experiment,
    "stop": control.stop_experiment,
    "archive": control.archive_experiment,
    "unarchive": control.unarchive_experiment,
    "delete": control.delete_experiment,
}


@dataclass(frozen=True)
class Outcome:
    """What became of one experiment.

    Attributes
    ----------
    number : int
    name : str
    refusal : str
        Why it was not done, in a sentence; empty where it was.
    """

    number: int
    name: str
    refusal: str = ""


def act_on_each(
    action: str, experiments: Iterable[Experiment], *, by: Person | None
) -> list[Outcome]:
    """Do one of `ACTIONS` to each experiment whose state allows it; say of the others why not."""
    outcomes = []
    for experiment in experiments:
        number, name = experiment.pk, experiment.name
        try:
            ACTIONS[action](experiment, by=by)
        except StateConflict as error:
            outcomes.append(Outcome(number, name, str(error)))
        else:
            outcomes.append(Outcome(number, name))
    return outcomes
