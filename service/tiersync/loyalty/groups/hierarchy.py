"""Pure. Hierarchies and companies: who may have which role in which company, and whose group one belongs to.

`contracts/capillary.md` 3.8. A hierarchy is a chain of roles from the top down. The role that aggregates points (else
the top one) owns the group of its company. A sub-company leans on its parent: roles and groups there count here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NewType

from tiersync.loyalty.groups.codes import Code, Reason, refuse, refuse_as
from tiersync.loyalty.groups.values import CustomerId, GroupId, Permission

CompanyId = NewType("CompanyId", int)

ROLES_MIN, ROLES_MAX = 2, 8
CHILDREN_MAX = 30_000
PARENTS_MAX = 20


@dataclass(frozen=True, slots=True)
class HierarchyRole:
    """One role; `child` is the next lower one. `owner` aggregates the points."""

    code: str
    child: str | None = None
    children_max: int | None = None
    owner: bool = False
    permissions: tuple[Permission, ...] = ()


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A hierarchy; `roles` begin with the top one."""

    code: str
    name: str
    roles: tuple[HierarchyRole, ...] = ()
    auto_group: bool = False
    strict: bool = False
    skip: bool = False
    default: bool = False
    active: bool = True

    def role(self, code: str) -> HierarchyRole:
        """Return a role; an unknown one is refused."""
        for role in self.roles:
            if role.code == code:
                return role
        there = ", ".join(role.code for role in self.roles) or "none yet"
        raise refuse_as(Reason.ROLE_UNKNOWN, f"hierarchy {self.code} has no role {code:.60}; there are {there}")

    def above(self, code: str) -> tuple[HierarchyRole, ...]:
        """Return the roles above one, the nearest first."""
        codes = [role.code for role in self.roles]
        return tuple(reversed(self.roles[: codes.index(code)]))

    @property
    def owner(self) -> str:
        """The role that owns the group."""
        return next((role.code for role in self.roles if role.owner), self.roles[0].code)


@dataclass(frozen=True, slots=True)
class Company:
    """A company; `parent` is the external id of the one it belongs to."""

    id: CompanyId
    external_id: str
    name: str
    hierarchy: str
    parent: str | None = None
    active: bool = True
    extended_fields: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Association:
    """A customer's role in a company."""

    customer: CustomerId
    hierarchy: str
    role: str
    company: str


@dataclass(frozen=True, slots=True)
class Admission:
    """An association that may be made: what to record, whether it owns a group, else which group it joins."""

    association: Association
    company: Company
    owns: bool
    group: GroupId | None
    permissions: tuple[Permission, ...]


def chain(roles: Iterable[HierarchyRole]) -> tuple[HierarchyRole, ...]:
    """Put roles in order, the top one first. Refuses with 1608 (a cycle) and 400 (no chain, wrong numbers)."""
    by_code: dict[str, HierarchyRole] = {}
    for role in roles:
        if role.code in by_code:
            raise refuse_as(Reason.ROLE_TWICE, f"role {role.code} is there twice")
        if role.children_max is not None and not 0 < role.children_max <= CHILDREN_MAX:
            raise refuse_as(Reason.ROLE_LIMIT, f"maxChild must be between 1 and {CHILDREN_MAX}")
        by_code[role.code] = role
    if not ROLES_MIN <= len(by_code) <= ROLES_MAX:
        raise refuse_as(Reason.ROLE_COUNT, f"a hierarchy has {ROLES_MIN} to {ROLES_MAX} roles")
    code = _top(by_code)
    ordered: list[HierarchyRole] = []
    while code is not None:
        ordered.append(by_code[code])
        code = by_code[code].child
    if len(ordered) < len(by_code):
        raise refuse(Code.HIERARCHY_CYCLE)
    return tuple(ordered)


