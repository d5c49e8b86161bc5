"""Learning tasks of other packages: the documented example, and settings that cannot be used."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simulations import learning_tasks
from simulations.learning_tasks import LearningTaskSettingError
from tests.simulations.learning_tasks.contract import LearningTaskContract

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "how_to" / "add_a_learning_task.md"
(SOURCE,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
SETTING = "my_tasks.hidden_weight:HiddenWeightTask"
BUILT_IN = ("error-driven", "reward-driven", "correlation-driven")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a user, with the file that the documentation shows."""
    assert SETTING in PAGE.read_text(encoding="utf-8")
    folder = tmp_path_factory.mktemp("of_a_user")
    (folder / "my_tasks").mkdir()
    (folder / "my_tasks" / "hidden_weight.py").write_text(SOURCE, encoding="utf-8")
    return folder


def run(folder: Path, *arguments: str, setting: str = SETTING) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(folder), "E2L_LEARNING_TASKS": setting},
    )


# ------------------------------------------------------------------ the documented example


def _documented_task() -> learning_tasks.LearningTask:
    spec = importlib.util.spec_from_loader("documented_hidden_weight", loader=None)
    module = importlib.util.module_from_spec(spec)
    exec(SOURCE, module.__dict__)
    return module.HiddenWeightTask()


class TestDocumentedTask(LearningTaskContract):
    task = _documented_task()
    parameters = task.parameters_type(n_steps=40)
    longer = {"n_steps": 80}
    tame = (("(t - y)*x",), ("t - y",), ("x",), ("0",))
    wild = (("1/(x - x)",), ("1e308*(1 + x*x)",))
    preset_names = frozenset({"demo"})


def test_example_is_registered_after_the_built_in_ones_and_only_when_asked_for(
    folder: Path,
) -> None:
    program = (
        "import json, sys\n"
        "from simulations.learning_tasks import get_learning_task, learning_task_names\n"
        "get_learning_task('error-driven')\n"
        "early = [name for name in sys.modules if name.startswith(('my_tasks', 'django'))]\n"
        "names = learning_task_names()\n"
        "task = get_learning_task('hidden-weight')\n"
        "assert task is get_learning_task(names[-1])\n"
        "print(json.dumps([early, names, task.title, 'nest' in sys.modules]))\n"
    )
    done = run(folder, "-c", program)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], [*BUILT_IN, "hidden-weight"], "Hidden weight", False]


@pytest.mark.nest
def test_example_is_evaluated_by_the_command(folder: Path) -> None:
    command = ("manage.py", "evaluate", "hidden-weight", "--json")
    delta, nothing, infinite = (
        run(folder, *command, rule) for rule in ("(t - y)*x", "0", "1/(x - x)")
    )
    assert delta.returncode == nothing.returncode == infinite.returncode == 0, delta.stderr
    learned, untrained = json.loads(delta.stdout), json.loads(nothing.stdout)
    assert len(learned["trials"]) == 4
    assert -0.01 < learned["fitness"] < 0
    # The mean distance of the hidden weights from the initial one, which is 0.
    assert -2 < untrained["fitness"] < 10 * learned["fitness"]
    assert json.loads(infinite.stdout)["reason"] == "not finite"


def test_a_setting_that_cannot_be_used_is_one_sentence_of_the_command(folder: Path) -> None:
    done = run(folder, "manage.py", "evaluate", "error-driven", "v", setting="my_tasks.nothing:X")
    assert done.returncode == 2
    assert "there is no module my_tasks.nothing on PYTHONPATH" in done.stderr
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------ what cannot be used


@pytest.fixture
def names_of(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Callable[[str], tuple[str, ...]]:
    """Return the names of the learning tasks under a setting; the modules below can be named."""
    monkeypatch.syspath_prepend(folder)
    sources = {
        "broken": "raise RuntimeError('not today')",
        "needy": "import a_package_that_nobody_has",
        "odd": (
            "from my_tasks.hidden_weight import HiddenWeightTask as Base\n"
            "from simulations.learning_tasks import LearningTask\n"
            "class Empty(LearningTask): name = 'empty'\n"
            "class Taken(Base): name = 'reward-driven'\n"
            "class Nameless(Base): name = ''\n"
            "class Mistyped(Base): aggregate = 'mean'\n"
            "class Foreign(Base): parameters_type = dict\n"
            "class Bare(Base): presets = {}\n"
            "class Demanding(Base):\n    def __init__(self, argument): pass\n"
            "class Second(Base): name = 'second'\n"
            "a_function = len\n"
        ),
    }
    for name, source in sources.items():
        (folder / "my_tasks" / f"{name}.py").write_text(source, encoding="utf-8")

    def names(setting: str) -> tuple[str, ...]:
        monkeypatch.setenv("E2L_LEARNING_TASKS", setting)
        return learning_tasks.learning_task_names()

    return names


def test_names_come_in_the_order_of_the_setting(
    names_of: Callable[[str], tuple[str, ...]],
) -> None:
    assert names_of(" ") == BUILT_IN
    assert names_of(f" my_tasks.odd:Second, {SETTING},") == (*BUILT_IN, "second", "hidden-weight")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("my_tasks.hidden_weight", "must read package.module:ClassName"),
        ("my_tasks/hidden_weight.py:HiddenWeightTask", "must read package.module:ClassName"),
        (".hidden_weight:HiddenWeightTask", "must read package.module:ClassName"),
        ("no_such_package.module:X", "there is no module no_such_package on PYTHONPATH"),
        ("my_tasks.no_such_module:X", "there is no module my_tasks.no_such_module on PYTHONPATH"),
        ("my_tasks.needy:X", "cannot be imported: ModuleNotFoundError: No module named 'a_package"),
        ("my_tasks.broken:X", "my_tasks.broken cannot be imported: RuntimeError: not today"),
        ("my_tasks.odd:Nothing", "the module my_tasks.odd has no Nothing"),
        ("my_tasks.odd:a_function", "a_function is not a class derived from LearningTask"),
        ("my_tasks.odd:Empty", "lacks title, summary, signature, aggregate, fitness_label"),
        ("my_tasks.odd:Empty", "estimate_seconds, simulate_trial"),
        ("my_tasks.odd:Taken", "there already is a learning task called 'reward-driven'"),
        (f"{SETTING},{SETTING}", "there already is a learning task called 'hidden-weight'"),
        ("my_tasks.odd:Nameless", "its name must have 1 to 60 characters"),
        ("my_tasks.odd:Mistyped", "its aggregate is not of type Aggregate"),
        ("my_tasks.odd:Foreign", "its parameters_type is not derived from TaskParameters"),
        ("my_tasks.odd:Bare", "it has no preset"),
        ("my_tasks.odd:Demanding", "it cannot be created: TypeError"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_reason(
    names_of: Callable[[str], tuple[str, ...]], setting: str, message: str
) -> None:
    with pytest.raises(LearningTaskSettingError) as error:
        names_of(setting)
    text = str(error.value)
    assert text.startswith("E2L_LEARNING_TASKS has '")
    assert message in text
    assert learning_tasks.get_learning_task("error-driven").name == "error-driven"
