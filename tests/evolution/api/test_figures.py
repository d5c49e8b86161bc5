"""The paper's figures through the API: asked for once, read as data."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from evolution.enums import ProbeKind, Visibility
from evolution.models import Probe
from evolution.services import sharing
from simulations.figures import FIGURE_NAMES, get_figure
from tests.evolution.test_paper_figures import experiment_of

PANELS = [
    {"key": key, "letter": "4", "title": key, "summary": f"Of {key}.", "series": [{"x": [1, 2]}]}
    for key in ("4B", "4C")
]


def answer_all() -> None:
    """Write what a worker would find."""
    in_words = [{name: own[name] for name in own if name != "series"} for own in PANELS]
    rows = [{"name": "s", "expressions": ["s"], "trials": [-1.0, -3.0], "fitness": -2.0}]
    Probe.objects.filter(kind=ProbeKind.FIGURE).update(
        state="finished", panels=PANELS, result={"panels": in_words}
    )
    Probe.objects.filter(kind=ProbeKind.HELD_OUT).update(state="finished", result={"rows": rows})
    assert not Probe.objects.open().exists()


def test_all_figures_are_listed(viewer):
    assert [item["name"] for item in viewer("GET", "figures/").json()] == list(FIGURE_NAMES)


def test_a_figure_is_asked_for_followed_and_read(member, viewer):
    before = viewer("GET", "figures/fig4/").json()
    assert (before["is_lacking"], before["is_open"], before["simulations"]) == (True, False, [])
    assert before["rule"] == list(get_figure("fig4").shown_rule.expressions)
    assert before["estimated_s"] > 0.0
    assert viewer("GET", "figures/fig4/panels/4B/").status_code == 404
    asked = member("POST", "figures/fig4/simulations/", {})
    assert asked.status_code == 202
    assert asked.headers["Location"] == "/api/v1/figures/fig4/"
    assert [item["kind"] for item in asked.json()["simulations"]] == ["figure", "held out"]
    assert set(Probe.objects.values_list("owner", flat=True)) == {member.user.pk}
    answer_all()
    now = viewer("GET", "figures/fig4/").json()
    assert (now["is_lacking"], now["is_open"]) == (False, False)
    assert [panel["missing"] for panel in now["panels"] if panel["key"] in {"4B", "4C"}] == ["", ""]
    assert viewer("GET", "figures/fig4/panels/4C/").json() == PANELS[1]
    held_out = viewer("GET", "figures/fig4/panels/4D-validation/").json()
    (mean,) = [item for item in held_out["series"] if item["name"] == "simulated here"]
    # An error on a logarithmic axis: minus the fitness of two trials.
    assert (mean["y"], mean["error"]) == ([2.0], [1.0])
    again = member("POST", "figures/fig4/simulations/", {})
    assert again.status_code == 200
    assert Probe.objects.count() == 2


def test_what_needs_no_simulation_is_there_at_once(viewer):
    panel = viewer("GET", "figures/fig5/panels/5E/").json()
    assert panel["key"] == "5E"
    assert panel["series"]
    assert viewer("GET", "figures/fig6/").status_code == 404
    assert viewer("GET", "figures/fig5/panels/5Z/").status_code == 404


def test_a_choice_is_that_of_the_page(member, other):
    mine = experiment_of(get_figure("fig3"), [[(0, 1.0, "R")], [(0, 5.0, "E")]])
    choice = {"experiment": str(mine.pk), "run": 1, "rule": "2*E"}
    asked = member("POST", "figures/fig3/simulations/", choice)
    assert asked.status_code == 202
    body = asked.json()
    assert (body["experiment"], body["rule"]) == (mine.pk, ["2*E"])
    assert asked.headers["Location"] == f"/api/v1/figures/fig3/?{urlencode(choice)}"
    followed = member("GET", asked.headers["Location"]).json()
    assert [item["state"] for item in followed["simulations"]] == ["waiting", "waiting"]
    runs = member("GET", f"figures/fig3/panels/3D/?experiment={mine.pk}&run=1").json()
    assert "Run 1: at last 1 from generation 0 by R" in runs["summary"]
    sharing.set_visibility(mine, Visibility.PRIVATE, by=None)
    assert other("GET", asked.headers["Location"]).status_code == 400
    assert other("POST", "figures/fig3/simulations/", choice).status_code == 422


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        ({"experiment": "99"}, "experiment"),
        ({"experiment": '"<b>'}, "experiment"),
        ({"run": 2}, "run"),
        ({"rule": "E*("}, "rule"),
        ({"rule": "__import__('os')"}, "rule"),
        ({"rule": "77"}, "rule"),
    ],
    ids=lambda value: value if isinstance(value, str) else "=".join(map(str, *value.items())),
)
def test_wrong_choices_are_named(member, choice, name):
    read = member("GET", f"figures/fig3/?{urlencode(choice)}")
    assert (read.status_code, [item["parameter"] for item in read.json()["errors"]]) == (
        400,
        [name],
    )
    asked = member("POST", "figures/fig3/simulations/", choice)
    assert asked.status_code == 422
    assert [item["pointer"] for item in asked.json()["errors"]] == [f"/{name}"]
    assert not Probe.objects.exists()


def test_figures_without_a_path_have_no_run(member):
    assert member("GET", "figures/fig4/?run=1").status_code == 400
    refused = member("POST", "figures/fig4/simulations/", {"run": 1})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/run")


def test_too_many_open_ones_are_refused_and_viewers_do_not_ask(member, viewer):
    assert viewer("POST", "figures/fig3/simulations/", {}).status_code == 403
    for text in ("E", "2*E"):
        asked = member("POST", "figures/fig3/simulations/", {"rule": text})
        assert asked.status_code == 202
    assert member("POST", "figures/fig3/simulations/", {"rule": "3*E"}).status_code == 409
