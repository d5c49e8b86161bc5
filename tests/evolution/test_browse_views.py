"""The pages of runs, individuals and rules: they work, are closed to strangers, take anything."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse

from evolution.models import Evaluation, Experiment, Individual, Rule, Run
from evolution.views import individuals
from tests.evolution.conftest import launch, work_until_idle
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse
    from django.test import Client

pytestmark = pytest.mark.django_db

MAX_QUERIES = 12


@pytest.fixture
def ann(client, django_user_model) -> Client:
    client.force_login(django_user_model.objects.create_user("ann"))
    return client


@pytest.fixture
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    experiment = make_experiment(n_runs=2, n_generations=9)
    experiment.name = "A <b>bold</b> test"
    experiment.save()
    launch(experiment)
    work_until_idle()
    experiment.refresh_from_db()
    return experiment


@pytest.fixture
def run(experiment: Experiment) -> Run:
    return experiment.runs.get(index=1)


def text_of(response: HttpResponse) -> str:
    """Return the text of a page without tags."""
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", html.unescape(text))


def addresses(run: Run) -> dict[str, str]:
    experiment = run.experiment
    numbers = [experiment.pk, run.index + 1]
    return {
        "run": reverse("evolution:run", args=numbers),
        "population": reverse("evolution:population", args=numbers),
        "individuals": reverse("evolution:individuals", args=numbers),
        "individual": reverse("evolution:individual", args=[*numbers, run.champion.index]),
        "rules": f"/rules/?task={NAME}",
        "rule": run.champion.rule.get_absolute_url(),
        "front": f"/rules/front.json?task={NAME}&context={experiment.context_id}",
    }


# --- the ladder that every route stands on ------------------------------------------------------


def test_every_page_works_in_few_statements(ann, run, django_assert_max_num_queries):
    for name, path in addresses(run).items():
        with django_assert_max_num_queries(MAX_QUERIES):
            response = ann.get(path)
        assert response.status_code == 200, name
        if name != "front":
            markup = response.content.decode()
            assert "<b>bold</b>" not in markup
            assert markup.count("<h1") == 1
            assert " style=" not in markup
            assert "<script>" not in markup


def test_strangers_are_sent_to_the_sign_in(client, run):
    for path in addresses(run).values():
        response = client.get(path)
        assert response.status_code == 302
        assert response.url.startswith("/sign-in/?next=/")


def test_wrong_methods_are_refused(ann, run):
    for path in addresses(run).values():
        for method in (ann.post, ann.put, ann.delete):
            assert method(path).status_code == 405


@pytest.mark.parametrize("number", [0, 3, 2**31 - 1])
def test_unknown_runs_are_not_found(ann, run, number):
    for name in ("run", "population", "individuals"):
        response = ann.get(reverse(f"evolution:{name}", args=[run.experiment_id, number]))
        assert response.status_code == 404
        assert f"has no run {number}." in text_of(response)
    path = reverse("evolution:individual", args=[run.experiment_id, number, 0])
    assert ann.get(path).status_code == 404


@pytest.mark.parametrize("number", [10**6, 2**31 - 1])
def test_unknown_experiments_individuals_and_rules_are_not_found(ann, run, number):
    response = ann.get(reverse("evolution:run", args=[number, 1]))
    assert response.status_code == 404
    assert f"There is no experiment {number}." in text_of(response)
    path = reverse("evolution:individual", args=[run.experiment_id, 2, number])
    assert f"has no individual {number}." in text_of(ann.get(path))
    response = ann.get(reverse("evolution:rule", args=[number]))
    assert response.status_code == 404
    assert f"There is no rule {number}." in text_of(response)
    assert ann.get(f"/rules/front.json?task={NAME}&context={number}").status_code == 404
    assert ann.get("/rules/?task=unheard-of").status_code == 404


# --- runs ---------------------------------------------------------------------------------------


def test_the_lineage_tells_the_whole_way_of_the_champion(ann, run):
    markup = ann.get(addresses(run)["run"]).content.decode()
    individual, changed, n_neutral = run.champion, [], 0
    while individual is not None:
        if individual.is_neutral:
            n_neutral += 1
        else:
            changed.append(individual)
        parent = individual.parent_index
        individual = None if parent is None else run.individuals.get(index=parent)
    found = [int(n) for n in re.findall(r"/individuals/(\d+)/\">individual", markup)]
    assert found[: len(changed)] == [i.index for i in reversed(changed)]
    collapsed = [int(n) for n in re.findall(r"<span>(\d+) neutral step", markup)]
    assert sum(collapsed) == n_neutral
    assert markup.count('class="genome__svg"') == len(changed)
    for one in changed:
        assert one.rule.mathml[0] in markup


def test_a_run_without_generations_has_empty_pages(ann, make_experiment):
    experiment = make_experiment(n_runs=1)
    run = experiment.runs.get()
    for name in ("run", "population", "individuals"):
        response = ann.get(reverse(f"evolution:{name}", args=[experiment.pk, 1]))
        assert response.status_code == 200
    assert "no champion yet" in text_of(ann.get(run.get_absolute_url()))


def test_the_population_of_a_generation_is_that_of_the_rows(ann, run):
    for generation in run.generations.filter(index__in=[0, 7]):
        markup = ann.get(f"{addresses(run)['population']}?generation={generation.index}")
        found = [
            int(n) for n in re.findall(r"/individuals/(\d+)/\">\d+</a>", markup.content.decode())
        ]
        (parents,) = generation.parents
        born = run.individuals.filter(birth_generation=generation.index)
        others = sorted({i.index for i in born} - set(parents))
        assert found == [*parents, *others]


@pytest.mark.parametrize("asked", ["99999", "-1", "x", "1e3", "٣", "9" * 400])
def test_a_generation_that_is_not_there_is_answered_by_a_message(ann, run, asked):
    response = ann.get(addresses(run)["population"], {"generation": asked})
    assert response.status_code == 400
    assert "There is no generation" in text_of(response)


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("outcome=inherited", lambda i: i.outcome == "inherited"),
        ("origin=random", lambda i: i.origin == "random"),
        ("generation_min=3&generation_max=5", lambda i: 3 <= i.birth_generation <= 5),
        ("fitness_min=-2", lambda i: i.fitness is not None and i.fitness >= -2),
        ("fitness_max=-2&outcome=", lambda i: i.fitness is not None and i.fitness <= -2),
    ],
)
def test_the_table_of_individuals_filters(ann, run, query, condition):
    response = ann.get(f"{addresses(run)['individuals']}?{query}")
    expected = [i for i in run.individuals.order_by("index") if condition(i)]
    assert expected
    assert f"{len(expected)} individual" in text_of(response)
    shown = [i.index for i in response.context["page"]]
    assert shown == [i.index for i in expected[:50]]


def test_the_table_of_individuals_sorts_and_pages(ann, run, monkeypatch):
    monkeypatch.setattr(individuals, "PER_PAGE", 10)
    path = addresses(run)["individuals"]
    first = ann.get(f"{path}?sort=-fitness").context["page"]
    second = ann.get(f"{path}?sort=-fitness&page=2").context["page"]
    everybody = sorted(
        run.individuals.all(),
        key=lambda i: (-i.fitness if i.fitness is not None else float("inf"), i.index),
    )
    assert [i.index for i in [*first, *second]] == [i.index for i in everybody[:20]]
    assert ann.get(f"{path}?page=9999").status_code == 200
    assert ann.get(f"{path}?page=nonsense").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "outcome=nonsense",
        "origin=%00",
        "generation_min=x",
        "generation_min=9&generation_max=2",
        "fitness_min=nan",
        "fitness_min=inf",
        "generation_max=99999999999999999999",
        "sort=drop+table",
    ],
)
def test_filters_that_do_not_fit_get_a_message(ann, run, query):
    response = ann.get(f"{addresses(run)['individuals']}?{query}")
    assert response.status_code == 400
    assert "Some filters do not fit" in text_of(response)
    assert 'class="errorlist"' in response.content.decode()


# --- individuals --------------------------------------------------------------------------------


def test_an_individual_shows_genome_trials_parent_and_offspring(ann, run):
    individual = next(
        i
        for i in run.individuals.order_by("index")
        if i.parent_index is not None
        and i.outcome == "evaluated"
        and run.individuals.filter(parent_index=i.index).exists()
    )
    response = ann.get(individual.get_absolute_url())
    markup, text = response.content.decode(), text_of(response)
    context = response.context
    assert context["parent"].index == individual.parent_index
    assert [i.index for i in context["offspring"]] == list(
        run.individuals.filter(parent_index=individual.index)
        .order_by("index")
        .values_list("index", flat=True)[:24]
    )
    assert [trial["value"] for trial in context["trials"]] == individual.evaluation.trials
    assert "Its rule was simulated in all trials." in text
    (drawing,) = [item["drawing"] for item in context["drawings"]]
    assert len(drawing.nodes) == 3 + run.experiment.evolution_parameters["n_columns"]
    assert markup.count('class="node ') == len(drawing.nodes) + 1
    assert "The nodes as a table" in markup


@pytest.mark.parametrize("outcome", ["not finite", "inherited", "invalid"])
def test_every_outcome_is_explained(ann, run, outcome):
    individual = Individual.objects.filter(outcome=outcome).first()
    if individual is None:
        individual = run.individuals.order_by("index").last()
        individual.outcome, individual.fitness = outcome, None
        individual.rule = individual.evaluation = None
        individual.save()
    response = ann.get(individual.get_absolute_url())
    assert response.status_code == 200
    assert response.context["explanation"] in text_of(response)


def test_why_a_trial_failed_is_said_and_escaped(ann, run, django_user_model):
    individual = run.individuals.filter(outcome="evaluated").first()
    Evaluation.objects.filter(pk=individual.evaluation_id).update(
        trials=[-1.0], n_trials_done=1, reason="error", detail="<script>alert(1)</script>"
    )
    markup = ann.get(individual.get_absolute_url()).content.decode()
    assert "error of the simulation" in markup
    assert "alert(1)" not in markup  # tracebacks are for operators
    ann.force_login(django_user_model.objects.create_superuser("op"))
    markup = ann.get(individual.get_absolute_url()).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in markup
    assert "<script>alert" not in markup


def test_genomes_that_cannot_be_read_any_more_do_not_break_their_pages(ann, run):
    run.individuals.update(genome="0 1", mutated_genes="")
    for name in ("run", "individual"):
        assert ann.get(addresses(run)[name]).status_code == 200


# --- rules --------------------------------------------------------------------------------------


def test_any_form_finds_a_rule_and_leads_to_its_page(ann, run):
    rule = Rule.objects.get(expressions=["(v - u)*s"])
    response = ann.get("/rules/", {"task": NAME, "q": "s*v - s*u"})
    assert [row["item"].rule for row in response.context["rows"]] == [rule]
    markup = ann.get(rule.get_absolute_url()).content.decode()
    assert "This is the rule of the literature" in markup
    assert r"\left(v - u\right) s" in markup


def test_a_rule_that_nobody_found_is_shown_as_it_was_understood(ann, run):
    response = ann.get("/rules/", {"task": NAME, "q": "v**7 + 3*u**5"})
    assert response.status_code == 200
    assert "Nobody has found" in text_of(response)
    assert "<math" in response.content.decode()


@pytest.mark.parametrize(
    "text",
    [
        "s*(v - z)",
        "s*(",
        "<script>alert(1)</script>",
        "__import__('os').system('true')",
        "v; u",
        ";",
        "9" * 4000 + "z",
        "\x00",
        "(" * 3000,
    ],
)
def test_text_that_is_no_rule_gets_a_message_and_is_escaped(ann, run, text):
    response = ann.get("/rules/", {"task": NAME, "q": text})
    assert response.status_code == 400
    assert "<script>" not in response.content.decode()
    assert 'class="errorlist"' in response.content.decode()


def test_the_message_names_the_column(ann, run):
    response = ann.get("/rules/", {"task": NAME, "q": "s*(v - z)"})
    assert "(column 8)" in text_of(response)
    assert "<mark>z</mark>" in response.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        "fitness_min=x",
        "fitness_min=nan",
        "complexity_min=-1",
        "complexity_min=7&complexity_max=3",
        "sort=nonsense",
        "context=4711",
        "match=nonsense",
    ],
)
def test_filters_of_rules_that_do_not_fit_get_a_message(ann, run, query):
    response = ann.get(f"/rules/?task={NAME}&{query}")
    assert response.status_code == 400
    assert 'class="errorlist"' in response.content.decode()


@pytest.mark.parametrize("page", ["0", "-1", "x", "2", "9999999", "٣"])
def test_pages_of_rules_that_are_not_there_do_not_crash(ann, run, page):
    assert ann.get(f"/rules/?task={NAME}&page={page}").status_code == 200
    path = addresses(run)["rule"]
    assert ann.get(f"{path}?page={page}&forms={page}").status_code == 200


def test_the_catalogue_is_empty_at_first(ann):
    text = text_of(ann.get("/rules/"))
    assert "No rule has been found for this learning task yet." in text


def test_the_front_holds_the_points_of_the_catalogue(ann, run):
    from evolution import catalogue, fronts
    from simulations.learning_tasks import get_learning_task

    (context,) = catalogue.contexts(get_learning_task(NAME), Experiment.objects.all())
    points = fronts.pareto_fronts(fronts.fittest_by_complexity(context.pk, context.n_trials), 3)
    answer = ann.get(addresses(run)["front"]).json()
    text = json.dumps(answer)
    for layer, name in enumerate(("Pareto front", "second front", "third front")):
        assert (f"front-{layer}" in text) == any(point.layer == layer for point in points)
        assert name in text
    assert "/rules/@rule/" in text
    assert len(text) < 300_000
    bad = ann.get(f"{addresses(run)['front']}&scale=cubic")
    assert bad.status_code == 400


def test_the_experiment_leads_to_runs_and_rules(ann, run):
    markup = ann.get(run.experiment.get_absolute_url()).content.decode()
    assert f'href="{run.get_absolute_url()}"' in markup
    assert 'href="/rules/"' in markup
    assert re.search(r'href="/rules/\d+/"', markup)
