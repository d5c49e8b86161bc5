"""What every page has: sign-in, security headers, error pages, static files."""

from __future__ import annotations

import re

import pytest
from django.contrib.staticfiles import finders
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.test import Client
from django.urls import path, reverse

from e2l_site import urls as site_urls
from e2l_site.locations import PROJECT_ROOT
from evolution.models import Experiment
from tests.evolution.histories import add_typical_history, make_experiment

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("ann"))
    return client


def test_the_content_security_policy_allows_nothing_inline(client):
    policy = client.get(reverse("sign-in")).headers["Content-Security-Policy"]
    assert sorted(part.strip() for part in policy.split(";")) == sorted(
        [
            "default-src 'none'",
            "script-src 'self'",
            "connect-src 'self'",
            "font-src 'self'",
            "img-src 'self' data:",
            "style-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


def test_a_page_with_figures_has_a_nonce_for_styles_each_time_another_one(ann):
    nonces = set()
    for _ in range(2):
        response = ann.get(reverse("evolution:lab"))
        (nonce,) = re.findall(r"js/style-nonce[^>]* nonce=\"([^\"]{20,})\"", response.text)
        policy = response.headers["Content-Security-Policy"]
        assert policy.count(nonce) == 1
        assert f"style-src 'self' 'nonce-{nonce}'" in policy
        assert "unsafe" not in policy
        nonces.add(nonce)
    assert len(nonces) == 2


def test_secure_headers_and_cookies(client, django_user_model):
    django_user_model.objects.create_user("ann", password="a long enough one")
    response = client.post(reverse("sign-in"), {"username": "ann", "password": "a long enough one"})
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    for name in ("e2l_csrf", "e2l_session"):
        assert response.cookies[name]["httponly"]
        assert response.cookies[name]["samesite"] == "Lax"


def _pages() -> list[str]:
    experiment = make_experiment()
    add_typical_history(experiment.runs.first())
    return [
        reverse("evolution:experiments"),
        reverse("evolution:new-experiment"),
        experiment.get_absolute_url(),
        "/nowhere/",
    ]


def test_no_page_has_inline_scripts_styles_or_handlers(ann):
    for address in _pages():
        html = ann.get(address).content.decode()
        assert not re.search(r"<script(?![^>]*\ssrc=)", html), address
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html), address
        assert not re.search(r'(src|href)="(https?:)?//', html), address


def test_every_page_has_one_heading_a_skip_link_and_a_language(ann):
    for address in _pages():
        html = ann.get(address).content.decode()
        assert len(re.findall(r"<h1[ >]", html)) == 1, address
        assert 'class="skip-link" href="#main"' in html, address
        assert '<html lang="en">' in html, address


def test_every_static_file_of_the_templates_exists():
    names = {
        name
        for template in (PROJECT_ROOT / "templates").rglob("*.html")
        for name in re.findall(r"{% static '([^']+)' %}", template.read_text())
    }
    assert len(names) > 10
    assert [name for name in sorted(names) if finders.find(name) is None] == []


def test_templates_take_scripts_from_nowhere_else():
    for template in (PROJECT_ROOT / "templates").rglob("*.html"):
        assert "//cdn" not in template.read_text()


def test_unknown_addresses_get_our_own_page_signed_in_or_not(ann):
    for client in (ann, Client()):
        response = client.get("/nowhere/")
        assert response.status_code == 404
        html = response.content.decode()
        assert "There is no such page" in html
        assert "urlconf" not in html.lower()


def test_a_wrong_method_gets_our_own_page(ann):
    response = ann.delete(reverse("evolution:experiments"))
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD"
    assert "This address works differently" in response.content.decode()


def test_a_form_of_a_foreign_origin_is_refused(django_user_model):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(django_user_model.objects.create_user("ann"))
    address = reverse("evolution:new-experiment")
    strict.get(address)
    token = strict.cookies["e2l_csrf"].value
    response = strict.post(
        address, {"csrfmiddlewaretoken": token}, headers={"origin": "https://evil.example.org"}
    )
    assert response.status_code == 403
    assert "was not sent from a page of this site" in response.content.decode()
    response = strict.post(address, {}, headers={"origin": "http://testserver"})
    assert response.status_code == 403


def test_an_unknown_host_is_refused(client):
    response = client.get(reverse("sign-in"), headers={"host": "evil.example.org"})
    assert response.status_code == 400
    assert "This request was not understood" in response.content.decode()


def test_an_experiment_whose_learning_task_was_taken_away_is_listed_and_explained(ann):
    experiment = make_experiment(name="An orphan")
    add_typical_history(experiment.runs.first())
    Experiment.objects.update(learning_task_name="gone-driven")
    assert "An orphan" in ann.get(reverse("evolution:experiments")).content.decode()
    pages = [
        experiment.get_absolute_url(),
        reverse("evolution:run", args=[experiment.pk, 1]),
        f"{reverse('evolution:new-experiment')}?from={experiment.pk}",
    ]
    for address in pages:
        response = ann.get(address)
        assert response.status_code in (404, 409), address
        assert "There is no learning task &#x27;gone-driven&#x27;" in response.content.decode()


def _raise(error: Exception):
    def view(request):
        raise error

    view.login_required = False
    return view


class FaultyUrls:
    """The site's routes and three that fail."""

    urlpatterns = (
        *site_urls.urlpatterns,
        path("breaks/", _raise(RuntimeError("a secret detail"))),
        path("forbids/", _raise(PermissionDenied("Only owners may do this."))),
        path("suspects/", _raise(SuspiciousOperation("odd"))),
    )
    handler400 = site_urls.handler400
    handler403 = site_urls.handler403
    handler404 = site_urls.handler404
    handler500 = site_urls.handler500


@pytest.mark.parametrize(
    ("address", "status", "text"),
    [
        ("/breaks/", 500, "Something went wrong on the server"),
        ("/forbids/", 403, "Only owners may do this."),
        ("/suspects/", 400, "This request was not understood"),
    ],
)
def test_faults_get_our_own_pages_without_details(settings, address, status, text):
    settings.ROOT_URLCONF = FaultyUrls
    response = Client(raise_request_exception=False).get(address)
    assert response.status_code == status
    html = response.content.decode()
    assert text in html
    assert "a secret detail" not in html
    assert "Traceback" not in html
