"""The pages of the paper's figures: with and without experiments, simulated once for everybody."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest
from django.test import Client

from evolution.enums import ProbeKind, ProbeState
from evolution.models import Probe, Rule
from evolution.services import probes
from simulations.figures import FIGURE_NAMES, get_figure
from tests.evolution.test_paper_figures import experiment_of

if TYPE_CHECKING:
    from django.http import HttpResponse

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(client: Client, django_user_model) -> Client:
    client.force_login(django_user_model.objects.create_user("ann"))
    return client


def text_of(response: HttpResponse) -> str:
    words = re.sub(r"<[^>]*>", " ", response.content.decode())
    return " ".join(html.unescape(words).split())


def figure_addresses(response: HttpResponse) -> list[str]:
    return [
        html.unescape(found)
        for found in re.findall(r'data-figure-url="([^"]+)"', response.content.decode())
    ]


@pytest.mark.parametrize("address", ["/figures/", "/figures/fig3/", "/figures/fig3/panels/3C.json"])
def test_strangers_see_nothing(client: Client, address: str) -> None:
    assert client.get(address).status_code == 302


@pytest.mark.parametrize("address", ["/figures/fig6/", "/figures/fig3/panels/3Z.json",
                                     "/figures/fig3/panels/3B-early.json",
                                     "/figures/fig3/panels/3C.json"])  # fmt: skip
def test_what_is_not_there_is_not_found(ann: Client, address: str) -> None:
    assert ann.get(address).status_code == 404


@pytest.mark.parametrize("name", FIGURE_NAMES)
def test_without_experiments_a_page_tells_what_to_do(
    ann: Client, name: str, django_assert_max_num_queries
) -> None:
    with django_assert_max_num_queries(12):
        page = ann.get(f"/figures/{name}/")
    assert page.status_code == 200
    text = text_of(page)
    task = get_figure(name).learning_task_name
    assert f"manage.py evolve {task} --preset paper --wait" in text
    assert "Simulate what is missing" in text
    shown = figure_addresses(page)
    # Windows and inputs need neither experiment nor simulation.
    assert len(shown) == (6 if name == "fig5" else 0)
    for address in shown:
        assert ann.get(address).status_code == 200
    assert f'href="/figures/{name}/"' in ann.get("/figures/").content.decode()


@pytest.mark.nest
def test_what_is_simulated_once_is_there_for_everybody(
    ann: Client, django_user_model, django_capture_on_commit_callbacks
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    figure = get_figure("fig4")
    experiment_of(figure, [[(0, -600.0, "s"), (5, -14.0, "(v - u)*s")], [(0, -300.0, "0")]])
    assert ann.post("/figures/fig4/simulate/").url == "/figures/fig4/"
    assert "waiting for a worker" in text_of(ann.get("/figures/fig4/"))
    open_part = ann.get("/figures/fig4/progress/")
    assert "HX-Refresh" not in open_part.headers
    assert b"data-probe-socket" in open_part.content
    found = list(Probe.objects.order_by("pk"))
    assert [probe.kind for probe in found] == [ProbeKind.FIGURE, ProbeKind.HELD_OUT]
    # Two trials are enough here.
    held_out = found[1]
    held_out.task_parameters |= {"n_trials": 2, "t_sim_ms": 1000.0}
    held_out.save()
    for probe in found:
        assert probes.run_probe(probe.pk, worker="a")
        probe.refresh_from_db()
        assert probe.state == ProbeState.FINISHED, probe.detail
    assert [row["name"] for row in held_out_rows(held_out)] == [
        "2*(v - u)*s", "(v - u)*s · run 1", "run 2",
    ]  # fmt: skip
    done = ann.get("/figures/fig4/progress/")
    assert done.headers["HX-Refresh"] == "true"
    bob = Client()
    bob.force_login(django_user_model.objects.create_user("bob"))
    with CaptureQueriesContext(connection) as statements:
        page = bob.get("/figures/fig4/")
    assert len(statements) <= 12
    assert "Simulate what is missing" not in text_of(page)
    addresses = figure_addresses(page)
    assert len(addresses) == 4
    for address in addresses:
        answer = bob.get(address)
        assert answer.status_code == 200
        assert len(answer.content) <= 300_000
    bob.post("/figures/fig4/simulate/")
    assert Probe.objects.count() == 2
    # Nothing of it is on the page of the rule, nor by itself: its figure shows it.
    rule = Rule.objects.get(pk=found[0].rule_id)
    assert "Trial that is shown" not in text_of(bob.get(rule.get_absolute_url()))
    assert {bob.get(f"/simulations/{probe.pk}/").status_code for probe in found} == {404}


def held_out_rows(probe: Probe) -> list[dict]:
    probe.refresh_from_db()
    return probe.result["rows"]


def test_choices_stand_in_the_address(ann: Client) -> None:
    figure = get_figure("fig3")
    mine = experiment_of(figure, [[(0, 1.0, "R")], [(0, 5.0, "E")]])
    page = ann.get(f"/figures/fig3/?experiment={mine.pk}&run=1&rule=2*E")
    assert page.status_code == 200
    text = text_of(page)
    assert "Rule of the simulation: 2*E" in text
    assert "Run 1: at last 1 from generation 0 by R" in text
    number = Rule.objects.get(expressions=["E"]).pk
    assert "Rule of the simulation: E" in text_of(ann.get(f"/figures/fig3/?rule={number}"))
    assert "Experiment: none" in text_of(ann.get("/figures/fig3/?experiment=none"))
    ann.post(f"/figures/fig3/simulate/?experiment={mine.pk}&rule=2*E")
    shown, held_out = Probe.objects.order_by("pk")
    assert shown.rule.expressions == ["2*E"]
    assert [row["name"] for row in held_out.figure["rules"]] == [
        "E*(R - 1)", "chosen rule", "run 1", "run 2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("experiment=99", "no such experiment"),
        ("experiment=%22%3Cb%3E", "no such experiment"),
        ("run=2", "no such run"),
        ("run=x", "whole number"),
        ("rule=E*(", "column"),
        ("rule=__import__('os')", "column"),
        ("rule=77", "no rule 77"),
    ],
)
def test_wrong_choices_have_a_message_at_the_field(ann: Client, query: str, message: str) -> None:
    page = ann.get(f"/figures/fig3/?{query}")
    assert page.status_code == 400
    assert message in text_of(page)
    assert "<b>" not in page.content.decode().partition("heading-choice")[2].partition("</form>")[0]
    assert ann.get(f"/figures/fig3/panels/3C.json?{query}").status_code == 400
    ann.post(f"/figures/fig3/simulate/?{query}")
    assert not Probe.objects.exists()


def test_too_many_open_simulations_are_refused(ann: Client) -> None:
    for text in ("E", "2*E"):
        assert ann.post(f"/figures/fig3/simulate/?rule={text}").status_code == 302
    assert ann.post("/figures/fig3/simulate/?rule=3*E").status_code == 409
