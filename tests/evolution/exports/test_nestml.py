"""NESTML reads the exported models, and NEST simulates them as our own synapses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from pynestml.cocos.co_cos_manager import CoCosManager
from pynestml.codegeneration.printers.constant_printer import ConstantPrinter
from pynestml.codegeneration.printers.cpp_expression_printer import CppExpressionPrinter
from pynestml.codegeneration.printers.cpp_function_call_printer import CppFunctionCallPrinter
from pynestml.codegeneration.printers.cpp_simple_expression_printer import (
    CppSimpleExpressionPrinter,
)
from pynestml.codegeneration.printers.cpp_variable_printer import CppVariablePrinter
from pynestml.frontend.pynestml_frontend import init_predefined
from pynestml.utils.logger import Logger, LoggingLevel
from pynestml.utils.model_parser import ModelParser

from evolution.exports import FORMS, Inexpressible
from evolution.exports.nestml import nestml_expression
from evolution.exports.reading import may_leave_reals
from nest_build.rules import parse
from tests.docs.pages import PAGES, code_blocks
from tests.evolution.exports.rules import (
    CONTINUOUS,
    NAMES,
    PAIRS,
    POINTS,
    REWARD,
    WRITTEN,
    check,
    many_texts,
    rule_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).parents[3]
NEURON = Path(__file__).parent / "probe_neuron.nestml"

#: Each keeps meeting one bound, the first one zero and the second one Wmax.
DEPRESSING = ["w*E + 0.3*E", "(1.3 - w)*E"]
#: Constants with more digits than NESTML writes, and powers that stay real.
FACILITATING = [
    "(0.1234567890123 + w)**2*E**0.5/(1 + E) + 1e-10",
    "4*E*2.5**w + (w - 1)**3",
]
ERROR = ["(v - u)*s"]


def model(signature: str, texts: Sequence[str], name: str) -> str:
    text = FORMS["nestml"].write(rule_of(*texts, signature=signature))
    assert text.count("plasticity_rule_synapse:") == 1
    return text.replace("plasticity_rule_synapse:", f"{name}:")


# It takes half a minute: NESTML writes C++, and the compiler reads NEST's headers.
@pytest.mark.nest
def test_generated_synapses_reproduce_our_weights(tmp_path: Path) -> None:
    models = {
        # The first, since NESTML takes the kinds of ports of the first synapse for all of them.
        "error_synapse": model(CONTINUOUS, ERROR, "error_synapse"),
        "depressing_synapse": model(PAIRS, DEPRESSING, "depressing_synapse"),
        "facilitating_synapse": model(PAIRS, FACILITATING, "facilitating_synapse"),
    }
    for name, text in models.items():
        (tmp_path / f"{name}.nestml").write_text(text)
    potentials = [["v_target", "V_target"], ["u_post", "V_m"]]
    ports = {name: {"post_ports": ["post_spikes"]} for name in models}
    ports["error_synapse"] = {"post_ports": potentials, "vt_ports": ["clock_spikes"]}
    log = run(tmp_path, "-c", guide_for(models, ports))
    assert "ERROR" not in log, log

    rules = {
        name: dict(zip(("expr_depress", "expr_facilitate"), texts, strict=True))
        for name, texts in (
            ("depressing_synapse", DEPRESSING),
            ("facilitating_synapse", FACILITATING),
        )
    }
    rules["error_synapse"] = ERROR[0]
    module = str(tmp_path / "rule_module")
    log = run(tmp_path, "-m", "tests.evolution.exports.simulate_nestml", module, json.dumps(rules))
    weights = json.loads(log.strip().splitlines()[-1])
    assert len(weights) == 7
    for name, found in weights.items():
        ours = np.array(found["ours"])
        assert len(set(ours)) > 2, name
        # The same arithmetic in another order: NESTML's traces decay from one spike to the next of
        # either kind, filters are propagated by one step instead of a slice.
        np.testing.assert_allclose(found["theirs"], ours, rtol=1e-12, err_msg=name)


def guide_for(models: Iterable[str], ports: dict[str, dict]) -> str:
    """Return the code of docs/how_to/export_a_rule.md for these models, which are built at once."""
    (code,) = code_blocks(PAGES["docs/how_to/export_a_rule.md"], "python")
    files = [*(f"{name}.nestml" for name in models), str(NEURON)]
    for guide, ours in (
        ('["rule.nestml", str(neuron)]', repr(files)),
        ('{"neuron": "iaf_psc_delta_neuron", "synapses": pair}',
         repr({"neuron": "probe_neuron", "synapses": ports})),
        ('{"plasticity_rule_synapse": "w_syn"}', repr(dict.fromkeys(models, "w_syn"))),
    ):  # fmt: skip
        assert code.count(guide) == 1
        code = code.replace(guide, ours)
    return f"{code}\nassert neuron.is_file()\n"


def run(folder: Path, *arguments: str) -> str:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYNEST_QUIET": "1",
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def mistakes(text: str, folder: Path) -> list[str]:
    """Return the errors that NESTML's parser and its checks of models find."""
    file = folder / "model.nestml"
    file.write_text(text)
    init_predefined()
    Logger.init_logger(LoggingLevel.NO)
    unit = ModelParser.parse_file(str(file))
    for found in unit.get_model_list() if unit else ():
        CoCosManager.check_cocos(found)
    return [str(message) for *_, message in Logger.get_messages(level=LoggingLevel.ERROR)]


