"""Routes of the evolution app."""

from django.urls import path

from evolution.views import (
    activity,
    comparison,
    control,
    exchange,
    experiment,
    experiments,
    figures,
    held_out,
    individuals,
    lab,
    launch,
    operation,
    people,
    probes,
    recordings,
    rules,
    runs,
    sharing,
)

app_name = "evolution"

urlpatterns = [
    path("", experiments.experiment_list, name="experiments"),
    path("experiments/bulk/", experiments.bulk, name="bulk"),
    path("experiments/new/", launch.new_experiment, name="new-experiment"),
    path("experiments/estimate/", launch.estimate, name="estimate"),
    path("experiments/import/", exchange.bring_in, name="import-experiment"),
    path("experiments/<int:pk>/", experiment.page, name="experiment"),
    path("experiments/<int:pk>/export/", exchange.export, name="export-experiment"),
    path("experiments/<int:pk>/reproduce/", exchange.reproduce, name="reproduce-experiment"),
    path("experiments/<int:pk>/difference/", exchange.difference, name="experiment-difference"),
    path("experiments/<int:pk>/launch/", control.launch, name="launch-experiment"),
    path("experiments/<int:pk>/pause/", control.pause, name="pause-experiment"),
    path("experiments/<int:pk>/resume/", control.resume, name="resume-experiment"),
    path("experiments/<int:pk>/stop/", control.stop, name="stop-experiment"),
    path("experiments/<int:pk>/extend/", control.extend, name="extend-experiment"),
    path("experiments/<int:pk>/archive/", control.archive, name="archive-experiment"),
    path("experiments/<int:pk>/unarchive/", control.unarchive, name="unarchive-experiment"),
    path("experiments/<int:pk>/delete/", control.delete, name="delete-experiment"),
    path("experiments/<int:pk>/retry/", control.retry, name="retry-failures"),
    path("experiments/<int:pk>/labels/", control.labels, name="experiment-labels"),
    path("experiments/<int:pk>/actions/", experiment.actions, name="experiment-actions"),
    path("experiments/<int:pk>/figures/", experiment.figures, name="experiment-figures"),
    path("experiments/<int:pk>/records/", experiment.records, name="experiment-records"),
    path("experiments/<int:pk>/plot.json", experiment.plot, name="experiment-plot"),
    path("experiments/<int:pk>/band.json", experiment.band, name="experiment-band"),
    path("experiments/<int:pk>/state.json", experiment.state, name="experiment-state"),
    path("experiments/<int:pk>/known-rules/", experiment.known_rules, name="known-rules"),
    path("experiments/<int:pk>/history.csv", experiment.history, name="experiment-history"),
    path("experiments/<int:pk>/runs/<int:number>/", runs.lineage, name="run"),
    path("experiments/<int:pk>/runs/<int:number>/population/", runs.population, name="population"),
    path(
        "experiments/<int:pk>/runs/<int:number>/individuals/",
        individuals.individual_list,
        name="individuals",
    ),
    path(
        "experiments/<int:pk>/runs/<int:number>/individuals/<int:index>/",
        individuals.page,
        name="individual",
    ),
    path("experiments/<int:pk>/sharing/", sharing.page, name="sharing"),
    path("experiments/<int:pk>/sharing/visibility/", sharing.visibility, name="visibility"),
    path("experiments/<int:pk>/sharing/links/", sharing.create, name="create-link"),
    path(
        "experiments/<int:pk>/sharing/links/<int:link>/revoke/", sharing.revoke, name="revoke-link"
    ),
    path("shared/<str:secret>/", sharing.open_link, name="shared"),
    path("compare/", comparison.page, name="compare"),
    path("compare/<slug:name>.json", comparison.figure, name="compare-figure"),
    path("rules/", rules.rule_list, name="rules"),
    path("rules/front.json", rules.front, name="rules-front"),
    path("rules/<int:pk>/", rules.page, name="rule"),
    path("rules/<int:pk>/export/<slug:name>", rules.export, name="export-rule"),
    path("rules/<int:pk>/shape/<int:index>.json", probes.shape, name="rule-shape"),
    path("rules/<int:pk>/simulate/", probes.simulate, name="simulate-rule"),
    path("rules/<int:pk>/note/", lab.note, name="rule-note"),
    path("rules/front/validate/", held_out.validate_front, name="validate-front"),
    path("rules/<int:pk>/validate/", held_out.validate_rule, name="validate-rule"),
    path("rules/<int:pk>/validation/", held_out.rule_part, name="rule-validation"),
    path("rules/<int:pk>/validation/progress/", held_out.rule_progress, name="rule-validating"),
    path(
        "rules/<int:pk>/validation/<int:context_id>.json", held_out.trials, name="held-out-trials"
    ),
    path("rules/<int:pk>/robustness.json", held_out.tornado, name="rule-robustness"),
    path(
        "experiments/<int:pk>/validate/", held_out.validate_experiment, name="validate-experiment"
    ),
    path(
        "experiments/<int:pk>/validation/", held_out.experiment_part, name="experiment-validation"
    ),
    path("validations/<int:pk>/cancel/", held_out.cancel, name="cancel-validation"),
    path("simulations/<int:pk>/", probes.part, name="probe"),
    path("simulations/<int:pk>/panels/<int:index>.json", probes.panel, name="probe-panel"),
    path("figures/", figures.index, name="figures"),
    path("figures/<slug:name>/", figures.page, name="figure"),
    path("figures/<slug:name>/progress/", figures.progress, name="figure-progress"),
    path("figures/<slug:name>/simulate/", figures.simulate, name="figure-simulate"),
    path("figures/<slug:name>/panels/<slug:key>.json", figures.panel, name="figure-panel"),
    path("simulations/<int:pk>/recording.<str:kind>", recordings.file, name="probe-recording"),
    path("operation/", operation.page, name="operation"),
    path("operation/state/", operation.state, name="operation-state"),
    *(
        path(f"operation/{action}/", operation.order, {"action": action}, name=f"{action}-host")
        for action in ("drain", "resume", "restart")
    ),
    path("lab/", lab.page, name="lab"),
    path("lab/check/", lab.check, name="lab-check"),
    path("people/", people.page, name="people"),
    path("people/<int:pk>/role/", people.role, name="account-role"),
    path("people/<int:pk>/active/", people.active, name="account-active"),
    path("people/<int:pk>/password-link/", people.password_link, name="password-link"),
    path("activity/", activity.page, name="activity"),
    path("activity.csv", activity.table, name="activity-csv"),
]
