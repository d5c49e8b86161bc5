"""What a run in hand knows about rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evolution.services import evaluations
from evolution.services.evaluations import Want
from evolution.services.judgement import judge
from nest_build.rules import PlasticityRule, RuleSyntaxError
from simulations.learning_tasks import Aggregate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from evolution.models import Evaluation
    from evolution.services.book import Settled
    from evolution.services.judgement import Judgement
    from evolution.services.setups import ExperimentSetup


class KnownRules:
    """Rules by their keys: their ids, what is recorded of them, and what that amounts to.

    Parameters
    ----------
    setup : ExperimentSetup
        Of the experiment, whose context the records are of.
    """

    def __init__(self, setup: ExperimentSetup) -> None:
        self._setup = setup
        self._signature = setup.learning_task.signature
        self._known: dict[str, tuple[int, Evaluation | None]] = {}
        #: Keys by the ids of evaluations that were asked for.
        self._awaited: dict[int, str] = {}

    def parse(self, texts: tuple[str, ...]) -> PlasticityRule | None:
        """Return the rule in the form that is simulated, None where it is none."""
        try:
            return evaluations.canonical_rule(self._signature, texts)
        except RuleSyntaxError:
            return None

    def look_up(self, keys: Iterable[str | None]) -> None:
        """Find out about rules of which more could be known by now."""
        wanted = {key for key in keys if key is not None and not self._is_settled(key)}
        if wanted:
            found = evaluations.find_rules(
                self._signature, wanted, self._setup.context, is_shared=self._setup.is_shared
            )
            self._known.update(found)

    def expect(self, rule_id: int, key: str, evaluation: Evaluation) -> None:
        """Note an evaluation that was asked for."""
        self._known[key] = (rule_id, evaluation)
        self._awaited[evaluation.pk] = key

    def learn(self, settled: Mapping[int, Settled]) -> None:
        """Take over what is recorded of evaluations that were asked for, by their ids: it need not
        be looked up."""
        for pk in self._awaited.keys() & settled.keys():
            evaluation = self.evaluation(self._awaited.pop(pk))
            evaluation.trials = [float(value) for value in settled[pk].trials]
            evaluation.n_trials_done = len(evaluation.trials)
            evaluation.reason = settled[pk].reason
            evaluation.seconds = settled[pk].seconds

    def _is_settled(self, key: str) -> bool:
        # What failed may be repeated: whoever takes the run in hand next finds out.
        evaluation = self.evaluation(key)
        return evaluation is not None and (
            bool(evaluation.reason) or evaluation.n_trials_done >= self._setup.n_trials
        )

    @property
    def ids(self) -> dict[str, int]:
        """The ids of all rules that have a record, by key."""
        return {key: rule_id for key, (rule_id, _) in self._known.items()}

    def id_of(self, key: str) -> int:
        """Return the id of a rule that was looked up."""
        return self._known[key][0]

    def evaluation(self, key: str) -> Evaluation | None:
        """Return what is recorded of a rule, None where nobody has asked for it."""
        return self._known.get(key, (None, None))[1]

    def want(self, n_trials: int | None, bound: float | None) -> Want:
        """Return what has to be known to answer a question of the engine.

        A bound spares trials only where the worst one is the fitness.
        """
        is_min = self._setup.learning_task.aggregate is Aggregate.MIN
        return Want(
            self._setup.n_trials if n_trials is None else n_trials, bound if is_min else None
        )

    def judge(self, key: str, want: Want) -> Judgement | None:
        """Return the judgement on a rule, None while trials are missing."""
        evaluation = self.evaluation(key)
        if evaluation is None:
            return None
        return judge(
            evaluation.trials,
            evaluation.reason,
            n_trials=want.n_trials,
            bound=want.bound,
            aggregate=self._setup.learning_task.aggregate,
        )