def _top(by_code: Mapping[str, HierarchyRole]) -> str | None:
    """The one role that is nobody's child."""
    children = [role.child for role in by_code.values() if role.child is not None]
    unknown = [child for child in children if child not in by_code]
    tops = [code for code in by_code if code not in children]
    if unknown:
        raise refuse_as(Reason.ROLE_UNKNOWN, f"childRoleCode {unknown[0]:.60} is no role")
    if not tops or len(set(children)) != len(children):
        raise refuse(Code.HIERARCHY_CYCLE)
    if len(tops) > 1:
        raise refuse_as(
            Reason.ROLES_NOT_ONE_CHAIN, f"roles {', '.join(tops)} are both on top: the roles must form one chain"
        )
    return tops[0]


class Companies:
    """The hierarchies, companies and associations of one organisation."""

    def __init__(self) -> None:
        self.hierarchies: dict[str, Hierarchy] = {}
        self._companies: dict[str, Company] = {}
        self._associations: dict[CustomerId, Association] = {}
        self._holders: dict[tuple[str, str], int] = {}
        self._groups: dict[str, GroupId] = {}

    def __iter__(self) -> Iterator[Company]:
        return iter(self._companies.values())

    # Hierarchies.

    def define(self, hierarchy: Hierarchy) -> int:
        """Add a hierarchy, or roles to one that has none; returns its number. Refuses with 1608, 1614, 1649 and 400."""
        known = self.hierarchies.get(hierarchy.code)
        if known is not None and known.roles:
            raise refuse_as(Reason.HIERARCHY_EXISTS, f"hierarchy {hierarchy.code:.60} exists already")
        ordered = chain(hierarchy.roles) if hierarchy.roles else ()
        owners = sum(role.owner for role in ordered)
        if owners > 1:
            raise refuse(Code.SEVERAL_POINTS_ROLES)
        if ordered and hierarchy.auto_group and not owners:
            raise refuse(Code.NO_POINTS_ROLE)
        self.hierarchies[hierarchy.code] = replace(hierarchy, roles=ordered)
        return list(self.hierarchies).index(hierarchy.code) + 1

    def hierarchy(self, code: str | None) -> Hierarchy:
        """Return a hierarchy. Refuses with 1701."""
        found = self.hierarchies.get(code or "")
        if found is None:
            raise refuse(Code.HIERARCHY_MISSING, code or "")
        return found

    # Companies.

    def add_company(self, external_id: str, name: str, hierarchy: str, parent: str | None = None) -> Company:
        """Add a company. Refuses with 1701, 1702, 1703, 1705."""
        company = self._draft(external_id, name, hierarchy, parent)
        if external_id in self._companies:
            raise refuse(Code.COMPANY_TAKEN, external_id)
        self._companies[external_id] = company
        return company

    def _draft(self, external_id: str, name: str, hierarchy: str, parent: str | None) -> Company:
        self.hierarchy(hierarchy)
        if parent is not None:
            if parent not in self._companies or parent == external_id:
                raise refuse(Code.PARENT_MISSING, parent)
            if not self._companies[parent].active:
                raise refuse(Code.COMPANY_INACTIVE, parent)
            if len(list(self.lineage(parent))) >= PARENTS_MAX:
                raise refuse_as(Reason.COMPANIES_TOO_DEEP, f"at most {PARENTS_MAX} companies above one another")
        return Company(CompanyId(len(self._companies) + 1), external_id, name, hierarchy, parent)

    def company(self, external_id: str | None = None, number: int | None = None) -> Company:
        """Return a company by external id or id. Refuses with 1704."""
        for company in self._companies.values():
            if external_id == company.external_id or number == company.id:
                return company
        raise refuse(Code.COMPANY_UNKNOWN, external_id or str(number))

    def change_company(self, company: Company) -> Company:
        """Change a company's name or fields. Refuses with 1704 and 1705."""
        if not self.company(company.external_id).active:
            raise refuse(Code.COMPANY_INACTIVE, company.external_id)
        self._companies[company.external_id] = company
        return company

    def close(self, external_id: str) -> list[Company]:
        """Make a company inactive, and those below it; its customers stay. Refuses with 1704."""
        self.company(external_id)
        closed = [
            each for each in self if external_id in {above.external_id for above in self.lineage(each.external_id)}
        ]
        for each in closed:
            self._companies[each.external_id] = replace(each, active=False)
        return closed

    def lineage(self, external_id: str) -> Iterator[Company]:
        """Yield a company and those above it, the nearest first."""
        company = self._companies.get(external_id)
        while company is not None:
            yield company
            company = None if company.parent is None else self._companies.get(company.parent)

    # Associations.

    def association(self, customer: CustomerId) -> Association | None:
        """Return a customer's role and company, if they have one."""
        return self._associations.get(customer)

    def admit(self, wanted: Association, name: str, parent: str | None = None) -> Admission:
        """Say how a customer would come into a company; nothing changes. A company not known yet is founded.

        Refuses with 1622 (in a different company), 1701, 1703, 1705, and 400: an unknown role, a role out of order, a
        role skipped, too many children.
        """
        hierarchy = self.hierarchy(wanted.hierarchy)
        role = hierarchy.role(wanted.role)
        company = self._companies.get(wanted.company) or self._draft(wanted.company, name, wanted.hierarchy, parent)
        if not company.active or not hierarchy.active:
            raise refuse(Code.COMPANY_INACTIVE, wanted.company)
        if company.hierarchy != wanted.hierarchy:
            raise refuse_as(
                Reason.HIERARCHY_DIFFERS, f"company {wanted.company:.60} has hierarchy {company.hierarchy:.60}"
            )
        before = self._associations.get(wanted.customer)
        if before is not None and before.company != wanted.company:
            raise refuse(Code.OTHER_COMPANY, before.company)
        if before is not None and before.role != wanted.role:
            raise refuse_as(Reason.ROLE_TAKEN, f"the customer has role {before.role:.60} in this company")
        lineage = [each.external_id for each in self.lineage(company.parent or "")]
        here = [wanted.company, *lineage]
        self._require_order(hierarchy, role, here)
        owns = hierarchy.auto_group and role.code == hierarchy.owner and wanted.company not in self._groups
        group = next((self._groups[each] for each in here if each in self._groups), None)
        if role.code == hierarchy.owner:
            group = self._groups.get(wanted.company)
        return Admission(wanted, company, owns and before is None, None if before else group, role.permissions)

    def _require_order(self, hierarchy: Hierarchy, role: HierarchyRole, companies: list[str]) -> None:
        above = hierarchy.above(role.code)
        if not above:
            return
        counts = {each.code: sum(self._holders.get((name, each.code), 0) for name in companies) for each in above}
        if not any(counts.values()):
            if hierarchy.strict:
                raise refuse_as(
                    Reason.ROLE_OUT_OF_ORDER, f"role {role.code} needs somebody in role {above[0].code} first"
                )
            return
        if not counts[above[0].code] and not hierarchy.skip:
            raise refuse_as(Reason.ROLE_SKIPPED, f"role {above[0].code} must not be skipped")
        most = above[0].children_max
        have = self._holders.get((companies[0], role.code), 0)
        if most is not None and counts[above[0].code] and have >= most * counts[above[0].code]:
            raise refuse_as(Reason.ROLE_FULL, f"role {above[0].code} has at most {most} of role {role.code}")

    def record(self, admission: Admission, group: GroupId | None) -> None:
        """Record an association that was admitted; `group` is the one founded by it."""
        made = admission.association
        self._companies.setdefault(made.company, admission.company)
        if made.customer not in self._associations:
            key = (made.company, made.role)
            self._holders[key] = self._holders.get(key, 0) + 1
        self._associations[made.customer] = made
        if group is not None:
            self._groups[made.company] = group
