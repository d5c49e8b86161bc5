"""What a rule may read and what it returns: signatures, and rules that fit them."""

import hashlib
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from nest_build.rules.language import Expression, RuleSyntaxError, parse

_ALIAS = re.compile(r"x_[0-9]+")


def _require_identifier(name: str) -> None:
    # Names are written into source text, LaTeX and MathML: nothing else may ever get there.
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is not a valid name for an input or a branch")


@dataclass(frozen=True)
class RuleInput:
    """One quantity a rule may read: its symbol, unit (empty if dimensionless) and meaning."""

    name: str
    unit: str
    description: str

    def __post_init__(self) -> None:
        _require_identifier(self.name)


@dataclass(frozen=True)
class RuleSignature:
    """Inputs of a rule, in the order of the aliases, and the names of its branches."""

    inputs: tuple[RuleInput, ...]
    branches: tuple[str, ...]

    def __post_init__(self) -> None:
        for index, name in enumerate(self.input_names):
            if _ALIAS.fullmatch(name) and name != f"x_{index}":
                raise ValueError(f"the name {name} is the alias of another input")
        for branch in self.branches:
            _require_identifier(branch)
        if len(set(self.input_names)) < len(self.inputs):
            raise ValueError("two inputs have the same name")
        if not self.branches or len(set(self.branches)) < len(self.branches):
            raise ValueError("a rule has at least one branch, and no two of the same name")

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(rule_input.name for rule_input in self.inputs)


@dataclass(frozen=True)
class PlasticityRule:
    """One expression per branch of a signature."""

    signature: RuleSignature
    branches: tuple[Expression, ...]

    def __post_init__(self) -> None:
        if len(self.branches) != len(self.signature.branches):
            names = ", ".join(self.signature.branches)
            raise ValueError(
                f"the rule needs {len(self.signature.branches)} expression(s) ({names}), "
                f"got {len(self.branches)}"
            )
        if any(branch.inputs != self.signature.input_names for branch in self.branches):
            raise ValueError("the inputs of an expression are not those of the signature")

    @classmethod
    def parse(cls, signature: RuleSignature, texts: Sequence[str]) -> "PlasticityRule":
        """Read one text per branch.

        Raises
        ------
        RuleSyntaxError
            If the number of texts is wrong or a text is not an expression of the language; the
            message names the branch when there are several.
        """
        if isinstance(texts, str) or len(texts) != len(signature.branches):
            names = ", ".join(signature.branches)
            raise RuleSyntaxError(
                f"The rule needs {len(signature.branches)} expression(s): {names}."
            )
        branches = []
        for name, text in zip(signature.branches, texts, strict=True):
            try:
                branches.append(parse(text, signature.input_names))
            except RuleSyntaxError as error:
                if len(texts) == 1:
                    raise
                raise RuleSyntaxError(f"{name}: {error.message}", error.column) from error
        return cls(signature, tuple(branches))

    def canonical(self) -> "PlasticityRule":
        """The rule with every branch in canonical form."""
        return PlasticityRule(self.signature, tuple(b.canonical() for b in self.branches))

    @cached_property
    def key(self) -> str:
        """Digest of the canonical texts; equal keys mean the very same simulated arithmetic."""
        return _digest(str(branch.canonical()) for branch in self.branches)

    @cached_property
    def fingerprint(self) -> str:
        """Name of the semantic class: rules of equal value have equal fingerprints."""
        return _digest(branch.fingerprint() for branch in self.branches)

    @cached_property
    def family(self) -> str:
        """Name of the class of all rules that are this one times a positive constant."""
        from nest_build.rules.equivalence import family

        return family(self.branches)

    @cached_property
    def complexity(self) -> int:
        """Number of operators and leaves over all branches."""
        return sum(branch.complexity() for branch in self.branches)

    @property
    def texts(self) -> tuple[str, ...]:
        """Source text of each branch, with named inputs."""
        return tuple(str(branch) for branch in self.branches)

    @property
    def latex(self) -> tuple[str, ...]:
        """LaTeX of each branch."""
        return tuple(branch.latex() for branch in self.branches)

    @property
    def mathml(self) -> tuple[str, ...]:
        """MathML of each branch."""
        return tuple(branch.mathml() for branch in self.branches)

    def is_positive_multiple_of(self, other: "PlasticityRule") -> bool:
        """Whether the rule is `other` times one positive constant, judged at generic points.

        Such rules differ only by the learning rate.
        """
        from nest_build.rules.equivalence import is_positive_multiple

        return self.signature.input_names == other.signature.input_names and is_positive_multiple(
            self.branches, other.branches
        )


def _digest(texts) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]
