"""Web processes start fast because nothing heavy is imported before it is needed."""

from __future__ import annotations

import json
import subprocess
import sys

from e2l_site.locations import PROJECT_ROOT

HEAVY = {"evolution.client", "nest", "llvmlite", "bokeh", "symengine", "cgp", "matplotlib", "sympy"}


def test_asgi_application_loads_nothing_heavy() -> None:
    program = (
        "import json, sys; import e2l_site.asgi; from django.urls import get_resolver; "
        "get_resolver().reverse_dict; print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT_ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert HEAVY.isdisjoint(json.loads(done.stdout.splitlines()[-1]))
