"""The locked packages have no advisory that is known here."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests import audit


def test_the_list_knows_nothing_against_the_locked_packages():
    packages = audit.locked()
    assert len(packages) > 50
    assert audit.known_by_list(packages) == []


def test_the_list_finds_what_is_old():
    assert audit.known_by_list([("h11", "0.14.0"), ("h11", "0.16.0"), ("nobody", "1")]) == [
        "h11 0.14.0: CVE-2025-43859, fixed in 0.16.0"
    ]


def test_the_answers_of_an_index_are_understood(monkeypatch):
    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_bad = self.path == "/pypi/bad/1.0/json"
            found = [{"id": "PYSEC-1", "aliases": ["CVE-1"], "withdrawn": None}] if is_bad else []
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"vulnerabilities": found}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("E2L_AUDIT_INDEX", f"http://127.0.0.1:{server.server_port}")
    packages = [("bad", "1.0"), ("good", "2.0")]
    assert audit.known_by_index(packages) == ["bad 1.0: CVE-1, PYSEC-1"]
    server.shutdown()


def test_the_index_knows_nothing_against_the_locked_packages():
    packages = audit.locked()
    try:
        audit.known_by_index(packages[:1])
    except audit.NoIndexError as error:
        pytest.skip(f"the index does not answer: {error}")
    assert audit.known_by_index(packages) == []
