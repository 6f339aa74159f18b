"""Pure. The OpenAPI document of the service, with the shapes that its users and the fuzzer rely on."""

from typing import Any

from tiersync.fanout import AdjustmentStatus
from tiersync.intake import EventStatus, Kind
from tiersync.store import JobKind, JobStatus, Receipt

_INT64 = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**63 - 1}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_INT_OR_NULL = {"type": ["integer", "null"]}


def document(version: str, page_rows_max: int) -> dict[str, Any]:
    """Describe every route. `page_rows_max` is the largest page that is answered, whatever is asked for."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "tiersync", "version": version},
        "paths": {
            "/webhooks/capillary": {"post": _deliver()},
            "/api/events": {"get": _list_events(page_rows_max)},
            "/api/events/{org}/{event_id}": {"get": _show_event(page_rows_max)},
            "/api/orgs": {"get": _list_orgs()},
            "/api/jobs": {"get": _list_jobs(page_rows_max)},
            "/livez": {"get": _open("The process is alive.", {"200": _json("alive", _status())})},
            "/readyz": {
                "get": _open(
                    "The store can be written.",
                    {"200": _json("ready", _status()), "503": _json("not ready", _status())},
                )
            },
            "/metrics": {
                "get": _open(
                    "Metrics in Prometheus' text format.",
                    {"200": {"description": "metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}},
                )
            },
            "/openapi.json": {"get": _open("This document.", {"200": _json("document", {"type": "object"})})},
        },
        "components": {
            "securitySchemes": {
                "operator": {"type": "http", "scheme": "bearer"},
                "sender": {"type": "apiKey", "in": "header", "name": "Authorization"},
            },
            "schemas": {"Event": _event(), "Adjustment": _adjustment(), "Org": _org(), "Job": _job()},
        },
    }


def _open(summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "security": [], "responses": responses}


def _status() -> dict[str, Any]:
    return {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(description: str) -> dict[str, Any]:
    schema = {"type": "object", "required": ["detail"], "properties": {"detail": {"type": "string"}}}
    return _json(description, schema)


def _deliver() -> dict[str, Any]:
    answer = {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"type": "string"},
            "org": {"type": "integer"},
            "event_id": {"type": "string"},
            "reason": {"type": "string"},
        },
    }
    told = ", ".join(f"`{receipt}`" for receipt in Receipt)
    return {
        "summary": "Take one webhook delivery; it is on disk before the answer.",
        "security": [{"sender": []}],
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": {"type": "object"},
                    "example": {
                        "eventName": "tierUpgraded",
                        "data": {
                            "entityInformation": {"entityId": 347266498},
                            "loyaltyProgramDetails": {"tiers": [{"tierNumber": 2, "tierName": "Gold"}]},
                            "upgradedTierNumber": 2,
                        },
                    },
                }
            }
        },
        "responses": {
            "200": _json(f"stored: {told}", answer),
            "401": _json("not a known sender", answer),
            "413": _json("larger than the limit", answer),
            "429": _json("come back later", answer),
        },
    }


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _list_events(page_rows_max: int) -> dict[str, Any]:
    page = {
        "type": "object",
        "required": ["events", "next"],
        "properties": {
            "events": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}},
            "next": _INT_OR_NULL,
        },
    }
    return {
        "summary": "List events, the newest first.",
        "security": [{"operator": []}],
        "parameters": [
            _query("status", {"type": "string", "enum": [*EventStatus]}, "where the event stands"),
            _query("reason", {"type": "string", "maxLength": 200, "pattern": r"^[^\x00]*$"}, "why it stands there"),
            *(_query(name, _INT64, f"the {name}'s id") for name in ("org", "program", "customer")),
            _query("since", _INT64, "received at or after, epoch milliseconds"),
            _query("until", _INT64, "received before, epoch milliseconds"),
            _query("limit", {"type": "integer", "minimum": 1}, f"rows, {page_rows_max} at the most"),
            _query("before", _INT64, "`next` of the page before"),
        ],
        "responses": {
            "200": _json("a page", page),
            "401": _problem("not the operator"),
            "422": _problem("a parameter is wrong"),
            "503": _problem("the store is away"),
        },
    }


def _show_event(page_rows_max: int) -> dict[str, Any]:
    return {
        "summary": "Show one event with its adjustments, ordered by member.",
        "security": [{"operator": []}],
        "parameters": [
            {"name": "org", "in": "path", "required": True, "schema": _INT64},
            {"name": "event_id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
            _query("limit", {"type": "integer", "minimum": 1}, f"adjustments, {page_rows_max} at the most"),
            _query("after", _INT64, "`next` of the page before"),
            _query("body", {"type": "boolean"}, "show the raw body too; it may hold personal data"),
        ],
        "responses": {
            "200": _json("the event", {"$ref": "#/components/schemas/Event"}),
            "401": _problem("not the operator"),
            "404": _problem("no such event"),
            "422": _problem("a parameter is wrong"),
            "503": _problem("the store is away"),
        },
    }


def _list_orgs() -> dict[str, Any]:
    listed = {"type": "array", "items": {"$ref": "#/components/schemas/Org"}}
    return {
        "summary": "List the orgs: which are paused, and whose Capillary is away.",
        "security": [{"operator": []}],
        "responses": {
            "200": _json("the orgs", {"type": "object", "required": ["orgs"], "properties": {"orgs": listed}}),
            "401": _problem("not the operator"),
            "422": _problem("there are no parameters"),
            "503": _problem("the store is away"),
        },
    }


def _list_jobs(page_rows_max: int) -> dict[str, Any]:
    page = {
        "type": "object",
        "required": ["jobs", "next"],
        "properties": {
            "jobs": {"type": "array", "items": {"$ref": "#/components/schemas/Job"}},
            "next": _INT_OR_NULL,
        },
    }
    return {
        "summary": "List replays, purges and reconciles, the newest first.",
        "security": [{"operator": []}],
        "parameters": [
            _query("limit", {"type": "integer", "minimum": 1}, f"rows, {page_rows_max} at the most"),
            _query("before", _INT64, "`next` of the page before"),
        ],
        "responses": {
            "200": _json("a page", page),
            "401": _problem("not the operator"),
            "422": _problem("a parameter is wrong"),
            "503": _problem("the store is away"),
        },
    }


def _org() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["org", "paused_at", "breaker"],
        "properties": {
            "org": {"type": "integer", "description": "0 is every org"},
            "paused_at": _INT_OR_NULL,
            "paused_by": _TEXT_OR_NULL,
            "pause_reason": _TEXT_OR_NULL,
            "breaker": {"enum": ["closed", "open", "half_open"]},
            "breaker_at": _INT_OR_NULL,
            "breaker_until": _INT_OR_NULL,
            "breaker_reason": _TEXT_OR_NULL,
        },
    }


def _job() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["id", "kind", "at", "by", "selection", "matched", "status", "done", "counts"],
        "properties": {
            "id": {"type": "integer"},
            "kind": {"enum": [*JobKind]},
            "at": {"type": "integer", "description": "epoch milliseconds"},
            "by": {"type": "string"},
            "selection": {"type": "object"},
            "force": {"type": "boolean"},
            "rate": _INT_OR_NULL,
            "matched": {"type": "integer"},
            "status": {"enum": [*JobStatus]},
            "done": {"type": "integer"},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "detail": _TEXT_OR_NULL,
            "finished_at": _INT_OR_NULL,
        },
    }


def _event() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["id", "org", "event_id", "kind", "status", "received_at"],
        "properties": {
            "id": {"type": "integer"},
            "org": {"type": "integer"},
            "event_id": {"type": "string"},
            "kind": {"enum": [*Kind]},
            "name": {"type": "string"},
            "status": {"enum": [*EventStatus]},
            "reason": _TEXT_OR_NULL,
            "detail": _TEXT_OR_NULL,
            "program": _INT_OR_NULL,
            "customer": _INT_OR_NULL,
            "action": _TEXT_OR_NULL,
            "tier_number": _INT_OR_NULL,
            "tier_name": _TEXT_OR_NULL,
            "duplicates": {"type": "integer"},
            "received_at": {"type": "integer", "description": "epoch milliseconds"},
            "finished_at": _INT_OR_NULL,
            "traceparent": {**_TEXT_OR_NULL, "description": "W3C Trace Context of the delivery, if it was traced"},
            "adjustments": {"type": "array", "items": {"$ref": "#/components/schemas/Adjustment"}},
            "adjustment_counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "next": _INT_OR_NULL,
            "body": {"type": "string"},
        },
    }


def _adjustment() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["member", "status", "attempts"],
        "properties": {
            "member": {"type": "integer"},
            "group_id": _INT_OR_NULL,
            "tier_number": _INT_OR_NULL,
            "tier_name": _TEXT_OR_NULL,
            "status": {"enum": [*AdjustmentStatus]},
            "outcome": _TEXT_OR_NULL,
            "reason": _TEXT_OR_NULL,
            "code": _INT_OR_NULL,
            "message": _TEXT_OR_NULL,
            "attempts": {"type": "integer"},
            "due_at": _INT_OR_NULL,
            "first_at": _INT_OR_NULL,
            "last_at": _INT_OR_NULL,
        },
    }
