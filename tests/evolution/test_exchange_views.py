"""Experiments as files by page: taken away, brought in, made again."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from evolution.experiment_file import layout, open_experiment_file
from evolution.models import Experiment, Individual, Run
from evolution.services import control
from tests.evolution.conftest import work_until_idle
from tests.evolution.experiment_files import raw_texts, raw_zip, small_members, written
from tests.evolution.services.test_imports import finished, forget_everything

if TYPE_CHECKING:
    from django.http import HttpResponse

pytestmark = pytest.mark.django_db
IMPORT = "/experiments/import/"


@pytest.fixture
def ann(client: Client, django_user_model: Any) -> Client:
    client.force_login(django_user_model.objects.create_user("ann"))
    return client


def upload(ann: Client, content: bytes, name: str = "x.e2l.zip") -> HttpResponse:
    return ann.post(IMPORT, {"file": SimpleUploadedFile(name, content)})


def text_of(response: HttpResponse) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", text)


def address(name: str, experiment: Experiment) -> str:
    return reverse(f"evolution:{name}", args=[experiment.pk])


def test_what_is_downloaded_can_be_uploaded(ann: Client, make_experiment: Any) -> None:
    experiment = finished(make_experiment)
    page = ann.get(experiment.get_absolute_url()).content.decode()
    assert f'href="{address("export-experiment", experiment)}"' in page
    response = ann.get(address("export-experiment", experiment))
    name = f"experiment-{experiment.pk}-rediscovery.e2l.zip"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    content = response.getvalue()
    with open_experiment_file(io.BytesIO(content)) as source:
        assert source.configuration.name == "Rediscovery"
    forget_everything()
    response = upload(ann, content, name)
    copy = Experiment.objects.get()
    assert (response.status_code, response.url) == (302, copy.get_absolute_url())
    assert (copy.state, copy.owner.username) == ("imported", "ann")
    assert "The experiment was imported." in text_of(ann.get(response.url))
    assert upload(ann, content).url == copy.get_absolute_url()
    assert "It was imported before." in text_of(ann.get(copy.get_absolute_url()))


def test_the_pages_of_an_imported_experiment_work(ann: Client) -> None:
    experiment = Experiment.objects.get(
        pk=re.search(r"\d+", upload(ann, written(small_members())).url)[0]
    )
    run = experiment.runs.get()
    own, number = [experiment.pk], [experiment.pk, 1]
    for name, arguments in (
        ("experiments", []), ("experiment", own), ("experiment-plot", own), ("run", number),
        ("population", number), ("individuals", number), ("individual", [*number, 3]),
        ("rule", [run.champion.rule_id]), ("rules", []), ("experiment-history", own),
    ):  # fmt: skip
        response = ann.get(reverse(f"evolution:{name}", args=arguments))
        assert response.status_code == 200, name
    page = text_of(ann.get(reverse("evolution:individual", args=[*number, 3])))
    assert "−0.1" in page
    assert ann.get(reverse("evolution:compare") + f"?experiment={experiment.pk}").status_code == 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The submitted file is empty."),
        (b"no zip", "This is no experiment file: it is too short."),
        (b"no zip at all" * 10, "does not end as one"),
        (
            raw_zip({**raw_texts(written(small_members())), layout.RULES: b"{}\n"}),
            "rules.jsonl was changed or damaged",
        ),
    ],
    ids=["empty", "short", "other", "changed"],
)
def test_a_broken_file_is_an_error_of_the_field(ann: Client, content: bytes, message: str) -> None:
    response = upload(ann, content)
    assert response.status_code == 422
    assert message in text_of(response)
    assert 'class="errorlist"' in response.content.decode()
    assert not Experiment.objects.exists()


def test_no_file_is_an_error_of_the_field(ann: Client) -> None:
    response = ann.post(IMPORT)
    assert response.status_code == 422
    assert "This field is required." in text_of(response)


def test_strangers_neither_bring_nor_take(client: Client, make_experiment: Any) -> None:
    experiment = make_experiment()
    for name in ("export-experiment", "experiment-difference"):
        assert client.get(address(name, experiment)).status_code == 302
    assert client.post(address("reproduce-experiment", experiment)).status_code == 302
    upload(client, written(small_members()))
    assert Experiment.objects.count() == 1


def test_reproduce_leads_to_the_difference(ann: Client, make_experiment: Any) -> None:
    experiment = finished(make_experiment, n_runs=2)
    assert "Reproduce" in text_of(ann.get(experiment.get_absolute_url()))
    response = ann.post(address("reproduce-experiment", experiment))
    reproduction = Experiment.objects.get(original=experiment)
    assert response.url == address("experiment-difference", reproduction)
    assert reproduction.owner.username == "ann"
    page = ann.get(response.url)
    assert "hx-trigger" in page.content.decode()
    assert "Identical so far: 0 generations were compared." in text_of(page)
    work_until_idle()
    page = ann.get(response.url)
    assert "hx-trigger" not in page.content.decode()
    assert "Identical, bit for bit: " in text_of(page)
    own = ann.get(reproduction.get_absolute_url()).content.decode()
    assert address("experiment-difference", reproduction) in own
    Individual.objects.filter(run__experiment=experiment, run__index=1, index=2).update(fitness=5)
    page = ann.get(response.url)
    assert "1 of 2 runs differ." in text_of(page)
    assert "individuals in generation 0 of the original" in text_of(page)


def test_the_difference_takes_few_statements(
    ann: Client, make_experiment: Any, django_assert_max_num_queries: Any
) -> None:
    experiment = finished(make_experiment, n_runs=3)
    ann.post(address("reproduce-experiment", experiment))
    work_until_idle()
    Run.objects.filter(experiment=experiment).first().generations.filter(index=3).update(
        champion_fitness=None
    )
    reproduction = Experiment.objects.get(original=experiment)
    with django_assert_max_num_queries(12):
        ann.get(address("experiment-difference", reproduction))


def test_what_cannot_be_reproduced_is_a_conflict(ann: Client, make_experiment: Any) -> None:
    experiment = make_experiment()
    assert "Reproduce" not in text_of(ann.get(experiment.get_absolute_url()))
    response = ann.post(address("reproduce-experiment", experiment))
    assert response.status_code == 409
    assert "cannot be reproduced: it is created" in text_of(response)
    assert ann.get(address("reproduce-experiment", experiment)).status_code == 405


def test_what_is_no_reproduction_has_no_difference(ann: Client, make_experiment: Any) -> None:
    experiment = finished(make_experiment)
    assert ann.get(address("experiment-difference", experiment)).status_code == 404
    ann.post(address("reproduce-experiment", experiment))
    reproduction = Experiment.objects.get(original=experiment)
    control.delete_experiment(experiment)
    assert ann.get(address("experiment-difference", reproduction)).status_code == 404
    assert ann.get(reproduction.get_absolute_url()).status_code == 200
