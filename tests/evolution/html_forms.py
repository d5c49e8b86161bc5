"""What a browser sends from a form."""

from __future__ import annotations

import re


def form_data(html: str) -> dict[str, str | list[str]]:
    """Return what a browser sends from the form as the page shows it."""
    data: dict[str, str | list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", html):
        attributes = dict(re.findall(r'(\w[\w-]*)="([^"]*)"', tag))
        if attributes.get("type") == "checkbox":
            if " checked" in tag:
                data.setdefault(attributes["name"], []).append(attributes.get("value", "on"))
        elif "name" in attributes:
            data[attributes["name"]] = attributes.get("value", "")
    data.update(re.findall(r'<textarea name="([^"]*)"[^>]*>\s*([^<]*)</textarea>', html))
    for name, options in re.findall(
        r'<select[^>]* ?name="([^"]+)"[^>]*>(.*?)</select>', html, re.S
    ):
        chosen = re.search(r'<option value="([^"]*)"[^>]* selected', options)
        data[name] = chosen[1] if chosen else ""
    data.pop("csrfmiddlewaretoken")
    return data
