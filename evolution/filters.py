"""What people may ask lists for: forms whose every field may stay empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms

from evolution.enums import Action, Origin, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evolution.catalogue import Context

_LARGEST = 2**31 - 1


def _number(label: str) -> forms.FloatField:
    return forms.FloatField(label=label, required=False, widget=forms.TextInput(_DECIMAL))


def _count(label: str) -> forms.IntegerField:
    return forms.IntegerField(label=label, required=False, min_value=0, max_value=_LARGEST)


_DECIMAL = {"inputmode": "decimal", "autocomplete": "off"}


class _Filter(forms.Form):
    """A form of optional fields that is sent with GET; a range must not be empty."""

    ranges: Sequence[tuple[str, str]] = ()

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        self.label_suffix = ""

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        for low, high in self.ranges:
            if None not in (values.get(low), values.get(high)) and values[low] > values[high]:
                self.add_error(high, "This is less than the lower end.")
        return values

    @property
    def n_set(self) -> int:
        """How many conditions are set."""
        return sum(bool(self.data.get(name)) for name in self.fields if name != "sort")


class IndividualFilter(_Filter):
    """Which individuals of a run to list, and in which order."""

    ranges = (("generation_min", "generation_max"), ("fitness_min", "fitness_max"))
    SORTS = (
        ("", "number, first born first"),
        ("-index", "number, last born first"),
        ("-fitness", "fitness, fittest first"),
        ("fitness", "fitness, least fit first"),
        ("complexity", "complexity, simplest first"),
    )

    outcome = forms.ChoiceField(required=False, choices=[("", "any outcome"), *Outcome.choices])
    origin = forms.ChoiceField(required=False, choices=[("", "any origin"), *Origin.choices])
    generation_min = _count("Generation from")
    generation_max = _count("to")
    fitness_min = _number("Fitness from")
    fitness_max = _number("to")
    sort = forms.ChoiceField(label="Order by", required=False, choices=SORTS)


class RuleFilter(_Filter):
    """Which rules to list, and in which order.

    Parameters
    ----------
    contexts : sequence of Context
        Those of the learning task, between which people choose.
    """

    ranges = (("complexity_min", "complexity_max"), ("fitness_min", "fitness_max"))
    MATCHES = (("", "equivalent"), ("family", "or up to a positive factor"))
    SORTS = (
        ("fitness", "fitness, fittest first"),
        ("newest", "found last first"),
        ("oldest", "found first first"),
        ("simplest", "complexity, simplest first"),
    )

    q = forms.CharField(label="Expression", required=False, max_length=5000)
    match = forms.ChoiceField(label="Match", required=False, choices=MATCHES)
    context = forms.ChoiceField(label="Fitness in the trials of", required=False)
    fitness_min = _number("Fitness from")
    fitness_max = _number("to")
    complexity_min = _count("Complexity from")
    complexity_max = _count("to")
    sort = forms.ChoiceField(label="Order by", required=False, choices=SORTS)

    def __init__(
        self, data: Any = None, *, contexts: Sequence[Context] = (), **options: Any
    ) -> None:
        super().__init__(data, **options)
        self.contexts = {str(context.pk): context for context in contexts}
        self.fields["context"].choices = [
            ("", "any experiment (values are not comparable)"),
            *((key, context_label(context)) for key, context in self.contexts.items()),
        ]
        self.fields["q"].widget.attrs |= {
            "autocomplete": "off",
            "autocapitalize": "off",
            "spellcheck": "false",
        }


class ActivityFilter(_Filter):
    """Which entries of the audit log to list."""

    ranges = (("since", "until"),)

    q = forms.CharField(label="About", required=False, max_length=200)
    who = forms.CharField(label="Who", required=False, max_length=150)
    action = forms.ChoiceField(
        label="What", required=False, choices=[("", "anything"), *Action.choices]
    )
    since = forms.DateField(label="From", required=False, widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(label="to", required=False, widget=forms.DateInput({"type": "date"}))


class ComparisonFilter(_Filter):
    """How a comparison is drawn, and what is looked for to be added to it."""

    VIEWS = (("band", "Median"), ("curves", "Runs"))
    SCALES = (("log", "Error, log"), ("linear", "Fitness"))
    CLOCKS = (
        ("generations", "Generations"),
        ("evaluations", "Evaluations"),
        ("seconds", "Seconds"),
    )

    view = forms.ChoiceField(required=False, choices=VIEWS)
    scale = forms.ChoiceField(required=False, choices=SCALES)
    clock = forms.ChoiceField(required=False, choices=CLOCKS)
    target = _number("Target fitness")
    q = forms.CharField(label="Name, tag or number", required=False, max_length=200)


def context_label(context: Context) -> str:
    """Name a context by the experiments whose fitness values are comparable there."""
    names = list(dict.fromkeys(name for _, name in context.experiments))
    text = ", ".join(names[:2])
    if len(names) > 2:
        text += f" and {len(names) - 2} more"
    trials = "trial" if context.n_trials == 1 else "trials"
    return f"{text} · {context.n_trials} {trials}, seed {context.seed}"
