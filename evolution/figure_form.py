"""What people may choose of a figure of the paper. The choice stands in the address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django import forms

from evolution import access, figure_choice
from nest_build.rules import MAX_LENGTH, RuleSyntaxError

if TYPE_CHECKING:
    from evolution.access import Person
    from evolution.models import Experiment
    from nest_build.rules import PlasticityRule
    from simulations.figures.base import PaperFigure

_NONE = "none"


class FigureForm(forms.Form):
    """Experiment, run and rule of a figure; all may stay empty.

    Parameters
    ----------
    figure : PaperFigure
    reader : User or AnonymousUser
        Only what this person may read can be chosen.
    """

    experiment = forms.ChoiceField(label="Experiment", required=False)
    run = forms.IntegerField(
        label="Run",
        required=False,
        min_value=1,
        max_value=100,
        widget=forms.TextInput({"inputmode": "numeric", "size": "4", "placeholder": "fittest"}),
    )
    rule = forms.CharField(
        label="Rule",
        required=False,
        max_length=2 * MAX_LENGTH,
        widget=forms.TextInput(
            {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}
        ),
    )

    def __init__(self, data: Any, *, figure: PaperFigure, reader: Person) -> None:
        super().__init__(data, label_suffix="")
        self.figure = figure
        self.reader = reader
        self.readable = access.visible_experiments(reader)
        offered = figure_choice.offered_experiments(figure, self.readable)
        self.offered = list(offered[: figure_choice.N_OFFERED])
        self.default = next(
            (own for own in self.offered if figure_choice.has_papers_parameters(figure, own)), None
        )
        if self.default is None and len(self.offered) == figure_choice.N_OFFERED:
            self.default = figure_choice.default_experiment(figure, self.readable)
        wanted = self.data.get("experiment", "")
        self.experiments = {str(own.pk): own for own in filter(None, (*self.offered, self.default))}
        if wanted not in self.experiments and re.fullmatch("[0-9]{1,18}", wanted):
            # One that is not among the latest.
            found = offered.filter(pk=int(wanted)).first()
            if found is not None:
                self.experiments[wanted] = found
        self.fields["experiment"].choices = [
            ("", f"latest with the paper's parameters ({self.default.pk})" if self.default
             else "latest with the paper's parameters (there is none)"),
            (_NONE, "none: published runs only"),
            *((key, f"{key} · {own.name}") for key, own in self.experiments.items()),
        ]  # fmt: skip
        self.fields["experiment"].error_messages["invalid_choice"] = (
            "There is no such experiment of this learning task."
        )
        if figure.path_key is None:
            del self.fields["run"]
        branches = figure.learning_task.signature.branches
        shown = " ; ".join(figure.shown_rule.expressions)
        self.fields["rule"].widget.attrs["placeholder"] = shown
        self.fields["rule"].help_text = (
            "An expression"
            + (f" for each of {' ; '.join(branches)}" if len(branches) > 1 else "")
            + ", or the number of a rule of the catalogue."
        )

    def clean_rule(self) -> PlasticityRule | None:
        text = self.cleaned_data["rule"].strip()
        if not text:
            return None
        expressions = tuple(part.strip() for part in text.split(";"))
        if re.fullmatch("[0-9]{1,18}", text):
            record = access.visible_rules(self.reader).filter(pk=int(text)).first()
            if record is None:
                raise forms.ValidationError(f"There is no rule {text} in the catalogue.")
            expressions = tuple(record.expressions)
        try:
            return self.figure.rule(expressions)
        except RuleSyntaxError as error:
            where = "" if error.column is None else f" (column {error.column})"
            raise forms.ValidationError(f"{error.message}{where}") from None

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        experiment, number = self._experiment(values), values.get("run")
        if number is not None and (experiment is None or number > experiment.n_runs):
            self.add_error("run", "The experiment has no such run.")
        return values

    def choice(self) -> figure_choice.FigureChoice:
        """Return what was chosen, and what stands for what was not, or is wrong."""
        values = self.cleaned_data if self.is_valid() else {}
        return figure_choice.FigureChoice(
            figure=self.figure,
            experiment=self._experiment(values),
            published=figure_choice.published_experiment(self.figure, self.readable),
            rule=values.get("rule"),
            run_number=values.get("run"),
        )

    def _experiment(self, values: dict[str, Any]) -> Experiment | None:
        key = values.get("experiment", "")
        return None if key == _NONE else self.experiments.get(key, self.default)
