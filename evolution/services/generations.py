"""Generations: completing one, selecting, breeding and asking for the next, in one transaction."""

from __future__ import annotations

import enum
import math
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.utils import timezone

from evolution.cgp.engine import Candidate, Engine
from evolution.cgp.stopping import Progress, criterion_met
from evolution.enums import ExperimentState, Outcome, StopReason
from evolution.models import Demand, Rule, Run
from evolution.prepared import insert
from evolution.services import endings, evaluations, history
from evolution.services.history import Completed
from evolution.services.known_rules import KnownRules
from evolution.services.pending import Pending

if TYPE_CHECKING:
    from collections.abc import Callable

    from evolution.cgp.engine import Request, Selection
    from evolution.models import Individual
    from evolution.services.evaluations import Want
    from evolution.services.judgement import Judgement
    from evolution.services.setups import ExperimentSetup
    from nest_build.rules import PlasticityRule

#: Generations that need no simulation are written together, at least so often, in s: a transaction
#: costs more than to compute one of them again.
WRITE_S = 0.1

# Equivalent forms of one rule differ in the last digits of their fitness, relatively by less.
_EQUIVALENT_FORMS = 1e-9


class Step(enum.Enum):
    """What an attempt to advance a run led to."""

    #: Evaluations are missing.
    WAITING = "waiting"
    #: The run has asked for evaluations that have to be made.
    ASKING = "asking"
    #: Everything that the run has asked for is known: it can be advanced again.
    READY = "ready"
    #: The run has ended, or somebody else has advanced it.
    OVER = "over"


class _Overtaken(Exception):
    """Somebody else has changed the run."""


def advance(
    setup: ExperimentSetup,
    run_id: int,
    in_hand: dict[int, RunInHand] | None = None,
    deadline: float = -math.inf,
) -> Step:
    """Take a run one step further if all that it has asked for is known, and as many as follow.

    A step answers the engine, completes the generation if nothing is missing, and asks for what is
    needed next. Everything is prepared first and then written in one short transaction, which
    fails if somebody else has changed the run: it is never advanced twice and never half. Steps
    that need no simulation share a transaction.

    Parameters
    ----------
    in_hand : dict, optional
        Runs by id as this worker has left them in earlier steps; kept up to date. They are not
        read again: whether somebody else has changed one shows when it is written.
    deadline : float
        By the monotonic clock; there is only one step after it.
    """
    in_hand = {} if in_hand is None else in_hand
    run = in_hand.pop(run_id, None) or _take(setup, run_id)
    if run is None:
        return Step.OVER
    try:
        step = run.step()
        while step is Step.READY and time.monotonic() < deadline:
            following = run.step()
            if following is Step.WAITING:
                break
            step = following
        if step is Step.READY and not run.is_written:
            run.write()
    except _Overtaken:
        return Step.OVER
    except IntegrityError:
        # Two workers wrote the same generation: the second one was late.
        if run.is_current():
            raise
        return Step.OVER
    if step is not Step.OVER:
        in_hand[run_id] = run
    return step


def _take(setup: ExperimentSetup, run_id: int) -> RunInHand | None:
    run = (
        Run.objects.running()
        .select_related("champion")
        .defer("champion__genome", "champion__mutated_genes", "champion__constants")
        .filter(pk=run_id)
        .first()
    )
    return None if run is None else RunInHand(setup, run)


