"""What the threat model (docs/threat_model.md) says of settings, headers and requests."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import reverse

from e2l_site.locations import PROJECT_ROOT
from tests.evolution.histories import add_typical_history, make_experiment

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db

PRODUCTION = {
    "E2L_HTTPS": "1",
    "E2L_ALLOWED_HOSTS": "lab.example.org",
    "E2L_CSRF_TRUSTED_ORIGINS": "https://lab.example.org",
    "E2L_SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
}
OIDC = {
    "E2L_OIDC_ISSUER": "https://id.example.org",
    "E2L_OIDC_CLIENT_ID": "e2l",
    "E2L_OIDC_CLIENT_SECRET": "secret",
}


def _run(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    names = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("E2L_") and name not in names
    }
    environment = {**clean, "E2L_DATA_DIR": str(tmp_path), **variables}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("more", [{}, OIDC, {"E2L_PUBLIC": "1"}], ids=["plain", "oidc", "public"])
def test_the_deployment_checks_of_django_are_clean(tmp_path, more):
    arguments = ("manage.py", "check", "--deploy", "--fail-level", "DEBUG")
    done = _run(tmp_path, *arguments, **PRODUCTION, **more)
    assert (done.returncode, done.stderr) == (0, "")
    # The check can fail: without TLS it does.
    assert _run(tmp_path, *arguments).returncode == 1


def test_behind_tls_cookies_are_secure_and_browsers_stay_with_it(tmp_path):
    done = _run(
        tmp_path,
        "-c",
        "import django, json; django.setup()\n"
        "from django.core.management import call_command\n"
        "from django.test import Client\n"
        "call_command('migrate', verbosity=0)\n"
        "c = Client(headers={'host': 'lab.example.org'})\n"
        "plain = c.get('/sign-in/')\n"
        "page = c.get('/sign-in/', headers={'x-forwarded-proto': 'https'})\n"
        "cookie = page.cookies['e2l_csrf']\n"
        "print(json.dumps([plain.status_code, plain.url, page.status_code,"
        "page.headers['Strict-Transport-Security'], cookie['secure'], cookie['httponly']]))",
        DJANGO_SETTINGS_MODULE="e2l_site.settings",
        **PRODUCTION,
    )
    hsts = "max-age=31536000; includeSubDomains"
    assert json.loads(done.stdout) == [
        301, "https://lab.example.org/sign-in/", 200, hsts, True, True,
    ]  # fmt: skip


def test_every_page_has_the_headers(client, django_user_model):
    experiment = make_experiment()
    add_typical_history(experiment.runs.first())
    client.force_login(django_user_model.objects.create_superuser("ann"))
    for path in ("/", experiment.get_absolute_url(), "/rules/", "/nowhere/", "/people/"):
        headers = client.get(path).headers
        policy = dict(
            part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert "unsafe-eval" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]


def test_large_and_manifold_requests_are_refused():
    client = Client(raise_request_exception=False)
    for data in ({"username": "a" * 1_100_000}, {f"field-{n}": "1" for n in range(600)}):
        body = "&".join(f"{name}={value}" for name, value in data.items())
        response = client.post(
            reverse("sign-in"), body, content_type="application/x-www-form-urlencoded"
        )
        assert response.status_code in {400, 413}
        assert "Traceback" not in response.content.decode()


_FETCHERS = {"requests", "httpx", "aiohttp", "urllib.request", "urllib3", "http.client", "ftplib"}
#: Setting up, asking the own server whether it is there, and the client, which no server loads.
_MAY_FETCH = {
    "e2l_site/bootstrap.py",
    "e2l_site/preflight.py",
    "e2l_site/launcher.py",
    "evolution/client/connection.py",
}


def test_nothing_that_serves_requests_fetches_addresses():
    found = {}
    for package in ("e2l_site", "evolution", "simulations", "nest_build"):
        for path in (PROJECT_ROOT / package).rglob("*.py"):
            name = str(path.relative_to(PROJECT_ROOT))
            modules = set(_imports(path)) & _FETCHERS
            if modules and name not in _MAY_FETCH:
                found[name] = modules
    assert found == {}
    assert "http.client" in set(_imports(PROJECT_ROOT / "e2l_site/launcher.py"))


def _imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
