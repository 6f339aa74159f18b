"""Who gets in: Basic, tokens, and what everybody else is told."""

from base64 import b64encode, urlsafe_b64decode

import httpx
import pytest
from pydantic_core import from_json

from tests.contract.sandbox_kit import ADJUST, START, Lab, in_process

TOKEN = "/v3/oauth/token/generate"
RIGHT = {"key": "sandbox-key", "secret": "sandbox-secret"}
READ = "/v2/customers/566998132/tierDetails"


async def bare(lab: Lab, path: str, **headers: str) -> httpx.Response:
    """Call without the lab's own credentials."""
    return await lab.client.get(path, headers={"Authorization": "", **headers})


async def test_a_token_has_the_documented_form_and_opens() -> None:
    """The token is a JWT by its look, names its lifetime, and is accepted in X-CAP-API-OAUTH-TOKEN."""
    async with in_process(token_ttl_s=120) as lab:
        answer = await lab.client.post(TOKEN, json=RIGHT)
        token = answer.json()["data"]["accessToken"]
        read = await bare(lab, READ, **{"X-CAP-API-OAUTH-TOKEN": token})

    claims = from_json(urlsafe_b64decode(token.split(".")[1] + "=="))
    assert answer.json()["data"]["ttlSeconds"] == 120
    assert answer.json()["errors"] is None
    assert (claims["iss"], claims["org_id"], claims["exp"] - claims["iat"]) == ("Capillary", 50614, 120)
    assert claims["iat"] == int(START.timestamp())
    assert read.status_code == 200


async def test_each_call_gives_a_new_token_and_older_ones_stay_valid() -> None:
    """Two tokens differ and both open."""
    async with in_process() as lab:
        tokens = [(await lab.client.post(TOKEN, json=RIGHT)).json()["data"]["accessToken"] for _ in range(2)]
        reads = [await bare(lab, READ, **{"X-CAP-API-OAUTH-TOKEN": token}) for token in tokens]

    assert tokens[0] != tokens[1]
    assert [read.status_code for read in reads] == [200, 200]


async def test_a_token_expires() -> None:
    """After ttlSeconds a token gets 401, even with right Basic credentials beside it."""
    async with in_process(token_ttl_s=60) as lab:
        token = (await lab.client.post(TOKEN, json=RIGHT)).json()["data"]["accessToken"]
        lab.clock.forward(59)
        before = await bare(lab, READ, **{"X-CAP-API-OAUTH-TOKEN": token})
        lab.clock.forward(1)
        after = await lab.client.get(READ, headers={"X-CAP-API-OAUTH-TOKEN": token})

    assert (before.status_code, after.status_code) == (200, 401)


@pytest.mark.parametrize(
    "body", [{}, {"key": "sandbox-key"}, {"key": "sandbox-key", "secret": "no"}, {"key": 1, "secret": None}]
)
async def test_wrong_client_credentials_get_no_token(body: dict[str, object]) -> None:
    """A wrong key or secret is answered with 401 in the v3 envelope."""
    async with in_process() as lab:
        answer = await lab.client.post(TOKEN, json=body)

    assert answer.status_code == 401
    assert answer.json()["data"] is None
    assert answer.json()["errors"][0]["code"] == 401


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Bearer x",
        "Basic " + b64encode(b"till.sandbox:sandbox").decode(),
        "Basic " + b64encode(b"other:93bc63e0b4f48fbbff568d9fc0dc3def").decode(),
    ],
)
async def test_wrong_basic_credentials_are_refused(header: str) -> None:
    """The password must come as its MD5 for the right user; everything else is 401 in the v2 envelope."""
    async with in_process() as lab:
        answer = await bare(lab, READ, Authorization=header)
        call = await lab.last_call()

    assert answer.status_code == 401
    assert answer.json()["errors"][0]["code"] == 401
    assert (call["status"], call["effect"]) == (401, False)


async def test_nothing_is_done_for_a_stranger() -> None:
    """An adjustment without credentials changes nothing."""
    async with in_process() as lab:
        query = {"source": "INSTORE", "identifierName": "id", "identifierValue": "564662499"}
        answer = await lab.client.post(ADJUST, params=query, json={}, headers={"Authorization": ""})
        tier = await lab.tier()

    assert answer.status_code == 401
    assert tier["currentTierName"] == "Silver"


async def test_configured_credentials_replace_the_default_ones() -> None:
    """User, password, key and secret are settings."""
    async with in_process(username="u", password="p", key="k", secret="s") as lab:
        read = await lab.client.get(READ)
        token = await lab.client.post(TOKEN, json={"key": "k", "secret": "s"})
        default = await lab.client.post(TOKEN, json=RIGHT)

    assert (read.status_code, token.status_code, default.status_code) == (200, 200, 401)


async def test_every_answer_names_its_request() -> None:
    """Answers carry X-Cap-Requestid, a new one each time, and the path asked for."""
    async with in_process() as lab:
        answers = [await lab.client.get(READ) for _ in range(2)]

    assert answers[0].headers["x-cap-requestid"] != answers[1].headers["x-cap-requestid"]
    assert answers[0].headers["x-cap-api-request-uri"] == READ


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", ADJUST, 405),
        ("PATCH", "/v2/userGroup2", 405),
        ("DELETE", "/sandbox/faults", 405),
        ("GET", TOKEN, 405),
        ("GET", "/v2/nowhere", 404),
        ("GET", "/v3/nowhere", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/v2/userGroup2/", 404),
    ],
)
async def test_wrong_paths_and_methods_are_told_as_json(method: str, path: str, status: int) -> None:
    """404 and 405 come in the envelope of their API."""
    async with in_process() as lab:
        answer = await lab.client.request(method, path)

    body = answer.json()
    assert answer.status_code == status
    assert body["error"]["message"] if "error" in body else body["errors"][0]["code"] == status


async def test_long_bodies_are_refused() -> None:
    """A body beyond the limit is answered with 413 and not read further."""
    async with in_process(body_bytes_max=100) as lab:
        api = await lab.client.post(TOKEN, content=b"x" * 101)
        control = await lab.client.post("/sandbox/seed", content=b"x" * 101)

    assert (api.status_code, control.status_code) == (413, 413)
