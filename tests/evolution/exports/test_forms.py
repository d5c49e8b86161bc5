"""Page, command and documentation offer every form in the list, and no other."""

from __future__ import annotations

import html
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command

from evolution.exports import FORMS
from evolution.services import notes
from nest_build.rules import PlasticityRule
from simulations.learning_tasks import get_learning_task
from tests.evolution.exports.rules import rule_of

if TYPE_CHECKING:
    from django.test import Client

    from evolution.models import Rule

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "how_to" / "export_a_rule.md").read_text(encoding="utf-8")


@pytest.fixture
def ann(client, django_user_model) -> Client:
    client.force_login(django_user_model.objects.create_user("ann"))
    return client


def kept(name: str, *texts: str) -> Rule:
    """Return a rule of the catalogue."""
    task = get_learning_task(name)
    return notes.add_to_catalogue(PlasticityRule.parse(task.signature, texts).canonical())


def exported(*arguments: str) -> str:
    output = io.StringIO()
    call_command("export", *arguments, stdout=output)
    return output.getvalue()


# --- the list ------------------------------------------------------------------------------------


def test_files_have_safe_and_different_names() -> None:
    names = [form.file_name(rule_of("v")) for form in FORMS.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"rule_0123456789ab_[a-z]+\.[a-z]+", name) for name in names)


def test_the_guide_lists_the_forms() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \| ([^|]+?) \| `\.([a-z]+)` \|", GUIDE, re.MULTILINE)
    assert rows == [(form.name, form.title, form.ending) for form in FORMS.values()]


# --- the page ------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_shown_and_downloaded(ann: Client, name: str) -> None:
    rule = kept("error-driven", "(v - u)*s")
    form = FORMS[name]
    text = form.write(rule)
    answer = ann.get(f"/rules/{rule.pk}/export/{name}")
    assert answer.status_code == 200
    assert answer.content.decode() == text
    assert answer.headers["Content-Type"] == f"{form.media_type}; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    file_name = f"rule_{rule.fingerprint[:12]}_{name}.{form.ending}"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{file_name}"'

    page = ann.get(rule.get_absolute_url()).content.decode()
    (shown,) = re.findall(rf'<pre [^>]*id="export-{name}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert html.unescape(shown) == text
    assert f'href="/rules/{rule.pk}/export/{name}"' in page


@pytest.mark.django_db
def test_the_page_says_why_there_is_no_form(ann: Client) -> None:
    rule = kept("reward-driven", "E*(R - 1)")
    page = ann.get(rule.get_absolute_url()).content.decode()
    assert f"/rules/{rule.pk}/export/notebook" in page
    assert f"/rules/{rule.pk}/export/nestml" not in page
    assert "A NESTML synapse learns of spikes" in page
    answer = ann.get(f"/rules/{rule.pk}/export/nestml")
    assert answer.status_code == 404
    assert "A NESTML synapse learns of spikes" in answer.content.decode()


@pytest.mark.django_db
def test_what_is_not_there_is_not_found(ann: Client) -> None:
    rule = kept("reward-driven", "E*(R - 1)")
    assert ann.get(f"/rules/{rule.pk}/export/fortran").status_code == 404
    assert ann.get(f"/rules/{rule.pk + 1}/export/latex").status_code == 404
    assert ann.get(f"/rules/{'9' * 30}/export/latex").status_code == 404
    assert ann.post(f"/rules/{rule.pk}/export/latex").status_code == 405


@pytest.mark.django_db
def test_strangers_see_nothing(client: Client) -> None:
    rule = kept("reward-driven", "E*(R - 1)")
    assert client.get(f"/rules/{rule.pk}/export/latex").status_code == 302


# --- the command ---------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("name", FORMS)
def test_the_command_prints_what_the_page_shows(name: str) -> None:
    rule = kept("correlation-driven", "w*E", "(1 - w)*E")
    same_rule = ("correlation-driven", "E*w", "E*(1 - w)", f"--format={name}")
    assert exported(*same_rule) == FORMS[name].write(rule)


def test_the_command_writes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "rule.cpp"
    arguments = ("--format=cpp", "error-driven", "(v - u)*s")
    assert exported(f"--out={file}", *arguments) == ""
    assert file.read_text() == exported(*arguments)


def test_a_rule_may_begin_with_a_minus_sign() -> None:
    assert "delta_w = -v\n" in exported("--format=numpy", "error-driven", "--", "-v")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format=cpp", "nothing", "v"], "nothing"),
        (["--format=cpp", "error-driven", "v +"], "column 4"),
        (["--format=cpp", "error-driven", "v", "u"], "1 expression"),
        (["--format=nestml", "reward-driven", "R"], "no NESTML synapse model. The reward"),
        (["--format=nestml", "error-driven", "v**0.5"], "no complex numbers"),
        (["--format=cpp", "--out=/nowhere/rule.cpp", "error-driven", "v"], "cannot be written"),
    ],
    ids=["task", "rule", "rules", "reward", "complex", "file"],
)
def test_bad_input_gets_a_message_and_exit_code_2(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=re.escape(message)) as caught:
        call_command("export", *arguments, stdout=io.StringIO())
    assert caught.value.returncode == 2


def test_a_form_that_does_not_exist_gets_a_message_and_exit_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "manage.py", "export", "--format=fortran", "error-driven", "v"],
        env={**os.environ, "E2L_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "invalid choice: 'fortran'" in done.stderr
    assert all(name in done.stderr for name in FORMS)
    assert "Traceback" not in done.stderr
