"""What tells a newcomer what is here: the OpenAPI document and the front page, both from the table of verbs."""

import re
from collections.abc import Sequence

from tiersync.sandbox.credentials import basic
from tiersync.sandbox.settings import SandboxSettings
from tiersync.sandbox.shapes import REFUSALS, answered, shape
from tiersync.sandbox.verbs import Verb

PATH_EXAMPLES = {
    "id": 566998132,
    "group_id": 3918893,
    "hook_id": 1,
    "event_id": "a7351361-0000-4000-8000-000000000000",
    "request_id": "194e41f2-0000-4000-8000-000000000000",
    "ref_id": "50614_566998132",
    "consumer_group": "55bd9129-0000-4000-8000-000000000000",
    "user_id": "0d6a1c52-0000-4000-8000-000000000000",
    "external_id": "ann",
    "account": "beans",
    "business": "spa",
    "scheme": "vip",
    "offer": "cashback",
    "contact": "ann",
    "purchase": "visit-1",
    "transaction": "w-1",
    "code": "K1",
    "token": "0d6a1c52-0000-4000-8000-000000000000",
}
TAGS = {None: "sandbox control", "adjust": "tiers"}
FACES = {"/sessionm/": "SessionM", "/crm/": "CRM.COM"}


def openapi(verbs: Sequence[Verb], version: str) -> dict[str, object]:
    """Describe every route with an example (OpenAPI 3.1)."""
    paths: dict[str, dict[str, object]] = {}
    for verb in verbs:
        paths.setdefault(verb.path, {})[verb.method.lower()] = _operation(verb)
    schemes = {
        "basic": {"type": "http", "scheme": "basic", "description": "the password is its MD5, in hex"},
        "token": {"type": "apiKey", "in": "header", "name": "X-CAP-API-OAUTH-TOKEN"},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tiersync sandbox",
            "version": version,
            "description": "A Capillary-shaped API on an in-memory core, with quirks and faults as switches.",
        },
        "components": {"securitySchemes": schemes},
        "paths": paths,
    }


def _operation(verb: Verb) -> dict[str, object]:
    parameters: list[dict[str, object]] = []
    for name in re.findall(r"{(\w+)}", verb.path):
        example = PATH_EXAMPLES.get(name, name)
        kind = "integer" if isinstance(example, int) else "string"
        parameters.append({"name": name, "in": "path", "required": True, "schema": {"type": kind}, "example": example})
    for starred, text in verb.query:
        name = starred.rstrip("*")
        required = starred.endswith("*")
        schema = {"type": "string"}
        parameters.append({"name": name, "in": "query", "required": required, "schema": schema, "example": text})
    success = {
        "example": verb.example,
        "schema": answered(verb.envelope, verb.example, whole=not verb.path.startswith(tuple(FACES))),
    }
    refusal = REFUSALS[verb.envelope]
    operation: dict[str, object] = {
        "summary": verb.summary,
        "operationId": verb.method.lower() + re.sub(r"\W+", "_", verb.path).rstrip("_"),
        "tags": [_tag(verb)],
        "security": [] if verb.open_ or verb.family is None else [{"basic": []}, {"token": []}],
        "parameters": parameters,
        "responses": {
            "2XX": {"description": "success", "content": {"application/json": success}},
            "default": {"description": "refused, or a fault", "content": {"application/json": {"schema": refusal}}},
        },
    }
    if verb.body is not None:
        content = {"example": verb.body, "schema": verb.schema or shape(verb.body, whole=False)}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _tag(verb: Verb) -> str:
    for prefix, tag in FACES.items():
        if verb.path.startswith(prefix):
            return tag
    return TAGS.get(verb.family) or str(verb.family)


def welcome(settings: SandboxSettings, port: int) -> str:
    """Say where the sandbox listens, where its webhooks go, and what to do next."""
    base = f"http://{settings.host}:{port}"
    hook = settings.webhook_url or "nowhere yet (--webhook-url, or POST /v3/webHooks)"
    kept = "in memory, gone at the end (--state FILE keeps it)" if settings.state is None else f"in {settings.state}"
    return f"""The sandbox listens on {base}
  what is there   curl -s {base}/         (the same for machines: {base}/openapi.json)
  credentials     {settings.username} by Basic, or a token by POST /v3/oauth/token/generate; /sandbox needs none
  webhooks go to  {hook}
  organisation    {kept}
Ctrl-C ends it."""


def front_page(verbs: Sequence[Verb], settings: SandboxSettings) -> str:
    """List what is there, with two lines to try."""
    base = f"http://{settings.host}:{settings.port}"
    login = basic(settings.username, settings.password).decode()
    rows = "\n".join(f"  {verb.method:<6} {verb.path:<58} {verb.summary}" for verb in verbs)
    return f"""tiersync sandbox: a Capillary-shaped API on an in-memory core

Try:

  curl -s '{base}/v2/userGroup2?primaryUserId=566998132' -H 'Authorization: {login}'
  curl -s '{base}/sandbox/customers/566998132/tier' -d '{{"programId": 973, "tier": "Gold"}}'

What is here:

{rows}
  GET    /openapi.json                                              the same for machines

Switches for quirks and faults: GET and PUT {base}/sandbox/faults
"""
