"""Pure. User groups: people, groups, who belongs to whom, and what an organisation allows.

The words are Capillary's where it has one (`userGroup2`, primary and secondary, default group, permissions) and every
refusal carries the documented code (`contracts/capillary.md` 3.1, 3.4). Time is always an argument.

- `values`: the frozen values everything else speaks of
- `codes`: the refusals, one line each
- `people`: who exists and under which identifiers
- `hierarchy`: roles, companies, and who has which role where
- `register`: the groups of one organisation and every verb on them
"""

from tiersync.loyalty.groups.codes import TEXTS, Code, Reason, refuse
from tiersync.loyalty.groups.hierarchy import (
    Admission,
    Association,
    Companies,
    Company,
    Hierarchy,
    HierarchyRole,
)
from tiersync.loyalty.groups.people import People
from tiersync.loyalty.groups.register import Joiner, Register
from tiersync.loyalty.groups.values import (
    Change,
    CustomerId,
    Draft,
    Flags,
    Group,
    GroupChange,
    GroupId,
    GroupStatus,
    Membership,
    Permission,
    Person,
    Role,
    Warned,
)

__all__ = [
    "TEXTS",
    "Admission",
    "Association",
    "Change",
    "Code",
    "Companies",
    "Company",
    "CustomerId",
    "Draft",
    "Flags",
    "Group",
    "GroupChange",
    "GroupId",
    "GroupStatus",
    "Hierarchy",
    "HierarchyRole",
    "Joiner",
    "Membership",
    "People",
    "Permission",
    "Person",
    "Reason",
    "Register",
    "Role",
    "Warned",
    "refuse",
]
