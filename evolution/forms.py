"""The forms of experiments: the new one, its extension, its labels, and those of the list."""

from __future__ import annotations

import hashlib
import re
import sys
import typing
import uuid
from dataclasses import dataclass
from typing import Any

from django import forms

from evolution.cgp.parameters import EvolutionParameters
from evolution.enums import ExperimentState, Visibility
from evolution.listing import ORDERS, Filters
from evolution.models.experiment import MAX_RUNS
from evolution.parameter_fields import as_typed, label_of, parameter_field
from evolution.services import several
from simulations.parameters import ParameterError, Parameters

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from evolution.models import Experiment
    from simulations.learning_tasks import LearningTask, Preset
    from simulations.parameters import TaskParameters

#: Seeds reach NumPy's legacy generator and NEST, which take 32 bits; trials and runs count up
#: from the seed, so that the last ones are kept free.
MAX_SEED = 2**32 - 1_000_000

MAX_TAGS = 12
MAX_TAG_LENGTH = 30

_TASK = "task"
_EVOLUTION = "evolution"


@dataclass(frozen=True)
class FieldGroup:
    """Fields under one heading; forms fold the advanced ones away."""

    heading: str
    fields: list[forms.BoundField]
    advanced: list[forms.BoundField]

    @property
    def advanced_has_errors(self) -> bool:
        """Whether the folded part must be shown open."""
        return any(field.errors for field in self.advanced)


class ExtensionForm(forms.Form):
    """More generations or more runs for an experiment.

    The page's own numbers come along, so that two people who extend the same page do not add up.
    """

    n_generations = forms.IntegerField(
        label="Generations of each run", min_value=1, max_value=1_000_000
    )
    n_runs = forms.IntegerField(label="Runs", min_value=1, max_value=MAX_RUNS)
    seen_generations = forms.IntegerField(widget=forms.HiddenInput)
    seen_runs = forms.IntegerField(widget=forms.HiddenInput)

    @classmethod
    def for_experiment(cls, experiment: Experiment) -> typing.Self:
        """Return the form as a page shows it first."""
        n_generations = experiment.evolution_parameters["n_generations"]
        return cls(
            initial={
                "n_generations": 2 * n_generations,
                "n_runs": experiment.n_runs,
                "seen_generations": n_generations,
                "seen_runs": experiment.n_runs,
            }
        )


