"""The states that experiments, runs and evaluations pass through, and how individuals end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import TextChoices

if TYPE_CHECKING:
    from collections.abc import Iterable


class ExperimentState(TextChoices):
    """State of an experiment and of each of its runs."""

    CREATED = "created", "created"
    RUNNING = "running", "running"
    PAUSED = "paused", "paused"
    FINISHED = "finished", "finished"
    STOPPED = "stopped", "stopped"
    FAILED = "failed", "failed"
    #: Of experiments only: results of the literature, which cannot be changed.
    PUBLISHED = "published", "published"
    #: Of experiments only: read from an experiment file, and not changed here.
    IMPORTED = "imported", "imported"

    @property
    def is_final(self) -> bool:
        """True where nothing happens any more unless a person asks for it."""
        return self in {
            self.FINISHED,
            self.STOPPED,
            self.FAILED,
            self.PUBLISHED,
            self.IMPORTED,
        }

    @classmethod
    def of_runs(cls, states: Iterable[str]) -> ExperimentState:
        """Return the state of an experiment whose runs have these states."""
        present = {cls(state) for state in states}
        for state in (cls.RUNNING, cls.PAUSED, cls.FAILED, cls.STOPPED, cls.FINISHED):
            if state in present:
                return state
        return cls.CREATED


class StopReason(TextChoices):
    """Why a run ended."""

    GENERATIONS = "generations", "all generations done"
    TARGET = "target", "target fitness reached"
    EVALUATIONS = "evaluations", "all evaluations done"
    WALL_TIME = "wall time", "time is up"
    STAGNATION = "stagnation", "no fitter champion for too long"
    STOPPED = "stopped", "stopped by a person"
    ERROR = "error", "error"


class EvaluationState(TextChoices):
    """State of an evaluation: waiting for a worker, claimed by one, or with a result."""

    PENDING = "pending", "pending"
    CLAIMED = "claimed", "claimed"
    DONE = "done", "done"


class Origin(TextChoices):
    """Where an individual comes from."""

    RANDOM = "random", "drawn at random"
    GIVEN = "given", "given by a person"
    MUTATION = "mutation", "offspring by mutation"
    LOCAL_SEARCH = "local search", "constants tuned by a local search"


class Outcome(TextChoices):
    """How the fitness of an individual came about, or why it has none.

    The last five are the reasons of :class:`simulations.learning_tasks.Reason`.
    """

    EVALUATED = "evaluated", "simulated in all trials"
    INHERITED = "inherited", "that of its parent: only inactive genes differ"
    PRUNED = "pruned", "could not survive any more: not simulated in all trials"
    HURDLE = "hurdle", "below the hurdle"
    INVALID = "invalid", "no rule: its expression exceeds the limits"
    NOT_FINITE = "not finite", "not a finite number"
    TIME_LIMIT = "time limit", "time limit"
    CRASH = "crash", "crash of the simulator"
    ERROR = "error", "error of the simulation"

    @property
    def is_failure(self) -> bool:
        """True where the rule cannot be judged."""
        return self in {self.INVALID, self.NOT_FINITE, self.TIME_LIMIT, self.CRASH, self.ERROR}


class Role(TextChoices):
    """What an account may do; each is the name of a group. See :mod:`evolution.access`."""

    VIEWER = "viewer", "viewer"
    MEMBER = "member", "member"
    OPERATOR = "operator", "operator"


class Visibility(TextChoices):
    """Who may read an experiment besides its owner and operators."""

    LABORATORY = "laboratory", "everybody of the laboratory"
    PRIVATE = "private", "only its owner"


class Action(TextChoices):
    """What a person, or the command line, did; read after the person's name."""

    LAUNCHED = "launched", "launched"
    PAUSED = "paused", "paused"
    RESUMED = "resumed", "resumed"
    STOPPED = "stopped", "stopped"
    EXTENDED = "extended", "extended"
    ARCHIVED = "archived", "archived"
    UNARCHIVED = "unarchived", "taken out of the archive"
    RETRIED = "retried", "asked to repeat failed evaluations"
    IMPORTED = "imported", "imported from a file"
    LABELLED = "labelled", "changed tags and notes"
    HIDDEN = "hidden", "made it private"
    OPENED = "opened", "opened it to the laboratory"
    DELETED = "deleted", "deleted"
    LINK_MADE = "link made", "made a link"
    LINK_REVOKED = "link revoked", "revoked a link"
    EXPORTED = "exported", "downloaded"
    SIMULATED = "simulated", "asked for a simulation"
    NOTED = "noted", "named a rule"
    SIGNED_IN = "signed in", "signed in"
    SIGNED_OUT = "signed out", "signed out"
    SIGN_IN_FAILED = "sign-in failed", "failed to sign in"
    LOCKED_OUT = "locked out", "was locked out"
    ACCOUNT_CREATED = "account created", "created an account"
    ROLE_CHANGED = "role changed", "changed a role"
    DEACTIVATED = "deactivated", "deactivated an account"
    ACTIVATED = "activated", "activated an account"
    PASSWORD_LINK = "password link", "made a link to set a password"
    PASSWORD_SET = "password set", "set a password"
    SESSIONS_ENDED = "sessions ended", "signed out everywhere"
    TOKEN_MADE = "token made", "made a token"
    TOKEN_REVOKED = "token revoked", "revoked a token"

    @classmethod
    def of_experiments(cls) -> list[Action]:
        """Return what changes an experiment: its own page tells it to all its readers."""
        members = list(cls)
        return members[: members.index(cls.DELETED)]


class ContextPurpose(TextChoices):
    """What the trials of a context are for."""

    EVOLUTION = "evolution", "evolution"
    VALIDATION = "validation", "validation"
    ROBUSTNESS = "robustness", "robustness"
    #: Values of held-out trials from the literature; nobody simulates them.
    PUBLISHED = "published", "published"


class ValidationKind(TextChoices):
    """What a person wants to know of rules with held-out seeds."""

    VALIDATION = "validation", "validation"
    ROBUSTNESS = "robustness", "robustness"


class ValidationState(TextChoices):
    """State of a validation that a person asked for."""

    OPEN = "open", "open"
    FINISHED = "finished", "finished"
    CANCELLED = "cancelled", "cancelled"
    FAILED = "failed", "failed"


class Scope(TextChoices):
    """What a personal token may be used for, within what its owner may do."""

    READ = "read", "read what I may read"
    SIMULATE = "simulate", "simulate, keep and name rules"
    CONTROL = "control", "launch and control experiments"
    OPERATE = "operate", "manage accounts and workers, read the activity log"


class ProbeKind(TextChoices):
    """What a person wants to know of a rule."""

    BEHAVIOUR = "behaviour", "behaviour in one trial"
    FIGURE = "figure", "simulation of a figure of the paper"
    HELD_OUT = "held out", "held-out trials of a figure of the paper"


class ProbeState(TextChoices):
    """State of a simulation that a person asked for."""

    WAITING = "waiting", "waiting for a worker"
    RUNNING = "running", "running"
    FINISHED = "finished", "finished"
    FAILED = "failed", "failed"

    @property
    def is_final(self) -> bool:
        """True where nothing happens any more unless a person asks for it."""
        return self in {self.FINISHED, self.FAILED}
