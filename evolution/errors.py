"""Errors that people get to read."""


class StateConflict(RuntimeError):
    """What was asked for does not fit the state an experiment is in now.

    The message is a sentence for people: somebody else may have been faster.
    """


class InvalidExperiment(ValueError):
    """The parts of an experiment do not fit together; the message says how."""
