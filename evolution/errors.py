"""Errors that people get to read."""


class StateConflict(RuntimeError):
    """What was asked for does not fit the state an experiment is in now.

    The message is a sentence for people: somebody else may have been faster.
    """


class InvalidExperiment(ValueError):
    """The parts of an experiment do not fit together; the message says how."""


class ComparisonError(ValueError):
    """What was chosen cannot be compared; the message says why.

    Attributes
    ----------
    is_missing : bool
        Whether something that was chosen does not exist.
    """

    def __init__(self, message: str, *, is_missing: bool = False) -> None:
        super().__init__(message)
        self.is_missing = is_missing


class ProbeRefused(ValueError):
    """A simulation that was asked for cannot be had now; the message says why."""


class ValidationRefused(ValueError):
    """A validation that was asked for cannot be had now; the message says why."""


class AccountRefused(ValueError):
    """An account cannot be made or changed as was asked for; the message says why."""


class KeyReused(ValueError):
    """An idempotency key comes with another request than the first time."""
