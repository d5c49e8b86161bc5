"""Accounts, passwords, sessions, throttling and the audit log."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from e2l_site.locations import PROJECT_ROOT
from evolution import access
from evolution.enums import Action, Role
from evolution.errors import AccountRefused
from evolution.models import Experiment, LogEntry
from evolution.services import accounts, audit, control
from tests.evolution.histories import finish, make_experiment

pytestmark = pytest.mark.django_db

PASSWORD, OTHER = "a long enough one", "another long one"


@pytest.fixture
def operator(client, django_user_model) -> Client:
    user = django_user_model.objects.create_superuser("olga", password=PASSWORD)
    client.force_login(user)
    return client


def sign_in(name: str, password: str, client: Client | None = None, **headers: Any) -> Client:
    client = client or Client()
    client.post(reverse("sign-in"), {"username": name, "password": password}, **headers)
    return client


def run_command(*arguments: str) -> Any:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return json.loads(out.getvalue())


def is_in(client: Client) -> bool:
    return client.get(reverse("account")).status_code == 200


# --- accounts -----------------------------------------------------------------------------------


def test_an_invited_member_sets_a_password_once_and_signs_in(operator, django_user_model):
    response = operator.post(reverse("evolution:people"), {"username": "mia", "role": "member"})
    assert response.status_code == 201
    (path,) = re.findall(r"http://testserver(/set-password/[^<]+)<", response.content.decode())
    assert path not in operator.get(reverse("evolution:people")).content.decode()
    mia = Client()
    form = mia.get(path, follow=True)
    assert "<h1>Set your password</h1>" in form.content.decode()
    address = form.redirect_chain[-1][0]
    weak = mia.post(address, {"new_password1": "short one", "new_password2": "short one"})
    assert "at least 12 characters" in weak.content.decode()
    done = mia.post(address, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    assert done.url == reverse("sign-in")
    assert is_in(sign_in("mia", PASSWORD, mia))
    assert access.role_of(django_user_model.objects.get(username="mia")) is Role.MEMBER
    again = Client().get(path, follow=True)
    assert "This link does not work" in again.content.decode()


def test_names_that_are_taken_or_odd_are_refused_at_the_field(operator):
    for name, text in (("OLGA", "a name like this exists"), ("a b", "Enter a valid username")):
        response = operator.post(reverse("evolution:people"), {"username": name, "role": "member"})
        assert response.status_code == 422
        assert text in response.content.decode()


def test_the_last_operator_stays_one(operator, django_user_model):
    olga = django_user_model.objects.get()
    for path, data in (
        (reverse("evolution:account-role", args=[olga.pk]), {"role": "viewer"}),
        (reverse("evolution:account-active", args=[olga.pk]), {"active": "0"}),
    ):
        response = operator.post(path, data)
        assert response.status_code == 409
        assert "the only operator" in response.content.decode()
    accounts.create_account("otto", Role.OPERATOR, by=None)
    path = reverse("evolution:account-role", args=[olga.pk])
    assert operator.post(path, {"role": "viewer"}).status_code == 302
    olga.refresh_from_db()
    assert (olga.is_superuser, olga.is_staff) == (False, False)
    assert operator.get(reverse("evolution:people")).status_code == 403


def test_accounts_from_the_command_line(django_user_model):
    done = run_command("account", "create", "mia", "--role", "viewer", "--json")
    assert done["role"] == "viewer"
    page = Client().get(done["password_path"], follow=True)
    assert "Set your password" in page.content.decode()
    assert run_command("account", "role", "mia", "member", "--json")["role"] == "member"
    assert run_command("account", "deactivate", "mia", "--json")["is_active"] is False
    assert run_command("account", "activate", "mia", "--json")["is_active"] is True
    (row,) = run_command("account", "list", "--json")
    assert (row["name"], row["role"]) == ("mia", "member")
    assert LogEntry.objects.get(action=Action.ROLE_CHANGED).who == "command line"
    with pytest.raises(AccountRefused):
        accounts.create_account("MIA", Role.MEMBER, by=None)


# --- sessions -----------------------------------------------------------------------------------


def test_signing_out_everywhere_ends_the_other_sessions(django_user_model):
    django_user_model.objects.create_user("ann", password=PASSWORD)
    here, there = sign_in("ann", PASSWORD), sign_in("ann", PASSWORD)
    refused = here.post(reverse("end-sessions"), {"sessions-password": "wrong"})
    assert refused.status_code == 422
    assert "This is not your password" in refused.content.decode()
    assert is_in(there)
    assert here.post(reverse("end-sessions"), {"sessions-password": PASSWORD}).status_code == 302
    assert is_in(here)
    assert not is_in(there)
    assert is_in(sign_in("ann", PASSWORD, there))


def test_another_password_ends_the_other_sessions_and_the_old_one(django_user_model):
    django_user_model.objects.create_user("ann", password=PASSWORD)
    here, there = sign_in("ann", PASSWORD), sign_in("ann", PASSWORD)
    data = {"old_password": PASSWORD, "new_password1": OTHER, "new_password2": OTHER}
    assert here.post(reverse("change-password"), data).status_code == 302
    assert is_in(here)
    assert not is_in(there)
    assert not is_in(sign_in("ann", PASSWORD))
    assert is_in(sign_in("ann", OTHER))


def test_a_session_ends_by_itself_and_an_unknown_one_opens_nothing(django_user_model):
    django_user_model.objects.create_user("ann", password=PASSWORD)
    here, there = sign_in("ann", PASSWORD), sign_in("ann", PASSWORD)
    assert is_in(here)
    stored = Session.objects.get(session_key=here.cookies["e2l_session"].value)
    stored.expire_date = timezone.now() - timedelta(seconds=1)
    stored.save()
    assert not is_in(here)
    assert is_in(there)
    there.cookies["e2l_session"] = "x" * 32
    assert not is_in(there)


# --- throttling ---------------------------------------------------------------------------------


def test_ten_wrong_passwords_lock_a_name_from_an_address(django_user_model, settings):
    django_user_model.objects.create_user("ann", password=PASSWORD)
    django_user_model.objects.create_user("bob", password=PASSWORD)
    client = Client()
    for _ in range(settings.AXES_FAILURE_LIMIT - 1):
        assert (
            client.post(reverse("sign-in"), {"username": "ann", "password": "x"}).status_code == 200
        )
    for password in ("x", PASSWORD, PASSWORD):
        response = client.post(reverse("sign-in"), {"username": "ann", "password": password})
        assert response.status_code == 429
        assert "Too many attempts" in response.content.decode()
    # Nobody else is shut out: another name from here, and the same name from elsewhere.
    assert is_in(sign_in("bob", PASSWORD))
    assert is_in(sign_in("ann", PASSWORD, REMOTE_ADDR="192.0.2.7"))
    assert PASSWORD not in json.dumps(list(AccessAttempt.objects.values()), default=str)
    actions = [entry.action for entry in LogEntry.objects.order_by("pk")]
    assert actions.count(Action.SIGN_IN_FAILED) == settings.AXES_FAILURE_LIMIT - 1
    assert actions.count(Action.LOCKED_OUT) == 1
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert is_in(sign_in("ann", PASSWORD))


def test_a_name_that_may_be_a_password_is_not_written_down():
    sign_in("correct horse battery", "x")
    entry = LogEntry.objects.get()
    assert (entry.action, entry.subject) == (Action.SIGN_IN_FAILED, "a name that no account has")


# --- audit log ----------------------------------------------------------------------------------


def test_the_log_says_who_did_what_when_and_from_where(operator):
    experiment = make_experiment(name="=cmd")
    finish(experiment)
    operator.post(
        reverse("evolution:archive-experiment", args=[experiment.pk]), REMOTE_ADDR="192.0.2.9"
    )
    operator.get(reverse("evolution:experiment-history", args=[experiment.pk]))
    entry = LogEntry.objects.get(action=Action.ARCHIVED)
    assert (entry.who, entry.address, entry.experiment) == ("olga", "192.0.2.9", experiment)
    assert abs((timezone.now() - entry.created_at).total_seconds()) < 60
    html = operator.get(reverse("evolution:activity"), {"action": "archived"}).content.decode()
    assert "192.0.2.9" in html
    assert "1 entry" in html
    assert (
        "0 entries" in operator.get(reverse("evolution:activity"), {"who": "bob"}).content.decode()
    )
    bad = operator.get(
        reverse("evolution:activity"), {"since": "2026-02-02", "until": "2026-01-01"}
    )
    assert bad.status_code == 400
    answer = operator.get(reverse("evolution:activity-csv"), {"q": "cmd"})
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert {(row["who"], row["what"]) for row in rows} == {
        ("olga", "archived"),
        ("olga", "downloaded"),
    }
    # The experiment's own page has what changed it, not who looked at it.
    page = operator.get(experiment.get_absolute_url()).content.decode()
    assert "archived" in page
    assert "downloaded" not in page


def test_entries_outlive_experiment_and_account_and_stay_as_they_are(django_user_model):
    user = django_user_model.objects.create_user("ann")
    experiment = make_experiment(name="Gone", running=False)
    pk = experiment.pk
    control.delete_experiment(experiment, by=user)
    user.delete()
    entry = LogEntry.objects.get()
    assert (entry.who, entry.user, entry.experiment) == ("ann", None, None)
    assert entry.subject == f"experiment {pk} Gone"
    assert not Experiment.objects.exists()
    for change in (entry.save, entry.delete, LogEntry.objects.all().delete):
        with pytest.raises(TypeError):
            change()
    with pytest.raises(TypeError):
        LogEntry.objects.update(who="bob")


def test_cells_are_no_formulas(operator):
    audit.record(Action.DELETED, by=None, subject="=HYPERLINK(1)")
    answer = operator.get(reverse("evolution:activity-csv"), {"action": "deleted"})
    (row,) = csv.DictReader(io.StringIO(answer.content.decode()))
    assert row["subject"] == "'=HYPERLINK(1)"


# --- OpenID Connect -----------------------------------------------------------------------------


def test_sign_in_by_a_provider_of_openid_connect(tmp_path, monkeypatch):
    monkeypatch.setenv("E2L_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2l_site.oidc_visit"],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["button"]
    assert "form-action 'self' http://127.0.0.1:" in found["csp"]
    assert (found["to"], found["pkce"]) == ("/authorize", ["S256"])
    assert found["forged"] == [401, False]
    assert found["done"] == [302, "/"]
    assert (found["name"], found["role"], found["has_password"]) == ("ann", "viewer", False)
    assert found["lab"] == 403
    assert set(found["pages"].values()) == {200, 401}
    assert found["log"] == [["ann", "account created"], ["ann", "signed in"]]


def test_without_its_settings_nothing_of_openid_connect_is_loaded(settings):
    assert settings.OIDC is None
    assert not [name for name in settings.INSTALLED_APPS if "allauth" in name]
    assert Client().get("/accounts/login/").status_code == 404
