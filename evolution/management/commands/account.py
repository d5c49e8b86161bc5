"""Manage accounts from the command line, as the page *People* does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand

from evolution.management.base import bad_input, check_name

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django.contrib.auth.models import User

_ROLES = ("viewer", "member", "operator")


class Command(BaseCommand):
    """List, create, change roles, deactivate, make links to set passwords."""

    help = "Manage accounts, as the page “People” does."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        chosen = [actions.add_parser("list", help="Show all accounts.")]
        for name, text in {
            "create": "Create an account; print the path with which a password is set.",
            "role": "Give an account another role.",
            "deactivate": "End all sessions of an account, and let nobody sign in with it.",
            "activate": "Let somebody sign in again.",
            "link": "Print a path with which somebody sets a password, once.",
        }.items():
            action = actions.add_parser(name, help=text, description=text)
            action.add_argument("name", help="User name.")
            if name == "create":
                action.add_argument("--role", choices=_ROLES, default="member")
            if name == "role":
                action.add_argument("role", choices=_ROLES)
            chosen.append(action)
        for action in chosen:
            action.add_argument("--json", action="store_true", help="Print one JSON value.")

    def handle(self, **options: Any) -> None:
        from evolution.errors import AccountRefused

        if options["action"] == "list":
            self._list(options)
            return
        check_name(options["name"])
        try:
            self._act(options)
        except AccountRefused as error:
            raise bad_input(str(error)) from None

    def _act(self, options: dict[str, Any]) -> None:
        from evolution.enums import Role
        from evolution.services import accounts

        action, more = options["action"], {}
        if action == "create":
            user = accounts.create_account(options["name"], Role(options["role"]), by=None)
        else:
            user = self._user(options["name"])
        if action == "role":
            accounts.set_role(user, Role(options["role"]), by=None)
        elif action in {"activate", "deactivate"}:
            accounts.set_active(user, action == "activate", by=None)
        if action in {"create", "link"}:
            more["password_path"] = accounts.password_path(user, by=None)
        row = {**_described(user), **more}
        if options["json"]:
            self.stdout.write(json.dumps(row))
        else:
            self._print_line(row)

    def _user(self, name: str) -> User:
        from django.contrib.auth import get_user_model

        from evolution import access

        user = access.with_role(get_user_model().objects.filter(username=name)).first()
        if user is None:
            raise bad_input(f"There is no account {name!r}.")
        return user

    def _list(self, options: dict[str, Any]) -> None:
        from django.contrib.auth import get_user_model

        from evolution import access

        users = access.with_role(get_user_model().objects.order_by("username"))
        rows = [_described(user) for user in users]
        if options["json"]:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            self._print_line(row)

    def _print_line(self, row: dict[str, Any]) -> None:
        state = "" if row["is_active"] else ", deactivated"
        self.stdout.write(f"{row['name']}: {row['role']}{state}")
        if "password_path" in row:
            self.stdout.write(
                f"Set the password, once, at the site's address and {row['password_path']}"
            )


def _described(user: User) -> dict[str, Any]:
    from evolution import access

    return {
        "name": user.username,
        "role": access.role_of_account(user).value,
        "is_active": user.is_active,
    }
