"""The rule page's microscope and the lab: they work, refuse bad input and escape what is typed."""

from __future__ import annotations

import html
import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evolution.models import Probe, Rule, RuleNote
from evolution.rule_shape import TAU_MS, shape_panels
from evolution.services import notes, probes
from nest_build.rules import PlasticityRule
from simulations.learning_tasks import get_learning_task
from simulations.panels import decimate
from tests.evolution.regression_task import NAME

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(client, django_user_model) -> Client:
    client.force_login(django_user_model.objects.create_user("ann"))
    return client


def rule_of(text: str, name: str = NAME) -> Rule:
    task = get_learning_task(name)
    return notes.add_to_catalogue(PlasticityRule.parse(task.signature, text.split(";")).canonical())


def text_of(response: HttpResponse) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", html.unescape(text))


def test_a_rule_is_simulated_from_its_page_and_the_answer_stays(ann: Client) -> None:
    rule = rule_of("v*s")
    address = f"/rules/{rule.pk}/simulate/"
    answer = ann.post(address, {"in": f"{NAME}/demo"})
    probe = Probe.objects.get()
    assert answer.url == f"/rules/{rule.pk}/#simulation-{probe.pk}"
    part = ann.get(f"/simulations/{probe.pk}/")
    assert "Waiting for a worker" in text_of(part)
    assert f'data-probe-socket="/ws/simulations/{probe.pk}/"' in part.content.decode()
    probes.run_probe(probe.pk, worker="a")
    part = ann.get(f"/simulations/{probe.pk}/")
    assert "data-probe-socket" not in part.content.decode()
    assert "simulated in less than 1 s" in text_of(part)
    assert "simulated in less than 1 s" in text_of(ann.get(rule.get_absolute_url()))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"in": "nothing/demo"},
        {"in": f"{NAME}/nothing"},
        {"in": "reward-driven/demo"},
    ],
)
def test_a_simulation_that_does_not_exist_is_refused(ann: Client, data: dict) -> None:
    answer = ann.post(f"/rules/{rule_of('v*s').pk}/simulate/", data)
    assert answer.status_code == 400
    assert not Probe.objects.exists()


def test_too_many_simulations_are_refused_with_a_message(ann: Client) -> None:
    for index in range(probes.MAX_OPEN + 1):
        rule = rule_of(f"v + {index + 2}")
        answer = ann.post(
            f"/rules/{rule.pk}/simulate/",
            {"in": f"{NAME}/demo"},
            follow=True,
        )
    assert answer.status_code == 409
    assert "simulations are not finished yet" in text_of(answer)
    assert Probe.objects.count() == probes.MAX_OPEN


@pytest.mark.parametrize(
    "address",
    [
        "/simulations/7/",
        "/simulations/7/panels/0.json",
        f"/simulations/{'9' * 30}/",
        "/rules/7/shape/0.json",
        "/lab/?task=nothing",
    ],
)
def test_what_is_not_there_is_not_found(ann: Client, address: str) -> None:
    assert ann.get(address).status_code == 404


@pytest.mark.parametrize("address", ["/lab/", "/lab/check/", "/simulations/1/"])
def test_strangers_see_nothing(client: Client, address: str) -> None:
    assert client.get(address).status_code == 302


def test_nothing_is_wrong_where_nothing_is_typed(ann: Client) -> None:
    answer = ann.get("/lab/check/", {"task": "error-driven", "expression-delta_w": ""})
    assert answer.status_code == 200
    assert "What you type is checked here" in answer.text
    assert "empty" not in answer.text


def test_what_is_typed_is_checked_with_the_column(ann: Client) -> None:
    address = f"/lab/check/?task={NAME}"
    text = text_of(ann.get(address, {"task": NAME, "expression-delta_w": "s*(v - z)"}))
    assert "(column 8)" in text
    text = text_of(ann.get(address, {"task": NAME, "expression-delta_w": "s*v - s*u"}))
    assert "Canonical form" in text
    assert "rule of the literature “product”" in text
    assert "no rule that means the same" in text
    rule = rule_of("(v - u)*s")
    answer = ann.get(address, {"task": NAME, "expression-delta_w": "s*v - s*u"})
    assert rule.get_absolute_url() in answer.content.decode()
    assert Rule.objects.count() == 1


@pytest.mark.parametrize("text", ["", "v +", "__import__('os')", "<script>", "v" * 20_000])
def test_nonsense_is_neither_simulated_nor_kept(ann: Client, text: str) -> None:
    for action in ("simulate", "keep"):
        data = {"expression-delta_w": text, "action": action, "preset": "demo", "name": "x"}
        answer = ann.post(f"/lab/?task={NAME}", data)
        assert answer.status_code == 422
        assert "<script>" not in answer.content.decode()
    assert not Rule.objects.exists()


