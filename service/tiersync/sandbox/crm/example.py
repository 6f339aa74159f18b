"""Pure. The ready example: a spa as the seed has it, with a scheme of each kind; all of it inactive at first."""

from typing import Any

SPA: dict[str, Any] = {
    "id": "spa",
    "name": "Zen & Aura Spa",
    "currency": "EUR",
    "settings": {"classifications": ["visit", "delivery"]},
    "tiers": {
        "levels": [
            {"name": "Silver", "value_units": 0},
            {"name": "Gold", "value_units": 30},
            {"name": "Platinum", "value_units": 80},
        ],
        "currency_per_unit": "10.00",
        "months": 12,
        "immediate_advance": True,
    },
}
SCHEMES: tuple[dict[str, Any], ...] = (
    {"id": "club", "name": "Aura Club", "sign_up": {"type": "open_self"}},
    {
        "id": "students",
        "name": "Student Wellness",
        "sign_up": {"type": "closed_email_domain", "domains": ["uni.example"]},
    },
    {"id": "vip", "name": "Aura VIP", "sign_up": {"type": "closed_codes"}},
)
CONDITIONS: tuple[dict[str, Any], ...] = (
    {"id": "massages", "name": "Massages only", "products": ["massage"]},
    {"id": "weekdays", "name": "Monday to Thursday before five", "days": [1, 2, 3, 4], "hours": [9, 17]},
)
OFFERS: tuple[dict[str, Any], ...] = (
    {
        "id": "quiet-hours",
        "scheme_id": "club",
        "name": "10% back in the quiet hours",
        "type": "happy_hour",
        "featured": True,
        "targeting": {"hours": {"start": "10:00", "end": "12:00"}, "locations": ["Limassol"]},
        "award": {"percent": "10", "spend_condition": "massages", "valid_months": 3},
    },
    {
        "id": "student-discount",
        "scheme_id": "students",
        "name": "15% off every visit",
        "type": "monetary_discount",
        "targeting": {"classifications": ["visit"]},
        "award": {"percent": "15", "kind": "instant_discount"},
    },
    {
        "id": "vip-welcome",
        "scheme_id": "vip",
        "name": "€20 welcome gift",
        "type": "sign_up",
        "award": {"amount": "20.00", "spend_condition": "weekdays"},
    },
)