@pytest.mark.parametrize(
    ("signature", "texts"),
    [
        (CONTINUOUS, ["-(v - u)**2*s/(1 - s) + 1e-200**0.5*0"]),
        (CONTINUOUS, ["3"]),
        (PAIRS, ["-w", "E**(w - 1) - (-E)"]),
        (PAIRS, ["1e+20", "0.3333333333333333"]),
    ],
    ids=["powers of numbers", "a number", "a sign", "long numbers"],
)
def test_nestml_finds_no_mistake(signature: str, texts: list[str], tmp_path: Path) -> None:
    assert mistakes(model(signature, texts, "rule_synapse"), tmp_path) == []


@pytest.mark.parametrize("line", ["E real = K_plus\n", "output:\n        spike\n", "real = 0.01"])
def test_a_mistake_would_be_found(line: str, tmp_path: Path) -> None:
    text = model(PAIRS, DEPRESSING, "rule_synapse")
    assert line in text
    assert mistakes(text.replace(line, ""), tmp_path) != []


#: Constants with more digits than NESTML writes, or with exponents that it would shorten.
NUMBERS = ["0.3333333333333333*v", "1e-10*v", "1e+20*v/1e+10", "1234567890.0123*v", "7e-05 - v"]


@settings(max_examples=2, deadline=None, derandomize=True)
@given(many_texts)
def test_the_cpp_that_nestml_makes_computes_the_rule(tmp_path_factory, random: list[str]) -> None:
    texts = [
        text for text in WRITTEN + NUMBERS + random if not may_leave_reals(parse(text, NAMES).tree)
    ]
    assert len(texts) > 30
    printer = cpp_printer()
    calls = "\n".join(
        f'printf( "%.17g\\n", static_cast< double >( {printer.print(nestml_ast(text))} ) );'
        for text in texts
    )
    directory = tmp_path_factory.mktemp("nestml")
    (directory / "rules.cpp").write_text(
        "#include <cmath>\n#include <cstdio>\nusing std::pow;\nint main()\n{\n  double v, u, s;\n"
        f'  while ( scanf( "%lf %lf %lf", &v, &u, &s ) == 3 )\n  {{\n{calls}\n  }}\n}}\n'
    )
    subprocess.run(["c++", "-std=c++20", "rules.cpp", "-o", "rules"], cwd=directory, check=True)
    lines = "\n".join(" ".join(map(repr, map(float, point))) for point in POINTS.T)
    done = subprocess.run(
        [directory / "rules"], input=lines, capture_output=True, text=True, check=True
    )
    values = np.array([float(line) for line in done.stdout.split()])
    check(texts, values.reshape(POINTS.shape[1], len(texts)).T, rtol=1e-9)


def nestml_ast(text: str):
    return ModelParser.parse_expression(nestml_expression(parse(text, NAMES).tree, NAMES))


def cpp_printer() -> CppExpressionPrinter:
    """Return what writes expressions into the code of synapses, without the names of members."""
    variables, calls = CppVariablePrinter(None), CppFunctionCallPrinter(None)
    simple = CppSimpleExpressionPrinter(variables, ConstantPrinter(), calls)
    printer = CppExpressionPrinter(simple)
    variables._expression_printer = calls._expression_printer = printer
    return printer


@pytest.mark.parametrize(
    ("signature", "texts", "reason"),
    [
        (PAIRS, ["w**E", "E"], "complex numbers"),
        (PAIRS, ["E", "(E - 1)**0.5"], "complex numbers"),
        (CONTINUOUS, ["s**0.5"], "complex numbers"),
        (REWARD, ["E*(R - 1)"], "reward"),
        (PAIRS, ["1e-300*w", "E"], "constant 1e-300"),
        ("a,b -> c", ["a + b"], "No synapse model"),
    ],
    ids=["weight", "difference", "filter", "reward", "constant", "inputs"],
)
def test_what_nestml_cannot_say_is_refused(signature: str, texts: list[str], reason: str) -> None:
    with pytest.raises(Inexpressible, match=re.escape(reason)):
        FORMS["nestml"].write(rule_of(*texts, signature=signature))


@pytest.mark.parametrize("text", ["E**w", "2**w", "(w**2 + 1)**E", "(w**2/(E + 1))**0.5", "w**3"])
def test_powers_that_stay_real_are_not_refused(text: str) -> None:
    FORMS["nestml"].write(rule_of(text, text, signature=PAIRS))
    points = np.random.default_rng(3).uniform([[-2.0], [0.0]], 2.0, (2, 200))
    names = ("w", "E")
    with np.errstate(all="ignore"):
        as_reals = eval(text, {}, dict(zip(names, points, strict=True)))
    np.testing.assert_allclose(as_reals, parse(text, names).evaluate(*points), rtol=1e-12)
