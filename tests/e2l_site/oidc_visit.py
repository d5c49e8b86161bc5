"""Signs in by a provider of OpenID Connect that lives in this process; prints JSON.

A process of its own, as which routes and applications there are is decided when it starts.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit


class Provider(BaseHTTPRequestHandler):
    """Everybody is Ann here."""

    def do_GET(self) -> None:
        base = f"http://127.0.0.1:{self.server.server_port}"
        if self.path.startswith("/.well-known/"):
            self._answer(
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                    "userinfo_endpoint": f"{base}/me",
                    "jwks_uri": f"{base}/keys",
                }
            )
        elif self.headers["Authorization"] == "Bearer good":
            self._answer({"sub": "1", "preferred_username": "ann", "email": "ann@example.org"})
        else:
            self.send_error(401)

    def do_POST(self) -> None:
        query = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        is_good = query["code"] == ["secret-code"] and query["code_verifier"]
        self._answer({"access_token": "good" if is_good else "bad", "token_type": "Bearer"})

    def _answer(self, value: dict) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def visit() -> dict[str, object]:
    """Sign in twice, once with a forged state."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client
    from django.test.utils import setup_test_environment
    from django.urls import reverse

    from evolution import access
    from evolution.models import LogEntry

    call_command("migrate", verbosity=0)
    setup_test_environment()  # pages tell their context
    client = Client(headers={"host": "localhost"})
    page = client.get(reverse("sign-in"))
    start = client.post(reverse("openid_connect_login", args=["laboratory"]))
    query = parse_qs(urlsplit(start.url).query)
    callback = reverse("openid_connect_callback", args=["laboratory"])
    forged = client.get(callback, {"code": "secret-code", "state": "forged"})
    is_in_by_forgery = client.get("/").status_code == 200
    done = client.get(callback, {"code": "secret-code", "state": query["state"][0]})
    home = client.get("/")
    user = home.context["user"]
    return {
        "button": "Sign in by The lab" in page.content.decode(),
        "csp": page.headers["Content-Security-Policy"],
        "to": urlsplit(start.url).path,
        "pkce": query.get("code_challenge_method"),
        "forged": (forged.status_code, is_in_by_forgery),
        "done": (done.status_code, done.url),
        "name": user.get_username(),
        "role": str(access.role_of(user)),
        "has_password": user.has_usable_password(),
        "lab": client.get("/lab/").status_code,
        "pages": {
            name: client.get(reverse(name)).status_code
            for name in ("socialaccount_login_cancelled", "socialaccount_login_error",
                         "socialaccount_connections", "account_inactive")
        },
        "log": list(LogEntry.objects.order_by("pk").values_list("who", "action")),
    }  # fmt: skip


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["DJANGO_SETTINGS_MODULE"] = "e2l_site.settings"
    os.environ["E2L_OIDC_ISSUER"] = f"http://127.0.0.1:{server.server_port}"
    os.environ.update(E2L_OIDC_CLIENT_ID="e2l", E2L_OIDC_CLIENT_SECRET="x", E2L_OIDC_NAME="The lab")
    json.dump(visit(), sys.stdout)
