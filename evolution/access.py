"""Who may do what: the only place that knows.

==============  ===================================================================================
who             what
==============  ===================================================================================
visitor         nothing; with ``E2L_PUBLIC=1`` reads what the laboratory may read; with a link reads
                the one experiment that it was made for
viewer          reads what the laboratory may read
member          also launches experiments, controls those of his own, simulates, writes notes
operator        reads and changes everything, manages accounts, sees the audit log and tracebacks
==============  ===================================================================================

A role is the name of a Django group; a superuser is an operator, an account without a role a
member. The user of a request may carry ``shared_experiments``, the ids of the experiments
that links opened for its session.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db.models import Case, Exists, OuterRef, Q, Subquery, Value, When

from evolution.enums import Role, Scope, Visibility
from evolution.models import Experiment, Individual, Rule, Validation
from evolution.prepared import PreparedQuery, PreparedRecords, number_places

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
    from django.db.models import QuerySet

    from evolution.models.experiment import ExperimentQuerySet
    from evolution.models.rule import RuleQuerySet
    from evolution.models.validation import ValidationQuerySet

    Person: TypeAlias = AbstractBaseUser | AnonymousUser


def role_of(user: Person) -> Role | None:
    """Return the role of somebody, None for visitors and where the account is deactivated."""
    return role_of_account(user) if user.is_authenticated and user.is_active else None


def role_of_account(user: AbstractBaseUser) -> Role:
    """Return the role of an account, also of a deactivated one.

    Users that `with_role` has loaded cost no statement, others one.
    """
    if user.is_superuser:
        return Role.OPERATOR
    if not hasattr(user, "role_name"):
        names = user.groups.filter(name__in=Role.values).values_list("name", flat=True)
        user.role_name = max(names, key=Role.values.index, default=None)
    return Role(user.role_name) if user.role_name else Role.MEMBER


def with_role(users: QuerySet) -> QuerySet:
    """Load users together with the names of their roles, in one statement."""
    ranks = [When(name=name, then=Value(rank)) for rank, name in enumerate(Role.values)]
    groups = Group.objects.filter(user=OuterRef("pk"), name__in=Role.values)
    highest = groups.order_by(Case(*ranks).desc()).values("name")[:1]
    return users.annotate(role_name=Subquery(highest))


def account(pk: int) -> User | None:
    """Return an account with its role, also a deactivated one: what every request begins with."""
    (place,) = number_places(1)
    return next(iter(_accounts().records({place: pk})), None)


@cache
def _accounts() -> PreparedRecords:
    (place,) = number_places(1)
    return PreparedRecords(with_role(get_user_model().objects.filter(pk=place)))


def is_operator(user: Person) -> bool:
    """Whether somebody may do everything."""
    return role_of(user) is Role.OPERATOR


def may_simulate(user: Person) -> bool:
    """Whether somebody may launch experiments and simulations, and write notes."""
    return role_of(user) in {Role.MEMBER, Role.OPERATOR}


def token_scopes(owner: Person) -> list[Scope]:
    """Return what tokens of somebody may be used for: no more than what he may do."""
    if is_operator(owner):
        return list(Scope)
    if may_simulate(owner):
        return [scope for scope in Scope if scope is not Scope.OPERATE]
    return [Scope.READ]


def may_browse(user: Person) -> bool:
    """Whether somebody may read what the laboratory may read."""
    return role_of(user) is not None or settings.E2L_PUBLIC


def visible_experiments(user: Person) -> ExperimentQuerySet:
    """Return the experiments that somebody may read."""
    if is_operator(user):
        return Experiment.objects.all()
    may_read = Q(pk__in=getattr(user, "shared_experiments", ()))
    if may_browse(user):
        may_read |= Q(visibility=Visibility.LABORATORY)
    if role_of(user) is not None:
        may_read |= Q(owner=user.pk)
    return Experiment.objects.filter(may_read)


def may_read(user: Person, experiment: Experiment) -> bool:
    """Whether somebody may read an experiment: whether it is among those of `visible_experiments`.

    For many people and few experiments, which are loaded once.
    """
    return (
        is_operator(user)
        or experiment.pk in getattr(user, "shared_experiments", ())
        or (may_browse(user) and experiment.visibility == Visibility.LABORATORY)
        or (role_of(user) is not None and experiment.owner_id == user.pk)
    )


def reading_group(user: Person) -> str:
    """Return a key that is the same for people who may read the same experiments.

    All who may read no more than the laboratory may read are one group.
    """
    if is_operator(user):
        return "all"
    group = ["laboratory"] if may_browse(user) else []
    group += [str(pk) for pk in sorted(getattr(user, "shared_experiments", ()))]
    if role_of(user) is not None:
        (place,) = number_places(1)
        if _experiments_of_one().rows({place: user.pk}):
            group.append(f"owner {user.pk}")
    return ", ".join(group)


@cache
def _experiments_of_one() -> PreparedQuery:
    """Ask whether somebody has experiments that the laboratory may not read."""
    (place,) = number_places(1)
    own = Experiment.objects.filter(owner=place).exclude(visibility=Visibility.LABORATORY)
    return PreparedQuery(own.order_by().values_list("pk")[:1])


def may_change(user: Person, experiment: Experiment) -> bool:
    """Whether somebody may control, label, share and delete an experiment."""
    if is_operator(user):
        return True
    return may_simulate(user) and experiment.owner_id == user.pk


def visible_rules(user: Person) -> RuleQuerySet:
    """Return the rules whose pages somebody may read.

    Those of the catalogue, and those that are in an experiment that he may read.
    """
    if is_operator(user):
        return Rule.objects.all()
    if not may_browse(user):
        return Rule.objects.none()
    found_in = Individual.objects.filter(
        rule=OuterRef("pk"), run__experiment__in=visible_experiments(user)
    )
    return Rule.objects.filter(Q(shared_at__isnull=False) | Exists(found_in))


def visible_rule(user: Person, pk: int) -> Rule:
    """Return one of the rules whose pages somebody may read.

    Raises
    ------
    Rule.DoesNotExist
        If there is none, or he may not read it.
    """
    # Most rules are shared; whether somebody may read another one takes longer to ask.
    shared = Rule.objects.shared().filter(pk=pk).first() if may_browse(user) else None
    return shared or visible_rules(user).get(pk=pk)


def visible_validations(user: Person) -> ValidationQuerySet:
    """Return the validations that somebody may know of.

    His own, and those about rules and experiments that he may read.
    """
    if is_operator(user):
        return Validation.objects.all()
    may_read = Validation.objects.about(visible_experiments(user)).filter(
        Q(rule__isnull=True) | Q(rule__in=visible_rules(user))
    )
    if role_of(user) is not None:
        return Validation.objects.filter(Q(pk__in=may_read.values("pk")) | Q(owner=user.pk))
    return may_read


def may_cancel(user: Person, validation: Validation) -> bool:
    """Whether somebody may cancel a validation."""
    return is_operator(user) or (may_simulate(user) and validation.owner_id == user.pk)
