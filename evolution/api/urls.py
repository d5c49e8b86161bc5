"""Routes of the API."""

from django.urls import path

from evolution.api import (
    comparison,
    descriptions,
    exchange,
    experiments,
    figures,
    operation,
    overview,
    people,
    rules,
    runs,
    schema,
    sharing,
    simulations,
    tokens,
    validations,
)

app_name = "api"

_experiment = "experiments/<id:pk>/"
_run = f"{_experiment}runs/<count:number>/"
_rule = "rules/<id:pk>/"

urlpatterns = [
    path("", overview.Root.as_view(), name="root"),
    path("schema/", schema.Schema.as_view(), name="schema"),
    path("reference/", schema.reference, name="reference"),
    path("status/", overview.Status.as_view(), name="status"),
    path("comparison/", comparison.Comparison.as_view(), name="comparison"),
    path("learning-tasks/", descriptions.LearningTaskList.as_view(), name="learning-tasks"),
    path(
        "learning-tasks/<str:name>/",
        descriptions.LearningTaskDetail.as_view(),
        name="learning-task",
    ),
    path(
        "evolution-parameters/",
        descriptions.EvolutionParameterList.as_view(),
        name="evolution-parameters",
    ),
    path("primitives/", descriptions.PrimitiveList.as_view(), name="primitives"),
    path("experiments/", experiments.ExperimentList.as_view(), name="experiments"),
    path("experiments/bulk/", experiments.ExperimentBulk.as_view(), name="bulk"),
    path("experiments/import/", exchange.ExperimentImport.as_view(), name="import"),
    path("experiments/estimate/", experiments.ExperimentEstimate.as_view(), name="estimate"),
    path(_experiment, experiments.ExperimentDetail.as_view(), name="experiment"),
    path(f"{_experiment}clone/", experiments.ExperimentClone.as_view(), name="clone"),
    path(f"{_experiment}extend/", experiments.ExperimentExtend.as_view(), name="extend"),
    *(
        path(f"{_experiment}{name}/", view.as_view(), name=name)
        for name, view in experiments.ACTIONS.items()
    ),
    path(f"{_experiment}export/", exchange.ExperimentExport.as_view(), name="export"),
    path(f"{_experiment}reproduce/", exchange.ExperimentReproduce.as_view(), name="reproduce"),
    path(f"{_experiment}difference/", exchange.ExperimentDifference.as_view(), name="difference"),
    path(f"{_experiment}links/", sharing.LinkList.as_view(), name="links"),
    path(f"{_experiment}links/<id:link>/", sharing.LinkDetail.as_view(), name="link"),
    path(f"{_experiment}figures/", experiments.ExperimentFigures.as_view(), name="figures-of"),
    path(
        f"{_experiment}validations/",
        validations.ExperimentValidations.as_view(),
        name="validations-of",
    ),
    path(f"{_experiment}champions/", validations.ExperimentChampions.as_view(), name="champions"),
    path(f"{_experiment}failures/", experiments.ExperimentFailures.as_view(), name="failures"),
    path(f"{_experiment}log/", experiments.ExperimentLog.as_view(), name="log"),
    path(f"{_experiment}history.csv", experiments.ExperimentHistory.as_view(), name="history"),
    path(f"{_experiment}runs/", runs.RunList.as_view(), name="runs"),
    path(_run, runs.RunDetail.as_view(), name="run"),
    path(f"{_run}generations/", runs.GenerationList.as_view(), name="generations"),
    path(f"{_run}generations/<count:index>/", runs.Population.as_view(), name="population"),
    path(f"{_run}individuals/", runs.IndividualList.as_view(), name="individuals"),
    path(f"{_run}individuals/<count:index>/", runs.IndividualDetail.as_view(), name="individual"),
    path(f"{_run}lineage/", runs.Lineage.as_view(), name="lineage"),
    path("contexts/", rules.ContextList.as_view(), name="contexts"),
    path("rules/", rules.RuleList.as_view(), name="rules"),
    path("rules/check/", rules.RuleCheck.as_view(), name="check"),
    path(
        "rules/front/validations/",
        validations.FrontValidations.as_view(),
        name="front-validations",
    ),
    path("rules/front/", rules.Front.as_view(), name="front"),
    path(_rule, rules.RuleDetail.as_view(), name="rule"),
    path(f"{_rule}forms/", rules.RuleForms.as_view(), name="forms"),
    path(f"{_rule}family/", rules.RuleFamily.as_view(), name="family"),
    path(f"{_rule}occurrences/", rules.RuleOccurrences.as_view(), name="occurrences"),
    path(f"{_rule}evaluations/", rules.RuleEvaluations.as_view(), name="evaluations"),
    path(f"{_rule}note/", rules.RuleNote.as_view(), name="note"),
    path(f"{_rule}exports/", rules.RuleExports.as_view(), name="exports"),
    path(f"{_rule}held-out/", validations.RuleHeldOut.as_view(), name="held-out"),
    path(f"{_rule}validations/", validations.RuleValidations.as_view(), name="validations"),
    path(f"{_rule}robustness/", validations.RuleRobustness.as_view(), name="robustness"),
    path(f"{_rule}simulations/", simulations.RuleSimulations.as_view(), name="simulations-of"),
    path(f"{_rule}shape/", rules.RuleShape.as_view(), name="shape"),
    path("validations/", validations.ValidationList.as_view(), name="all-validations"),
    path("validations/<id:pk>/", validations.ValidationDetail.as_view(), name="validation"),
    path("validations/<id:pk>/cancel/", validations.ValidationCancel.as_view(), name="cancel"),
    path("simulations/", simulations.SimulationList.as_view(), name="simulations"),
    path("simulations/<id:pk>/", simulations.SimulationDetail.as_view(), name="simulation"),
    path(
        "simulations/<id:pk>/panels/<count:index>/",
        simulations.SimulationPanel.as_view(),
        name="panel",
    ),
    path(
        "simulations/<id:pk>/recording.<str:kind>",
        simulations.SimulationRecording.as_view(),
        name="recording",
    ),
    path("figures/", figures.FigureList.as_view(), name="figures"),
    path("figures/<slug:name>/", figures.FigureDetail.as_view(), name="figure"),
    path(
        "figures/<slug:name>/simulations/",
        figures.FigureSimulations.as_view(),
        name="figure-simulations",
    ),
    path(
        "figures/<slug:name>/panels/<slug:key>/",
        figures.FigurePanel.as_view(),
        name="figure-panel",
    ),
    path("people/", people.PersonList.as_view(), name="people"),
    path("people/<id:pk>/", people.PersonDetail.as_view(), name="person"),
    path("activity/", people.ActivityList.as_view(), name="activity"),
    path("operation/", operation.Operation.as_view(), name="operation"),
    *(
        path(f"operation/{name}/", view.as_view(), name=f"{name}-host")
        for name, view in operation.ORDERS.items()
    ),
    path("tokens/", tokens.TokenList.as_view(), name="tokens"),
    path("tokens/<id:pk>/", tokens.TokenDetail.as_view(), name="token"),
]