class ListForm(forms.Form):
    """What people look for in the list of experiments."""

    q = forms.CharField(
        label="Name, tag or number",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    state = forms.ChoiceField(required=False)
    task = forms.ChoiceField(label="Learning task", required=False)
    owner = forms.ChoiceField(required=False)
    show = forms.ChoiceField(
        label="Archive",
        required=False,
        choices=[("", "not archived"), ("archived", "archived"), ("all", "all")],
    )
    sort = forms.ChoiceField(label="Order", required=False, choices=list(ORDERS.items()))

    def __init__(
        self,
        data: Mapping[str, Any],
        *,
        tasks: Mapping[str, str],
        owners: Callable[[], Sequence[str]],
    ) -> None:
        super().__init__(data)
        self.fields["state"].choices = [("", "any"), *ExperimentState.choices]
        self.fields["task"].choices = [("", "any"), *tasks.items()]
        # Asked for only where they are shown, or one of them is looked for.
        self.fields["owner"].choices = lambda: [
            ("", "anybody"),
            *((name, name) for name in owners()),
        ]

    @property
    def filters(self) -> Filters:
        """What was asked for, without what there is no such thing of."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


class BulkForm(forms.Form):
    """Experiments that were chosen in the list, and what shall be done to them."""

    action = forms.ChoiceField(choices=[(name, name) for name in ("compare", *several.ACTIONS)])
    experiment = forms.TypedMultipleChoiceField(
        coerce=int, required=False, error_messages={"invalid_choice": "No such number."}
    )
    query = forms.CharField(required=False, max_length=2000)

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        # Numbers of experiments, which may have been deleted meanwhile.
        numbers = [text for text in data.getlist("experiment") if re.fullmatch("[0-9]{1,18}", text)]
        self.fields["experiment"].choices = [(text, text) for text in numbers]


class DeletionForm(forms.Form):
    """The name or the number of an experiment, typed by whoever wants to delete it."""

    confirmation = forms.CharField(label="Name or number of the experiment", max_length=200)

    def __init__(self, data: Mapping[str, Any] | None = None, *, experiment: Experiment) -> None:
        super().__init__(data)
        self.experiment = experiment

    def clean_confirmation(self) -> str:
        """Accept the name as it stands on the page, or the number with or without a #."""
        typed = self.cleaned_data["confirmation"]
        name = " ".join(self.experiment.name.split())
        if typed.removeprefix("#") != str(self.experiment.pk) and " ".join(typed.split()) != name:
            raise forms.ValidationError("This is neither its name nor its number.")
        return typed


class TagsField(forms.CharField):
    """A list of short words, in lower case and each once."""

    def prepare_value(self, value: Any) -> str:
        """Return the text that the form shows."""
        return ", ".join(value) if isinstance(value, list) else value or ""

    def to_python(self, value: Any) -> list[str]:
        """Return the words of a text with commas or spaces between them."""
        words = re.split(r"[,;\s]+", super().to_python(value).casefold())
        return list(dict.fromkeys(word.lstrip("#") for word in words if word.lstrip("#")))

    def run_validators(self, value: list[str]) -> None:
        """Leave the limits to :meth:`validate`."""

    def validate(self, value: list[str]) -> None:
        """Allow a few short words without marks that addresses would have to escape."""
        for word in value:
            if len(word) > MAX_TAG_LENGTH:
                raise forms.ValidationError(
                    f"A tag has at most {MAX_TAG_LENGTH} characters: “{word[:MAX_TAG_LENGTH]}…”."
                )
            if not re.fullmatch(r"[\w.+-]+", word):
                raise forms.ValidationError(
                    f"A tag is made of letters, digits and - _ . +, unlike “{word}”."
                )
        if len(value) > MAX_TAGS:
            raise forms.ValidationError(f"An experiment has at most {MAX_TAGS} tags.")


class LabelsForm(forms.Form):
    """Tags and notes of an experiment.

    What the page showed comes along, so that one person's notes do not overwrite another's unseen.
    """

    tags = TagsField(
        required=False, help_text="Short words with commas between them, such as pilot, paper-fig5."
    )
    notes = forms.CharField(
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="Plain text.",
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    @classmethod
    def for_experiment(cls, experiment: Experiment) -> typing.Self:
        """Return the form as a page shows it first."""
        return cls(
            initial={
                "tags": experiment.tags,
                "notes": experiment.notes,
                "seen": labels_digest(experiment),
            }
        )


def labels_digest(experiment: Experiment) -> str:
    """Return a short text that changes with the tags and the notes."""
    text = "\0".join([*experiment.tags, experiment.notes])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class ExperimentForm(forms.Form):
    """A new experiment of one learning task, filled in from one of its presets.

    The form of a copy is filled in from the original instead.

    After validation ``task_parameters`` and ``evolution_parameters`` hold the typed parameters.
    """

    name = forms.CharField(max_length=200, help_text="How you will find it again.")
    n_runs = forms.IntegerField(
        label="Runs",
        min_value=1,
        max_value=MAX_RUNS,
        help_text="Independent evolutions, each with a seed of its own.",
    )
    seed = forms.IntegerField(
        min_value=0,
        max_value=MAX_SEED,
        help_text="The same seed gives the same history, run by run.",
    )
    visibility = forms.TypedChoiceField(
        label="Who may read it",
        choices=[(choice.value, choice.label) for choice in Visibility],
        coerce=Visibility,
        empty_value=Visibility.LABORATORY,
        required=False,
    )
    submission_token = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        learning_task: LearningTask,
        preset: Preset,
        original: Experiment | None = None,
    ) -> None:
        self.learning_task = learning_task
        self.preset = preset
        self.original = original
        #: What of the original cannot be taken over as it is, for people to read.
        self.notices: list[str] = []
        self.task_parameters: TaskParameters | None = None
        self.evolution_parameters: EvolutionParameters | None = None
        self._sets: dict[str, type[Parameters]] = {
            _TASK: learning_task.parameters_type,
            _EVOLUTION: EvolutionParameters,
        }
        initial = {
            "name": f"{learning_task.title}, {preset.label}",
            "n_runs": preset.n_runs,
            "seed": preset.seed,
            "visibility": Visibility.LABORATORY,
            "submission_token": uuid.uuid4(),
            **_prefixed(_TASK, preset.task_parameters.to_mapping()),
            **_prefixed(
                _EVOLUTION, EvolutionParameters.from_mapping(preset.evolution).to_mapping()
            ),
            **({} if original is None else self._values_of(original)),
        }
        super().__init__(data, initial=initial)
        for prefix, parameters_type in self._sets.items():
            for name, description in parameters_type.descriptions().items():
                self.fields[f"{prefix}-{name}"] = parameter_field(description)

    @property
    def general_fields(self) -> list[forms.BoundField]:
        """Fields that every experiment has."""
        return [self[name] for name in ("name", "n_runs", "seed", "visibility")]

    @property
    def task_groups(self) -> list[FieldGroup]:
        """Fields of the learning task, by heading."""
        return list(self._groups(_TASK))

    @property
    def evolution_groups(self) -> list[FieldGroup]:
        """Fields of the evolution, by heading."""
        return list(self._groups(_EVOLUTION))

    def clean(self) -> dict[str, Any]:
        """Validate both sets of parameters; each message goes to its field."""
        self.task_parameters = self._parameters(_TASK)
        self.evolution_parameters = self._parameters(_EVOLUTION)
        if self.evolution_parameters is not None:
            n_trials = self.cleaned_data.get(f"{_TASK}-n_trials")
            if self.task_parameters is None and not n_trials:
                n_trials = sys.maxsize  # there is a message at it already
            try:
                self.evolution_parameters.check_against(self.learning_task.signature, n_trials)
            except ParameterError as error:
                self._add_messages(_EVOLUTION, error.messages)
        return self.cleaned_data

    def _add_messages(self, prefix: str, messages: Mapping[str, list[str]]) -> None:
        for name, texts in messages.items():
            for text in texts:
                self.add_error(f"{prefix}-{name}" if name else None, text)

    def _parameters(self, prefix: str) -> Parameters | None:
        """Return the set of parameters, None if a value does not fit; all messages are added.

        Where a field holds no value of its type, the others are checked all the same. Combinations
        have to wait: the default that stands in for the missing value would give false messages.
        """
        parameters_type = self._sets[prefix]
        names = [f"{prefix}-{name}" for name in parameters_type.model_fields]
        is_complete = not any(name in self.errors for name in names)
        values = {
            name.partition("-")[2]: self.cleaned_data[name]
            for name in names
            if name not in self.errors
        }
        try:
            parameters = parameters_type.from_mapping(values)
        except ParameterError as error:
            self._add_messages(
                prefix,
                {name: texts for name, texts in error.messages.items() if name or is_complete},
            )
            return None
        return parameters if is_complete else None

    def _values_of(self, original: Experiment) -> dict[str, Any]:
        """Return the values of another experiment; note which of them do not fit any more."""
        values: dict[str, Any] = {
            "name": f"{original.name} (copy)"[:200],
            "n_runs": original.n_runs,
            "seed": original.seed,
            "visibility": original.visibility,
        }
        stored = {_TASK: original.task_parameters, _EVOLUTION: original.evolution_parameters}
        for prefix, parameters_type in self._sets.items():
            descriptions = parameters_type.descriptions()
            known = {name: value for name, value in stored[prefix].items() if name in descriptions}
            for name in sorted(stored[prefix].keys() - known.keys()):
                self.notices.append(
                    f"The parameter {name} ({stored[prefix][name]}) does not exist any more."
                )
            for name, description in descriptions.items():
                if name not in known:
                    self.notices.append(
                        f"{label_of(description)} is new since then, and has its default."
                    )
            try:
                parameters_type.from_mapping(known)
            except ParameterError as error:
                self.notices += [
                    f"{label_of(descriptions[name])}: {text}" if name else text
                    for name, texts in error.messages.items()
                    for text in texts
                ]
            values |= _prefixed(prefix, known)
        return values

    def _groups(self, prefix: str) -> Iterator[FieldGroup]:
        by_heading: dict[str, FieldGroup] = {}
        for name, description in self._sets[prefix].descriptions().items():
            heading = description.group or "General"
            group = by_heading.setdefault(heading, FieldGroup(heading, [], []))
            (group.advanced if description.advanced else group.fields).append(
                self[f"{prefix}-{name}"]
            )
        yield from by_heading.values()


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}-{name}": as_typed(value) for name, value in values.items()}
