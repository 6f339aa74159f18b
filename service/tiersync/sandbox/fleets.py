"""Pure. Fleets: customers come into companies, and companies into groups (`contracts/capillary.md` 3.8, seed 001).

Where a hierarchy creates groups by itself, whoever takes the owner's role founds the company's group as its primary,
and lower roles join it as secondaries who may not redeem, unless the role's permissions say otherwise.
"""

from collections.abc import Mapping
from datetime import datetime

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import (
    Admission,
    Association,
    Code,
    Companies,
    CustomerId,
    Draft,
    Group,
    GroupId,
    Joiner,
    Permission,
    refuse,
)
from tiersync.sandbox.world import Fact, World

INVALID = 400
NAME_MAX = 50
OWNER = (Permission.ALLOW_REDEMPTION, Permission.ALLOW_TRANSFER)
LOWER = (Permission.BLOCK_REDEMPTION, Permission.BLOCK_TRANSFER)


class Fleets:
    """Hierarchies and companies of one organisation, and what associations do to its groups."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.companies = Companies()

    def associate(self, customer: CustomerId, details: object, now: datetime) -> list[Fact]:
        """Give a customer a role in a company, as `associationDetails` has it. Refuses as `Companies.admit`."""
        if not isinstance(details, dict):
            raise LoyaltyError("associationDetails must be an object", INVALID)
        company = details.get("fleetCompany")
        company = company if isinstance(company, dict) else {}
        parent = company.get("parentCompany")
        wanted = Association(
            customer,
            _text(details.get("hierarchyCode", company.get("hierarchyDefinitionCode")), Code.HIERARCHY_MISSING),
            _text(details.get("roleCode"), INVALID),
            _text(company.get("externalId"), Code.COMPANY_UNKNOWN),
        )
        above = parent.get("externalId") if isinstance(parent, dict) else None
        name = company.get("name")
        admission = self.companies.admit(
            wanted,
            name[:NAME_MAX] if isinstance(name, str) else wanted.company,
            None if above is None else _text(above, Code.PARENT_MISSING),
        )
        facts, group = self._into_group(admission, now)
        self.companies.record(admission, group)
        return facts

    def _into_group(self, admission: Admission, now: datetime) -> tuple[list[Fact], GroupId | None]:
        """Found the company's group, or join it; nobody is added twice."""
        world, made = self._world, admission.association
        if admission.owns:
            draft = Draft(
                external_id=made.company,
                name=admission.company.name,
                max_size=world.register.flags.group_size_ceiling,
                hierarchy=made.hierarchy,
                company=made.company,
            )
            owner = Joiner(made.customer, primary=True, permissions=admission.permissions or OWNER)
            created, joined = world.register.found(draft, owner, now)
            return [created, joined], created.group.id
        if admission.group is None or world.register.membership(admission.group, made.customer) is not None:
            return [], None
        joiner = Joiner(made.customer, permissions=admission.permissions or LOWER)
        return world.join(admission.group, joiner, now), None

    def role_below(self, customer: CustomerId) -> str | None:
        """Return the role below the one a customer has, None if there is none."""
        made = self.companies.association(customer)
        return None if made is None else self.companies.hierarchy(made.hierarchy).role(made.role).child

    def require_company(self, group: Group, customer: CustomerId) -> None:
        """Refuse, with 1622, who belongs to another company than the group's and those above and below it."""
        made = self.companies.association(customer)
        if made is None or group.company is None:
            return
        lines = (self.companies.lineage(made.company), self.companies.lineage(group.company))
        mine, theirs = ({company.external_id for company in line} for line in lines)
        if group.company not in mine and made.company not in theirs:
            raise refuse(Code.OTHER_COMPANY, made.company)

    def shown(self, customer: CustomerId) -> Mapping[str, object] | None:
        """Return a customer's association as the APIs show it, None if there is none."""
        made = self.companies.association(customer)
        if made is None:
            return None
        company = self.companies.company(made.company)
        return {
            "hierarchyCode": made.hierarchy,
            "roleCode": made.role,
            "fleetCompany": {
                "name": company.name,
                "hierarchyDefinitionCode": company.hierarchy,
                "externalId": company.external_id,
            },
        }


def _text(value: object, code: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= NAME_MAX:
        raise LoyaltyError(f"a code or external id is missing or longer than {NAME_MAX} characters", int(code))
    return value
