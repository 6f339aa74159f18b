"""`POST /v3/oauth/token/generate` (`contracts/capillary.md` 1.2)."""

from tiersync.errors import LoyaltyError
from tiersync.sandbox.answers import Answer, data_v3
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.verbs import Verb


def generate(desk: Desk, ask: Ask, call: Call) -> Answer:
    """Give out a token for the configured key and secret; each call gives a new one."""
    body = ask.fields()
    if not desk.credentials.knows(body.get("key"), body.get("secret")):
        raise LoyaltyError("Invalid key or secret", 401)
    call.effect = True
    token = desk.credentials.issue(desk.wall(), ask.request_id)
    return data_v3({"accessToken": token, "ttlSeconds": desk.settings.token_ttl_s})


VERBS = (
    Verb(
        "POST",
        "/v3/oauth/token/generate",
        generate,
        "Get an access token, to be sent as X-CAP-API-OAUTH-TOKEN",
        "v3",
        "token",
        open_=True,
        body={"key": "sandbox-key", "secret": "sandbox-secret"},
        example={"data": {"accessToken": "eyJ...", "ttlSeconds": 300}, "errors": None, "warnings": None},
    ),
)
