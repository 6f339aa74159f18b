"""Pure. The ready example: a club for international coffee by the pound, as in the seed of the tier use case."""

from typing import Any

COFFEE_CLUB: dict[str, Any] = {
    "name": "Coffee Club",
    "currency": "EUR",
    "point_value": "0.01",
    "sources": [
        {"id": "web", "accounts": ["status", "beans"]},
        {"id": "purchase", "accounts": ["status", "beans"]},
        {"id": "bonus", "accounts": ["beans"]},
        {"id": "service", "accounts": ["status", "beans"]},
    ],
    "accounts": [
        {"id": "status", "grouping_label": "Tier points", "default": False},
        {"id": "beans", "grouping_label": "Spendable points", "expiry": {"policy": "rolling", "days": 365}},
    ],
    "behaviors": [
        {
            "id": "sign-in",
            "event": "web_login",
            "outcomes": [
                {"source": "web", "points": 10, "limit": {"count": 1, "per": "day"}},
            ],
        }
    ],
    "tier_systems": [
        {
            "id": "coffee-club",
            "account": "status",
            "maintenance": {"months": 12},
            "levels": [
                {
                    "name": "Bronze",
                    "purchase": [
                        {"id": "coffee", "outcomes": [{"source": "purchase", "points_per": {"rate": "1"}}]},
                    ],
                },
                {
                    "name": "Silver",
                    "entrance": {
                        "points": 30,
                        "outcomes": [{"source": "bonus", "points": 5, "limit": {"count": 1, "per": "forever"}}],
                    },
                    "purchase": [
                        {"id": "coffee", "outcomes": [{"source": "purchase", "points_per": {"rate": "2"}}]},
                    ],
                    "maintenance": {"points": 20},
                },
                {
                    "name": "Gold",
                    "entrance": {
                        "points": 100,
                        "outcomes": [{"source": "bonus", "points": 20, "limit": {"count": 1, "per": "forever"}}],
                    },
                    "purchase": [
                        {"id": "coffee", "outcomes": [{"source": "purchase", "points_per": {"rate": "3"}}]},
                    ],
                    "event": [
                        {
                            "id": "review",
                            "event": "product_review",
                            "outcomes": [
                                {"source": "web", "points": 15, "limit": {"count": 2, "per": "month"}},
                            ],
                        }
                    ],
                    "maintenance": {"points": 50},
                },
            ],
        }
    ],
}

BARE: dict[str, Any] = {
    "name": "Bare",
    "sources": [{"id": "service", "accounts": ["points"]}],
    "accounts": [{"id": "points"}],
}
"""What a sandbox without its examples starts with: one account that takes deposits, until an economy is published."""