def test_a_typed_rule_is_simulated_and_kept(ann: Client, django_user_model) -> None:
    data = {"expression-delta_w": "2*v*s", "preset": "demo", "action": "simulate"}
    answer = ann.post(f"/lab/?task={NAME}", data)
    assert f"#simulation-{Probe.objects.get().pk}" in answer.url
    kept = {**data, "action": "keep", "name": "<b>Mine</b>", "text": "why"}
    page = ann.post(f"/lab/?task={NAME}", kept, follow=True).content.decode()
    assert "&lt;b&gt;Mine&lt;/b&gt;" in page
    rule = Rule.objects.get()
    assert ann.post(f"/lab/?task={NAME}", {**kept, "name": ""}).status_code == 422
    ann.post(f"/rules/{rule.pk}/note/", {"name": "Ours", "text": ""})
    assert RuleNote.objects.get().name == "Ours"
    assert ann.post(f"/rules/{rule.pk}/note/", {"name": ""}).status_code == 422
    # Others have notes of their own.
    ann.force_login(django_user_model.objects.create_user("bob"))
    ann.post(f"/rules/{rule.pk}/note/", {"name": "Bob's"})
    assert sorted(RuleNote.objects.values_list("name", flat=True)) == ["Bob's", "Ours"]


def test_the_lab_shows_the_simulation_of_what_is_typed(ann: Client) -> None:
    data = {"expression-delta_w": "2*v*s", "preset": "demo", "action": "simulate"}
    part = ann.post(f"/lab/?task={NAME}", data, headers={"HX-Request": "true"})
    probe = Probe.objects.get()
    assert f'data-probe-socket="/ws/simulations/{probe.pk}/"' in part.content.decode()
    assert probe.rule.get_absolute_url() in part.content.decode()
    for index in range(probes.MAX_OPEN - 1):
        data["expression-delta_w"] = f"v + {index + 2}"
        ann.post(f"/lab/?task={NAME}", data, headers={"HX-Request": "true"})
    data["expression-delta_w"] = "v"
    refused = ann.post(f"/lab/?task={NAME}", data, headers={"HX-Request": "true"})
    assert "are not finished yet" in text_of(refused)


def test_the_lab_says_what_is_wrong_where_it_is_typed(ann: Client) -> None:
    data = {"expression-delta_w": "v +", "preset": "demo", "action": "simulate"}
    part = ann.post(f"/lab/?task={NAME}", data, headers={"HX-Request": "true"})
    assert part.headers["HX-Retarget"] == "#check"
    assert "column" in text_of(part)
    assert not Probe.objects.exists()


def test_the_window_is_that_of_the_pair_rule(ann: Client) -> None:
    rule = rule_of("w*E;(1 - w)*E", "correlation-driven")
    (panel,) = shape_panels(rule, None)
    series = panel["series"][1]
    assert series["name"] == "w = 0.3"
    for x, y in zip(series["x"], series["y"], strict=True):
        if x is None:
            continue
        expected = (0.7 if x > 0 else -0.3) * np.exp(-abs(x) / TAU_MS)
        assert y == pytest.approx(expected, rel=1e-4)
    answer = ann.get(f"/rules/{rule.pk}/shape/0.json")
    assert answer.status_code == 200
    assert len(answer.content) < 300_000


def test_slices_are_values_of_the_rule(ann: Client) -> None:
    rule = rule_of("(v - u)*s", "error-driven")
    panel = shape_panels(rule, get_learning_task("error-driven"))[0]
    assert panel["x_label"] == "v (mV)"
    series = panel["series"][0]
    assert series["name"] == "u = -70 mV"
    assert series["y"] == pytest.approx([x + 70.0 for x in series["x"]], rel=1e-4, abs=1e-4)
    assert "PyNEST script" in text_of(ann.get(rule.get_absolute_url()))


def test_decimation_keeps_extremes() -> None:
    x = np.arange(100_000.0)
    y = np.sin(x / 1e4)
    y[77_777], y[3] = 50.0, -40.0
    few_x, few_y = decimate(x, y, 1000)
    assert len(few_x) <= 1000
    assert (few_y.max(), few_y.min()) == (50.0, -40.0)
    assert (np.diff(few_x) >= 0).all()


def test_pages_of_rules_have_few_queries(ann: Client, django_assert_max_num_queries) -> None:
    rule = rule_of("v*s")
    ann.post(f"/rules/{rule.pk}/simulate/", {"in": f"{NAME}/demo"})
    probes.run_probe(Probe.objects.latest("pk").pk, worker="a")
    assert json.dumps(Probe.objects.latest("pk").result)
    with django_assert_max_num_queries(12):
        ann.get(rule.get_absolute_url())
    with django_assert_max_num_queries(6):
        ann.get("/lab/")
