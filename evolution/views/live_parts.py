"""The parts of an experiment's page that the server writes, as live pages receive them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from django.template.loader import render_to_string

from evolution import selectors, statistics
from evolution.views import presentation

if TYPE_CHECKING:
    from evolution.models import Experiment
    from evolution.serializers import ExperimentMessage, KnownMessage, PartsMessage

States: TypeAlias = tuple[str, ...]


class Parts(NamedTuple):
    """What is sent, and the states of the experiment and its runs that it tells of."""

    message: PartsMessage
    states: States


def states_in(message: ExperimentMessage) -> States:
    """Return the states of an experiment and its runs in a message that tells where it stands."""
    return message["state"], *(run["state"] for run in message["runs"])


def read_parts(experiment: Experiment) -> Parts:
    """Return the figures, which are the same for all readers, and the digest of the records.

    What records are shown depends on the reader: a page asks for them itself when the digest is
    another one.
    """
    runs, log = selectors.runs_of(experiment), selectors.log_of(experiment)
    context = presentation.figures_part(experiment, runs, log)
    counts = statistics.failure_counts(experiment, runs)
    message: PartsMessage = {
        "figures": render_to_string("evolution/_experiment_figures.html", context),
        "records": presentation.records_digest(counts, log),
    }
    return Parts(message, (experiment.state, *(run.state for run in runs)))


def known_message(experiment: Experiment) -> KnownMessage:
    """Return what the page says of the champion and the rules of the literature."""
    champion = selectors.champion(experiment)
    known = presentation.known_rules_of(experiment, champion)
    return {
        "rule": champion and champion.rule_id,
        "html": render_to_string("evolution/_known_rules.html", {"known_rules": known}),
    }
