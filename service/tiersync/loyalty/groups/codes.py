"""Pure. The documented codes of the group APIs, each with the sentence it is refused with."""

from enum import IntEnum, StrEnum

from tiersync.errors import LoyaltyError


class Code(IntEnum):
    """Codes of `contracts/capillary.md` 3.4; the text after each is ours where the page gives only a keyword."""

    MANDATORY = 403
    HIERARCHY_CYCLE = 1608
    NO_POINTS_ROLE = 1614
    GROUP_ID_INVALID = 1619
    NOT_IN_GROUP = 1620
    PERSON_UNKNOWN = 1621
    OTHER_COMPANY = 1622
    ALREADY_IN_GROUP = 1623
    PRIMARY_STAYS = 1624
    GROUP_UNKNOWN = 1632
    EXTERNAL_ID_TAKEN = 1633
    EXTERNAL_ID_MISSING = 1634
    GROUP_NOT_NAMED = 1635
    TOO_MANY_GROUPS = 1636
    PRIMARY_EXISTS = 1637
    GROUP_FULL = 1638
    OVER_CEILING = 1639
    SIZE_NOT_POSITIVE = 1640
    PERMISSION_INVALID = 1641
    PRIMARY_ELSEWHERE = 1642
    NOTHING_TO_UPDATE = 1643
    DETAILS_MISSING = 1644
    DETAILS_INVALID = 1645
    ENTITY_TYPE_INVALID = 1646
    NO_DEFAULT_GROUP = 1647
    SEVERAL_POINTS_ROLES = 1649
    NOT_A_MEMBER = 1651
    NO_HIERARCHY = 1656
    SEARCH_FIELDS = 1661
    HIERARCHY_MISSING = 1701
    COMPANY_TAKEN = 1702
    PARENT_MISSING = 1703
    COMPANY_UNKNOWN = 1704
    COMPANY_INACTIVE = 1705
    CUSTOMER_UNKNOWN = 8015
    NAME_TOO_LONG = 91015
    EXTENDED_FIELD_UNKNOWN = 91016
    EXTENDED_FIELD_INVALID = 91017
    SEARCH_PARAMETERS = 91052


TEXTS: dict[Code, str] = {
    Code.MANDATORY: "A mandatory field is missing",
    Code.HIERARCHY_CYCLE: "Roles form a cycle",
    Code.NO_POINTS_ROLE: "Automatic group creation needs a pointsAggregationRole",
    Code.GROUP_ID_INVALID: "Fleet group id is invalid",
    Code.NOT_IN_GROUP: "User is not part of the group",
    Code.PERSON_UNKNOWN: "User does not exist",
    Code.OTHER_COMPANY: "User belongs to a different company",
    Code.ALREADY_IN_GROUP: "User is already part of the group",
    Code.PRIMARY_STAYS: "Primary user cannot be transferred",
    Code.GROUP_UNKNOWN: "Group id/external id/primary user id is invalid",
    Code.EXTERNAL_ID_TAKEN: "Group external id already exists",
    Code.EXTERNAL_ID_MISSING: "Group external id cannot be null",
    Code.GROUP_NOT_NAMED: "One of id, externalId or primaryUserId is required in the query",
    Code.TOO_MANY_GROUPS: "Customer is already a member of as many groups as the organisation allows",
    Code.PRIMARY_EXISTS: "Group already has a primary user",
    Code.GROUP_FULL: "Group has reached its maximum size",
    Code.OVER_CEILING: "Max group size exceeds the limit of the product",
    Code.SIZE_NOT_POSITIVE: "Max group size must be a positive integer",
    Code.PERMISSION_INVALID: "Permission is invalid",
    Code.PRIMARY_ELSEWHERE: "User is primary in a different group",
    Code.NOTHING_TO_UPDATE: "Nothing to update",
    Code.DETAILS_MISSING: "Group details are missing",
    Code.DETAILS_INVALID: "Group details are invalid",
    Code.ENTITY_TYPE_INVALID: "Entity type must be CUSTOMER or USERGROUP2",
    Code.NO_DEFAULT_GROUP: "User has no default group",
    Code.SEVERAL_POINTS_ROLES: "Only one role can be the pointsAggregationRole",
    Code.NOT_A_MEMBER: "Points are transferred by a user who is not a member of the group",
    Code.NO_HIERARCHY: "Fleet group do not have a mapped hierarchy",
    Code.SEARCH_FIELDS: "Extended fields to search by are missing",
    Code.HIERARCHY_MISSING: "Hierarchy code is missing or unknown",
    Code.COMPANY_TAKEN: "Company external id already exists",
    Code.PARENT_MISSING: "Parent company does not exist",
    Code.COMPANY_UNKNOWN: "Company not found",
    Code.COMPANY_INACTIVE: "Company is inactive",
    Code.CUSTOMER_UNKNOWN: "Customer not found",
    Code.NAME_TOO_LONG: "Value is longer than 50 characters",
    Code.EXTENDED_FIELD_UNKNOWN: "Extended field is not defined for the organisation",
    Code.EXTENDED_FIELD_INVALID: "Extended field value is invalid",
    Code.SEARCH_PARAMETERS: "Search parameter q is missing",
}


class Reason(StrEnum):
    """Words of ours for what hierarchies refuse without a published code: code 400 carries them as `reason`."""

    ROLE_UNKNOWN = "ROLE_UNKNOWN"
    ROLE_TWICE = "ROLE_TWICE"
    ROLE_COUNT = "ROLE_COUNT"
    ROLE_LIMIT = "ROLE_LIMIT"
    ROLES_NOT_ONE_CHAIN = "ROLES_NOT_ONE_CHAIN"
    HIERARCHY_EXISTS = "HIERARCHY_EXISTS"
    HIERARCHY_DIFFERS = "HIERARCHY_DIFFERS"
    COMPANIES_TOO_DEEP = "COMPANIES_TOO_DEEP"
    ROLE_TAKEN = "ROLE_TAKEN"
    ROLE_OUT_OF_ORDER = "ROLE_OUT_OF_ORDER"
    ROLE_SKIPPED = "ROLE_SKIPPED"
    ROLE_FULL = "ROLE_FULL"


INVALID = 400


def refuse_as(reason: Reason, message: str) -> LoyaltyError:
    """Build a refusal for which no code is published."""
    return LoyaltyError(message, INVALID, reason)


def refuse(code: Code, detail: str = "") -> LoyaltyError:
    """Build the refusal for `code`; `detail` says which value it was."""
    return LoyaltyError(f"{TEXTS[code]}: {detail}" if detail else TEXTS[code], int(code))