class RunInHand:
    """A run between its steps, with its engine and what is known of its rules."""

    def __init__(self, setup: ExperimentSetup, run: Run) -> None:
        self._setup = setup
        self._run = run
        self._signature = setup.learning_task.signature
        self._engine = self._load_engine()
        self._pending = Pending(**(run.pending or {}))
        self._may_have_demands = run.pending is not None
        self.known = KnownRules(setup)
        # Whether all that was asked for was known then.
        self._is_ready = False
        #: Generations that are complete and not yet written.
        self._completed: list[Completed] = []
        self.is_written = True
        self._written_at = time.monotonic()

    def is_current(self) -> bool:
        """Tell whether nobody else has changed the run."""
        return Run.objects.filter(pk=self._run.pk, version=self._run.version).exists()

    def _load_engine(self) -> Engine:
        parameters = self._setup.evolution_parameters
        if self._run.engine_state is not None:
            return Engine.from_state(parameters, self._run.engine_state)
        return Engine.start(
            parameters,
            input_names=self._signature.input_names,
            n_branches=len(self._signature.branches),
            seed=self._run.seed,
        )

    def step(self) -> Step:
        setup, pending = self._setup, self._pending
        if pending.questions is None:
            return self._ask(None)
        asked = [key for _, key in pending.questions if key is not None]
        if not self._is_ready:
            self.known.look_up([*asked, *pending.born.values()])
        request = self._engine.ask()
        judgements = self._judgements(request)
        if judgements is None:
            if any(self.known.evaluation(key) is None for key in asked):
                # Asked for before the software was changed; nobody answers that any more.
                return self._ask(None)
            return Step.WAITING
        if setup.evolution_parameters.stop_at_baseline and not setup.look_up_baseline():
            is_asked = Demand.objects.filter(run=self._run).unsettled().exists()
            return Step.WAITING if is_asked else self._ask(None)
        self._count(request, judgements)
        born = [*(Candidate(**item) for item in pending.earlier), *request.born]
        selection = self._engine.tell(
            {key: -math.inf if item is None else item.fitness for key, item in judgements.items()}
        )
        if selection is None:
            pending.earlier = [asdict(candidate) for candidate in born]
            return self._ask(None)
        return self._ask(self._complete(born, selection))

    # --- answers ---

    def _judgements(self, request: Request) -> dict[int, Judgement | None] | None:
        """Return the judgement on each question, None while one is missing.

        A single judgement is None where there is no rule.
        """
        rule_of = dict(self._pending.questions)
        judgements: dict[int, Judgement | None] = {}
        for question in request.questions:
            key = rule_of[question.key]
            if key is None:
                judgements[question.key] = None
                continue
            judgement = self.known.judge(key, self.known.want(question.n_trials, question.bound))
            if judgement is None:
                return None
            judgements[question.key] = judgement
        return judgements

    def _count(self, request: Request, judgements: dict[int, Judgement | None]) -> None:
        """Note outcomes, and how many rules had to be simulated."""
        pending = self._pending
        rule_of = dict(pending.questions)
        counted: set[str] = set()
        for question in request.questions:
            judgement, key = judgements[question.key], rule_of[question.key]
            if question.index is not None:
                outcome = Outcome.INVALID if judgement is None else judgement.outcome
                pending.outcomes[str(question.index)] = str(outcome)
            if judgement is None or key in counted:
                continue
            counted.add(key)
            evaluation = self.known.evaluation(key)
            per_trial_s = evaluation.seconds / max(1, evaluation.n_trials_done)
            pending.n_evaluations += 1
            if key in pending.cached:
                pending.n_cached += 1
                pending.saved_s += per_trial_s * judgement.n_trials
            else:
                pending.simulated_s += evaluation.seconds
            if judgement.outcome is Outcome.PRUNED:
                pending.n_pruned += 1
                n_trials = self.known.want(question.n_trials, None).n_trials
                pending.saved_s += per_trial_s * (n_trials - judgement.n_trials)

    # --- history ---

    def _individuals(self, born: list[Candidate], selection: Selection) -> dict[int, Individual]:
        """Return the individuals of the completed generation by index."""
        pending = self._pending
        rule_of = {**pending.parents, **pending.born}
        individuals = {}
        for candidate in born:
            key = pending.born[str(candidate.index)]
            parent = candidate.parent_index
            individuals[candidate.index] = history.new_individual(
                self._run,
                candidate,
                selection,
                rule_id=None if key is None else self.known.id_of(key),
                evaluation=None if key is None else self.known.evaluation(key),
                outcome=self._outcome(candidate, selection),
                is_neutral=parent is not None and key is not None and key == rule_of[str(parent)],
                is_cached=candidate.fitness is None and key in pending.cached,
            )
        pending.parents = {str(index): rule_of[str(index)] for index in selection.parent_indices}
        return individuals

    def _outcome(self, candidate: Candidate, selection: Selection) -> str:
        if candidate.origin == "local search":
            return Outcome.EVALUATED
        if candidate.fitness is not None:
            return Outcome.INHERITED
        if candidate.index in selection.below_hurdle:
            return Outcome.HURDLE
        # The engine itself answers where a genome is too long to have a text.
        return self._pending.outcomes.get(str(candidate.index), Outcome.INVALID)

    # --- questions ---

    def _ask(self, completed: Completed | None) -> Step:
        """Ask for what is needed next; write that with what is complete unless nobody needs it."""
        if completed is not None:
            self._completed.append(completed)
            self._pending = Pending(parents=self._pending.parents)
            if stop_reason := self._take_over(completed):
                self.write(stop_reason=stop_reason)
                return Step.OVER
        request = self._engine.ask()
        rules = self._rules_of(request)
        wants = self._wants(request, rules)
        self._is_ready = not wants
        if wants:
            # Before the transaction: all experiments share the rules, and whoever adds the same one
            # would wait for its end. A rule that nobody needs in the end does no harm.
            rule_ids = evaluations.get_or_create_rules(
                self._signature,
                rules.values(),
                known=self.known.ids,
                is_shared=self._setup.is_shared,
            )
            self.write(lambda: self._write_demands(rules, rule_ids, wants))
            return Step.ASKING
        self.is_written = False
        if time.monotonic() - self._written_at >= WRITE_S:
            self.write()
        return Step.READY

    def write(
        self,
        write_demands: Callable[[], None] | None = None,
        stop_reason: StopReason | None = None,
    ) -> None:
        """Write what has changed since it was written last; end the run if there is a reason."""
        run = self._run
        with transaction.atomic():
            history.write(run, self._completed)
            if self._may_have_demands:
                Demand.objects.filter(run=run).delete()
            if write_demands is not None:
                write_demands()
            run.engine_state = self._engine.to_state()
            run.pending = vars(self._pending)
            run.last_progress_at = timezone.now()
            if stop_reason is None:
                is_saved = endings.save_run(run)
            else:
                is_saved = endings.end_run(run, ExperimentState.FINISHED, stop_reason)
            if not is_saved:
                raise _Overtaken
        run.version += 1
        self._may_have_demands = write_demands is not None
        self._completed = []
        self.is_written = True
        self._written_at = time.monotonic()

    def _rules_of(self, request: Request) -> dict[str, PlasticityRule]:
        """Note the rules that the request is about, and return them by key."""
        pending = self._pending
        rules: dict[str, PlasticityRule] = {}

        def key_of(texts: tuple[str, ...] | None) -> str | None:
            rule = None if texts is None else self.known.parse(texts)
            if rule is None:
                return None
            rules[rule.key] = rule
            return rule.key

        pending.questions = [
            (question.key, key_of(question.texts)) for question in request.questions
        ]
        pending.born.update(
            (str(candidate.index), key_of(candidate.texts)) for candidate in request.born
        )
        self.known.look_up(rules)
        asked = {key for _, key in pending.questions}
        pending.cached = [
            key for key in rules if key in asked and self.known.evaluation(key) is not None
        ]
        return rules

    def _wants(self, request: Request, rules: dict[str, PlasticityRule]) -> dict[str, Want]:
        """Return what has to be simulated, by rule."""
        wants: dict[str, Want] = {}
        rule_of = dict(self._pending.questions)
        for question in request.questions:
            key = rule_of[question.key]
            want = self.known.want(question.n_trials, question.bound)
            if key is not None and self.known.judge(key, want) is None:
                wants[key] = wants[key].merged(want) if key in wants else want
        # Pages compare with the rules of the literature; they are evaluated like all others.
        if not self._setup.look_up_baseline():
            baselines = {rule.key: rule for rule in self._setup.baseline_rules()}
            self.known.look_up(baselines.keys() - self.known.ids.keys())
            for key, rule in baselines.items():
                want = self.known.want(None, None)
                if self.known.judge(key, want) is None:
                    rules[key] = rule
                    wants[key] = want
        return wants

    def _write_demands(
        self, rules: dict[str, PlasticityRule], rule_ids: dict[str, int], wants: dict[str, Want]
    ) -> None:
        setup, run = self._setup, self._run
        missing = {rule_ids[key]: key for key in wants if self.known.evaluation(key) is None}
        ids = {key: self.known.evaluation(key).pk for key in wants if key not in missing.values()}
        complexities = {rule_id: rules[key].complexity for rule_id, key in missing.items()}
        new = evaluations.create_evaluations(setup.context, complexities)
        for rule_id, evaluation in new.items():
            ids[missing[rule_id]] = evaluation.pk
            self.known.expect(rule_id, missing[rule_id], evaluation)
        insert(
            [
                Demand(
                    experiment_id=setup.experiment_id,
                    run=run,
                    evaluation_id=ids[key],
                    n_trials=want.n_trials,
                    bound=want.bound,
                )
                for key, want in wants.items()
            ]
        )

    # --- completion ---

    def _complete(self, born: list[Candidate], selection: Selection) -> Completed:
        run, counts = self._run, self._pending
        individuals = self._individuals(born, selection)
        # Parents keep their order, so a new champion is one of this generation's individuals.
        champion = individuals.get(selection.champion_index, run.champion)
        former = run.champion
        new_rule = None
        if champion.rule_id is not None and champion.rule_id != (former and former.rule_id):
            texts_of = {candidate.index: candidate.texts for candidate in born}
            new_rule = self._record(tuple(texts_of[champion.index]), champion.rule_id)
        before = -math.inf if run.champion_fitness is None else run.champion_fitness
        return Completed(
            selection,
            counts,
            individuals,
            champion,
            is_improvement=selection.champion_fitness > before,
            new_rule=new_rule,
            at=timezone.now(),
        )

    def _record(self, texts: tuple[str, ...], rule_id: int) -> Rule:
        """Return the record of a rule without reading it."""
        rule = self.known.parse(texts)
        return Rule(
            pk=rule_id,
            signature=evaluations.signature_text(self._signature),
            expressions=list(rule.texts),
            complexity=rule.complexity,
        )

    def _take_over(self, completed: Completed) -> StopReason | None:
        """Bring the run's figures up to date; return why it ends now, if it does."""
        run, selection, counts = self._run, completed.selection, completed.counts
        run.champion = completed.champion
        run.champion_fitness = history.finite(selection.champion_fitness)
        run.n_generations_done = selection.generation
        run.n_evaluations += counts.n_evaluations
        run.n_cached += counts.n_cached
        run.n_pruned += counts.n_pruned
        run.simulated_s += counts.simulated_s
        run.saved_s += counts.saved_s
        if completed.is_improvement:
            run.improved_at_generation = selection.generation
        return self._stop_reason(selection)

    def _stop_reason(self, selection: Selection) -> StopReason | None:
        run, baseline = self._run, self._setup.baseline.value
        if (
            self._setup.evolution_parameters.stop_at_baseline
            and baseline is not None
            and selection.champion_fitness >= baseline - _EQUIVALENT_FORMS * abs(baseline)
        ):
            return StopReason.TARGET
        criterion = criterion_met(
            self._setup.evolution_parameters,
            Progress(
                generation=selection.generation,
                champion_fitness=selection.champion_fitness,
                improved_generation=run.improved_at_generation,
                n_evaluations=run.n_evaluations,
                wall_time_s=(timezone.now() - run.started_at).total_seconds() - run.paused_s,
            ),
        )
        return None if criterion is None else StopReason(criterion)
