"""The two arithmetics in which a rule can be evaluated."""

import enum


class Arithmetic(enum.StrEnum):
    """What becomes of a product of zero and something that is not a finite number.

    Canonical form, key and fingerprint name the expression and know of no arithmetic. Expressions
    of one canonical form have one value, up to rounding, where nothing is divided by zero and no
    zero has a negative power. Where that happens, the value depends on how the expression is
    written, in both arithmetics: ``w/w`` is 1 in canonical form also where w is zero. Rules with
    the same key are nevertheless the same in a simulation: that of their canonical form.

    Attributes
    ----------
    IEEE
        Double precision as IEEE 754 says: ``0*inf`` is NaN.
    ZERO_PRODUCTS
        A product of which a factor is zero is that factor, whatever the others are, and a quotient
        ``a/b`` is the product ``a*(1/b)``, so that ``0/0`` is zero, too. Everything else is as in
        IEEE arithmetic. SymEngine evaluated expressions in this way in 2020, and with it Jordan,
        Schmidt, Senn & Petrovici (2021), eLife 10:e66273, whose rules for spike-timing dependent
        plasticity meet such products.
    """

    IEEE = "ieee"
    ZERO_PRODUCTS = "zero_products"
