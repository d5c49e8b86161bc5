"""Everything that the pages can do, programs can: each page has operations, or a reason why not.

A new page needs a row here: the operations that give what it shows and do what it does, or the
reason for which there is none.
"""

from __future__ import annotations

import pytest

from evolution.api.schema import document
from tests.e2l_site.test_permissions import ROUTES, TABLE

SIGNS_IN = "makes or ends what signs somebody in: see ADR 0010"
REFERENCE = "is about the API itself"

#: Operations by route; of those that do something one must do it as well.
OPERATIONS: dict[str, tuple[str, ...]] = {
    "evolution:experiments": ("list_experiments",),
    "evolution:bulk": ("act_on_experiments", "compare"),
    "evolution:new-experiment": (
        "launch_experiment", "clone_experiment", "start_experiment", "list_learning_tasks",
        "get_learning_task", "list_evolution_parameters", "list_primitives",
    ),
    "evolution:estimate": ("estimate_experiment",),
    "evolution:import-experiment": ("import_experiment",),
    "evolution:experiment": (
        "get_experiment", "list_runs", "get_run", "list_generations", "list_log", "list_failures",
    ),
    "evolution:export-experiment": ("export_experiment",),
    "evolution:reproduce-experiment": ("reproduce_experiment",),
    "evolution:experiment-difference": ("get_difference",),
    "evolution:launch-experiment": ("start_experiment",),
    "evolution:pause-experiment": ("pause_experiment",),
    "evolution:resume-experiment": ("resume_experiment",),
    "evolution:stop-experiment": ("stop_experiment",),
    "evolution:extend-experiment": ("extend_experiment",),
    "evolution:archive-experiment": ("archive_experiment",),
    "evolution:unarchive-experiment": ("unarchive_experiment",),
    "evolution:delete-experiment": ("delete_experiment",),
    "evolution:retry-failures": ("retry_experiment",),
    "evolution:experiment-labels": ("change_experiment",),
    "evolution:experiment-actions": ("get_experiment",),
    "evolution:experiment-figures": ("get_experiment_figures", "get_status"),
    "evolution:experiment-records": ("list_failures", "list_log"),
    "evolution:experiment-plot": ("list_generations",),
    "evolution:experiment-band": ("compare",),
    "evolution:experiment-state": ("get_experiment",),
    "evolution:experiment-history": ("export_history",),
    "evolution:run": ("get_run", "get_lineage"),
    "evolution:population": ("get_population",),
    "evolution:individuals": ("list_individuals",),
    "evolution:individual": ("get_individual",),
    "evolution:sharing": ("get_experiment", "list_links"),
    "evolution:visibility": ("change_experiment",),
    "evolution:create-link": ("create_link",),
    "evolution:revoke-link": ("revoke_link",),
    "evolution:compare": ("compare",),
    "evolution:compare-figure": ("compare",),
    "evolution:rules": ("list_rules", "list_contexts"),
    "evolution:rules-front": ("get_front",),
    "evolution:rule": (
        "get_rule", "list_forms", "list_family", "list_occurrences", "list_evaluations",
        "list_rule_simulations",
    ),
    "evolution:export-rule": ("export_rule",),
    "evolution:rule-shape": ("get_rule_shape",),
    "evolution:simulate-rule": ("simulate", "list_simulations"),
    "evolution:rule-note": ("note_rule",),
    "evolution:validate-front": ("validate_front",),
    "evolution:validate-rule": ("validate_rule", "test_robustness"),
    "evolution:rule-validation": ("list_held_out",),
    "evolution:rule-validating": ("list_validations", "get_validation", "get_robustness"),
    "evolution:held-out-trials": ("list_held_out",),
    "evolution:rule-robustness": ("get_robustness",),
    "evolution:validate-experiment": ("validate_experiment",),
    "evolution:experiment-validation": ("list_champions", "list_validations"),
    "evolution:cancel-validation": ("cancel_validation",),
    "evolution:probe": ("get_simulation",),
    "evolution:probe-panel": ("get_simulation_panel",),
    "evolution:probe-recording": ("get_recording",),
    "evolution:figures": ("list_figures",),
    "evolution:figure": ("get_figure",),
    "evolution:figure-progress": ("get_figure",),
    "evolution:figure-simulate": ("simulate_figure",),
    "evolution:figure-panel": ("get_figure_panel",),
    "evolution:operation": ("get_operation",),
    "evolution:operation-state": ("get_operation",),
    "evolution:drain-host": ("drain_host",),
    "evolution:resume-host": ("resume_host",),
    "evolution:restart-host": ("restart_host",),
    "evolution:lab": ("simulate", "keep_rule"),
    "evolution:lab-check": ("check_rule",),
    "evolution:tokens": ("list_tokens",),
    "evolution:revoke-token": ("revoke_token",),
    "evolution:people": ("list_people", "create_account", "get_person"),
    "evolution:account-role": ("change_account",),
    "evolution:account-active": ("change_account",),
    "evolution:activity": ("list_activity",),
    "evolution:activity-csv": ("list_activity",),
    "account": ("get_root",),
}  # fmt: skip

#: Reasons by route.
NONE = {
    "sign-in": SIGNS_IN,
    "sign-out": SIGNS_IN,
    "welcome": SIGNS_IN,
    "set-password": SIGNS_IN,
    "change-password": SIGNS_IN,
    "end-sessions": SIGNS_IN,
    "evolution:create-token": SIGNS_IN,
    "evolution:password-link": SIGNS_IN,
    "evolution:shared": "lets a browser without an account read one experiment",
    "api:reference": REFERENCE,
}
#: Operations that no page has.
OF_PROGRAMS = {"get_schema": REFERENCE}


def methods() -> dict[str, str]:
    return {
        operation["operationId"]: method.upper()
        for operations in document()["paths"].values()
        for method, operation in operations.items()
    }


def pages() -> set[str]:
    """Return the routes of pages, and of what scripts of pages ask for."""
    return {name for name in ROUTES if not name.startswith("api:") or name == "api:reference"}


def test_every_page_has_operations_or_a_reason():
    assert OPERATIONS.keys() | NONE.keys() == pages()
    assert not OPERATIONS.keys() & NONE.keys()
    assert all(OPERATIONS.values())
    assert all(NONE.values())


def test_operations_are_there_and_each_serves_a_page():
    named = {operation for operations in OPERATIONS.values() for operation in operations}
    assert named | OF_PROGRAMS.keys() == methods().keys()


def takes_post(route: str) -> bool:
    """Whether a page does something: whoever may come in is not told that it has no POST."""
    _, answers = TABLE[route]
    return set(answers) - {302, 401, 403} != {405}


DOING = sorted(route for route in OPERATIONS if takes_post(route))


@pytest.mark.parametrize("route", DOING)
def test_what_a_page_does_an_operation_does(route):
    """That an operation shows what a page changes is not enough."""
    assert {methods()[operation] for operation in OPERATIONS[route]} - {"GET"}


def test_pages_that_do_something_are_known_as_such():
    assert {"evolution:bulk", "evolution:people", "evolution:cancel-validation"} <= set(DOING)
    assert not {"evolution:rule", "evolution:operation", "account"} & set(DOING)
