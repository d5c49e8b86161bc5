"""Experiments as files through the API: what is taken away can be brought in and made again."""

from __future__ import annotations

import io

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client

from evolution.experiment_file import Limits, layout, open_experiment_file
from evolution.models import Experiment, Generation, LogEntry
from tests.evolution.api.cast import bearer
from tests.evolution.conftest import history, work_until_idle
from tests.evolution.experiment_files import raw_texts, raw_zip, small_members, written
from tests.evolution.services.test_imports import finished, forget_everything

ZIP = "application/zip"


def upload(caller, content: bytes, kind: str = ZIP):
    return Client().post(
        "/api/v1/experiments/import/", content, content_type=kind, headers=bearer(caller.user)
    )


def champions(experiment: Experiment) -> list:
    """Return the history without the state of the engine, which no file holds."""
    return [run["champions"] for run in history(experiment)]


def test_what_is_downloaded_can_be_uploaded(member, other, make_experiment):
    original = finished(make_experiment)
    told = champions(original)
    response = other("GET", f"experiments/{original.pk}/export/")
    assert response.headers["Content-Type"] == ZIP
    content = response.getvalue()
    with open_experiment_file(io.BytesIO(content)) as source:
        assert source.configuration.name == "Rediscovery"
    assert LogEntry.objects.filter(action="exported", who="otto", experiment=original).exists()
    forget_everything()
    brought = upload(member, content)
    assert brought.status_code == 201
    copy = Experiment.objects.get()
    assert brought.headers["Location"] == f"/api/v1/experiments/{copy.pk}/"
    assert (brought.json()["state"], brought.json()["owner"]) == ("imported", "mia")
    assert champions(copy) == told
    again = upload(member, content)
    assert (again.status_code, again.json()["id"]) == (200, copy.pk)
    assert Experiment.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "The body is empty"),
        (b"no zip", "too short"),
        (b"no zip at all" * 10, "does not end as one"),
        (
            raw_zip({**raw_texts(written(small_members())), layout.RULES: b"{}\n"}),
            "rules.jsonl was changed or damaged",
        ),
    ],
    ids=["empty", "short", "other", "changed"],
)
def test_a_broken_file_is_refused_with_what_is_wrong(member, content, detail):
    response = upload(member, content)
    assert response.status_code == 422
    assert detail in response.json()["errors"][0]["detail"]
    assert not Experiment.objects.exists()


def test_a_file_is_no_form_and_not_too_large(member, viewer, monkeypatch):
    content = written(small_members())
    assert upload(member, content, "application/json").status_code == 415
    assert upload(viewer, content).status_code == 403
    monkeypatch.setattr("evolution.api.exchange.PAGE_LIMITS", Limits(file_bytes=len(content) - 1))
    assert upload(member, content).status_code == 413
    assert not Experiment.objects.exists()
    monkeypatch.setattr("evolution.api.exchange.PAGE_LIMITS", Limits(file_bytes=len(content)))
    assert upload(member, content).status_code == 201


def test_files_are_sent_while_they_are_made(member, make_experiment):
    """Served by ASGI, as in production: the whole would have to fit into memory otherwise."""
    experiment = make_experiment()

    async def kinds() -> list[bool]:
        client, found = AsyncClient(), []
        for name in ("export/", "history.csv"):
            path = f"/api/v1/experiments/{experiment.pk}/{name}"
            response = await client.get(path, headers=headers)
            found.append(response.is_async)
            assert [piece async for piece in response.streaming_content]
        return found

    headers = bearer(member.user)
    assert async_to_sync(kinds)() == [True, True]


def test_a_reproduction_says_whether_the_same_comes_out(member, other, make_experiment):
    original = finished(make_experiment)
    key = {"Idempotency-Key": "k"}
    made = other("POST", f"experiments/{original.pk}/reproduce/", {}, **key)
    assert made.status_code == 201
    body = made.json()
    assert (body["original"], body["owner"], body["state"]) == (original.pk, "otto", "running")
    repeated = other("POST", f"experiments/{original.pk}/reproduce/", {}, **key)
    assert repeated.json()["id"] == body["id"]
    path = f"{made.headers['Location']}difference/"
    begun = member("GET", path).json()
    assert (begun["is_over"], begun["is_identical"]) == (False, False)
    work_until_idle()
    same = member("GET", path).json()
    assert (same["is_identical"], same["progress"], same["n_different"]) == (True, 1.0, 0)
    generation = Generation.objects.get(run__experiment=body["id"], run__index=0, index=2)
    generation.champion_fitness -= 0.5
    generation.save()
    found = member("GET", path).json()
    run = found["runs"][0]
    assert (found["is_identical"], run["run"], run["first"]) == (False, 1, 2)
    assert run["largest"] == pytest.approx(0.5)
    assert run["what"]


def test_only_what_is_over_is_reproduced_and_only_reproductions_differ(member, make_experiment):
    experiment = make_experiment()
    refused = member("POST", f"experiments/{experiment.pk}/reproduce/")
    assert refused.status_code == 409
    assert member("GET", f"experiments/{experiment.pk}/difference/").status_code == 404
    over = finished(make_experiment)
    Experiment.objects.filter(pk=over.pk).update(task_parameters={"no_longer": 1})
    refused = member("POST", f"experiments/{over.pk}/reproduce/")
    assert (refused.status_code, "by this version" in refused.json()["detail"]) == (409, True)
    assert Experiment.objects.count() == 2


def test_figures_are_sums_over_the_runs(member, make_experiment):
    experiment = finished(make_experiment, n_runs=2)
    runs = list(experiment.runs.all())
    body = member("GET", f"experiments/{experiment.pk}/figures/").json()
    evaluations = body["evaluations"]
    assert evaluations["n_asked"] == sum(run.n_evaluations for run in runs)
    assert evaluations["n_computed"] + evaluations["n_cached"] == evaluations["n_asked"]
    reached = sum(run.champion_fitness >= -1e-9 for run in runs)
    assert (body["success"]["n_reached"], body["success"]["n_runs"]) == (reached, 2)
