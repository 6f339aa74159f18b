"""`POST /v2/fleetHierarchy` and `/v2/companies` (`contracts/capillary.md` 3.8)."""

from collections.abc import Mapping
from dataclasses import replace

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import Code, Company, Hierarchy, HierarchyRole, Permission
from tiersync.sandbox.answers import Answer
from tiersync.sandbox.ask import INVALID, Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.ids import number
from tiersync.sandbox.verbs import Verb

TEXT_MAX = 50
ROLES_READ_MAX = 100
#: The use-case page and the API reference spell the flags differently; both are read.
FLAGS = {
    "auto_group": ("isAutoGroupCreationEnabled", "autoGroupCreationEnabled"),
    "strict": ("isHierarchyCreationStrict", "hierarchyCreationStrict"),
    "skip": ("isSkipRoleAllowed", "skipRoleAllowed"),
    "default": ("isDefault", "default"),
    "active": ("isActive", "active"),
}


def define(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Define a hierarchy, or give roles to one that was defined without."""
    body = ask.fields()
    roles = body.get("roles", [])
    if not isinstance(roles, list) or len(roles) > ROLES_READ_MAX:
        raise LoyaltyError("roles must be a list", INVALID)
    hierarchy = Hierarchy(
        code=_text(body.get("code"), "code"),
        name=_text(body.get("name", body.get("code")), "name"),
        roles=tuple(_role(each) for each in roles),
        auto_group=_flag(body, "auto_group"),
        strict=_flag(body, "strict"),
        skip=_flag(body, "skip"),
        default=_flag(body, "default"),
        active=_flag(body, "active", otherwise=True),
    )
    entity = desk.fleets.companies.define(hierarchy)
    call.effect = True
    return Answer({"entity": entity, "warnings": []})


def create_company(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Add a company, under another one if `parentCompany` names it."""
    body = ask.fields()
    parent = body.get("parentCompany")
    company = desk.fleets.companies.add_company(
        _text(body.get("externalId"), "externalId"),
        _text(body.get("name"), "name"),
        _code(body.get("hierarchyDefinitionCode")),
        None if parent is None else _text(parent.get("externalId") if isinstance(parent, dict) else None, "parent"),
    )
    fields = body.get("extendedFields")
    if isinstance(fields, dict):
        company = desk.fleets.companies.change_company(replace(company, extended_fields=fields))
    call.effect = True
    return Answer(_shown(company))


def update_company(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Change a company's name or extended fields."""
    body = ask.fields()
    company = _named(desk, {**ask.query, **body})
    fields = body.get("extendedFields", {})
    if not isinstance(fields, dict):
        raise LoyaltyError("extendedFields must be an object", INVALID)
    name = company.name if body.get("name") is None else _text(body["name"], "name")
    merged = {**company.extended_fields, **fields}
    company = desk.fleets.companies.change_company(replace(company, name=name, extended_fields=merged))
    call.effect = True
    return Answer(_shown(company))


def get_company(desk: Desk, ask: Ask, call: Call) -> Answer:  # noqa: ARG001 - a handler
    """Return a company."""
    return Answer(_shown(_named(desk, ask.query)))


def close_company(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Make a company inactive, with all below it; its customers stay."""
    desk.fleets.companies.close(_named(desk, ask.query).external_id)
    call.effect = True
    return Answer({"warnings": []})


def _named(desk: Desk, names: Mapping[str, object]) -> Company:
    external_id = names.get("externalId")
    if isinstance(external_id, str):
        return desk.fleets.companies.company(external_id)
    wanted = number(names.get("id", names.get("companyId")))
    if wanted is None:
        raise LoyaltyError("externalId or id is mandatory", Code.COMPANY_UNKNOWN)
    return desk.fleets.companies.company(number=wanted)


def _shown(company: Company) -> dict[str, object]:
    body: dict[str, object] = {
        "externalId": company.external_id,
        "companyId": company.id,
        "name": company.name,
        "hierarchyDefinitionCode": company.hierarchy,
        "isActive": company.active,
        "extendedFields": company.extended_fields,
        "warnings": [],
    }
    return body if company.parent is None else {**body, "parentCompany": {"externalId": company.parent}}


def _role(value: object) -> HierarchyRole:
    if not isinstance(value, dict):
        raise LoyaltyError("a role must be an object", INVALID)
    child, most = value.get("childRoleCode"), value.get("maxChild")
    if isinstance(most, bool) or not isinstance(most, int | None):
        raise LoyaltyError("maxChild must be a whole number", INVALID)
    return HierarchyRole(
        code=_text(value.get("code"), "role code"),
        child=None if child is None else _text(child, "childRoleCode"),
        children_max=most,
        owner=value.get("pointsAggregationRole") is True,
        permissions=_permissions(value.get("permissions")),
    )


def _permissions(value: object) -> tuple[Permission, ...]:
    """Read the permissions of a role that are on; those that say nothing about points are left out."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise LoyaltyError("Permission is invalid", Code.PERMISSION_INVALID)
    codes = [each.get("permissionCode") for each in value if each.get("permissionValue") is not False]
    return tuple(permission for permission in Permission if permission.value in codes)


def _flag(body: Mapping[str, object], name: str, *, otherwise: bool = False) -> bool:
    for spelling in FLAGS[name]:
        value = body.get(spelling)
        if isinstance(value, bool):
            return value
        if value is not None:
            raise LoyaltyError(f"{spelling} must be true or false", INVALID)
    return otherwise


def _code(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise LoyaltyError("Hierarchy code is missing", Code.HIERARCHY_MISSING)
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_MAX:
        raise LoyaltyError(f"{name} is mandatory, text of at most {TEXT_MAX} characters", INVALID)
    return value


COMPANY = {
    "externalId": "abc_logistics_001",
    "companyId": 1,
    "name": "ABC Logistics",
    "hierarchyDefinitionCode": "FLEET_HIER_001",
    "isActive": True,
    "extendedFields": {},
    "warnings": [],
}
NAMED = (("externalId", "abc_logistics_001"), ("id", "1"))

VERBS = (
    Verb(
        "POST",
        "/v2/fleetHierarchy",
        define,
        "Define a hierarchy of roles",
        "v2",
        "groups",
        body={
            "name": "Fleet Hierarchy",
            "code": "FLEET_HIER_001",
            "description": "Hierarchy for fleet owner and driver roles",
            "roles": [
                {"code": "Owner", "childRoleCode": "Driver", "maxChild": 5000, "pointsAggregationRole": True},
                {"code": "Driver"},
            ],
            "isAutoGroupCreationEnabled": True,
            "isHierarchyCreationStrict": True,
            "isSkipRoleAllowed": False,
            "isDefault": True,
            "isActive": True,
        },
        example={"entity": 1, "warnings": []},
    ),
    Verb(
        "POST",
        "/v2/companies",
        create_company,
        "Add a company",
        "v2",
        "groups",
        body={
            "name": "ABC Logistics",
            "externalId": "abc_logistics_001",
            "hierarchyDefinitionCode": "FLEET_HIER_001",
            "extendedFields": {},
        },
        example=COMPANY,
    ),
    Verb(
        "PUT",
        "/v2/companies",
        update_company,
        "Change a company",
        "v2",
        "groups",
        query=NAMED,
        body={"name": "ABC Logistics Ltd"},
        example=COMPANY,
    ),
    Verb("GET", "/v2/companies", get_company, "A company", "v2", "groups", query=NAMED, example=COMPANY),
    Verb(
        "DELETE",
        "/v2/companies",
        close_company,
        "Make a company and its sub-companies inactive",
        "v2",
        "groups",
        query=NAMED,
        example={"warnings": []},
    ),
)
