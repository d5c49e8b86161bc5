"""Routes of the evolution app."""

from django.urls import path

from evolution.views import experiment, experiments, individuals, launch, rules, runs

app_name = "evolution"

urlpatterns = [
    path("", experiments.experiment_list, name="experiments"),
    path("experiments/new/", launch.new_experiment, name="new-experiment"),
    path("experiments/estimate/", launch.estimate, name="estimate"),
    path("experiments/<int:pk>/", experiment.page, name="experiment"),
    path("experiments/<int:pk>/stop/", experiment.stop, name="stop-experiment"),
    path("experiments/<int:pk>/plot.json", experiment.plot, name="experiment-plot"),
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
    path("rules/", rules.rule_list, name="rules"),
    path("rules/front.json", rules.front, name="rules-front"),
    path("rules/<int:pk>/", rules.page, name="rule"),
]
