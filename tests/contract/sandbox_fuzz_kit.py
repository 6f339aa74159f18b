"""Sending what schemathesis makes out of the OpenAPI document to a sandbox in this process."""

from typing import Any

import httpx
from pydantic_core import to_json
from schemathesis import Case
from schemathesis.core import NotSet


async def sent(
    client: httpx.AsyncClient, case: Case[Any], path: dict[str, str], body: dict[str, Any]
) -> httpx.Response:
    """Send a case about somebody known: `path` and `body` replace the ids that it made up."""
    case.path_parameters.update({name: known for name, known in path.items() if name in case.path_parameters})
    content = None if isinstance(case.body, NotSet) else case.body
    if isinstance(content, dict):
        content = {name: value for name, value in content.items() if not (body and name == "user_id")} | body
    raw = content if isinstance(content, bytes) else None if content is None else to_json(content)
    return await client.request(case.method, case.formatted_path, params=dict(case.query), content=raw)
