"""The two arithmetics in which a rule can be evaluated."""

import enum


class Arithmetic(enum.StrEnum):
    """What becomes of a product of zero and something that is not a finite number.

    The canonical form, key and fingerprint of an expression are the same in both arithmetics, and
    so is its value, up to rounding in divisions, wherever no factor of zero meets an infinity or
    NaN. There it depends on how the expression is written, in this arithmetic as in the other:
    ``w/w`` at zero is 1 in canonical form, ``0*inf`` as it is written.

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
