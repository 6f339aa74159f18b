"""What the sandbox needs to start: nothing. Every field has a default and an environment variable."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tiersync.errors import SettingsError

PREFIX = "TIERSYNC_SANDBOX_"

_SAID = {"string_pattern_mismatch": "must begin with http:// or https:// and name a host"}

Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
Positive = Annotated[int, Field(ge=1)]


class SandboxSettings(BaseSettings):
    """Settings of `tiersync sandbox`; `TIERSYNC_SANDBOX_PORT=9000` sets `port`, and so on."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field(
        default="127.0.0.1", description="address to listen on; loopback, because the control API has no lock"
    )
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(default=8090, description="port to listen on")

    username: str = Field(default="till.sandbox", description="till user of Basic authentication")
    password: str = Field(default="sandbox", description="its password; callers send the MD5 of it")
    key: str = Field(default="sandbox-key", description="client key of POST /v3/oauth/token/generate")
    secret: str = Field(default="sandbox-secret", description="client secret of POST /v3/oauth/token/generate")
    token_ttl_s: Positive = Field(default=300, description="seconds a token lives (answered as ttlSeconds)")
    org_id: Positive = Field(default=50_614, description="organisation id in events and tokens")

    webhook_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+")] | None = Field(
        default=None, description="where the first webhook delivers; none is registered without it"
    )
    webhook_header: str = Field(
        default="Authorization", description="name of the static header sent with each delivery"
    )
    webhook_secret: str | None = Field(default=None, description="value of that header; no header without it")
    webhook_connections: Positive = Field(default=10, description="maxAllowedConnections of the first webhook")
    webhook_timeout_ms: Milliseconds = Field(
        default=10_000, description="a delivery that takes longer counts as undelivered"
    )
    retry_base_ms: Milliseconds = Field(
        default=1_000, description="wait before the first repetition; doubles each time"
    )
    retry_max_ms: Milliseconds = Field(default=3_600_000, description="longest wait between two repetitions")
    retry_window_s: Positive = Field(
        default=604_800, description="give an event up after this long (documented: 7 days)"
    )

    state: Path | None = Field(
        default=None, description="file the organisation is kept in: its calls are appended, and replayed at start"
    )
    example: bool = Field(
        default=True, description="start with programme 973 and one family, a SessionM coffee club and a CRM.COM spa"
    )
    call_log_max: Positive = Field(
        default=100_000, description="calls kept for GET /sandbox/calls; the oldest go first"
    )
    delivery_log_max: Positive = Field(default=100_000, description="deliveries kept for GET /sandbox/deliveries")
    body_bytes_max: Positive = Field(default=8_388_608, description="longest request body that is read")


def load(**given: Any) -> SandboxSettings:
    """Read the settings, or raise `SettingsError` with a line for each wrong one: its variable, why, what else."""
    wrong = [_unknown(name) for name in sorted(os.environ) if name.startswith(PREFIX) and _field(name) is None]
    if wrong:
        raise SettingsError("\n".join(wrong))
    try:
        return SandboxSettings(**given)
    except ValidationError as error:
        lines = [
            f"{PREFIX}{item['loc'][0]!s}".upper() + f": {_SAID.get(item['type'], item['msg'])}"
            for item in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from None


def _field(variable: str) -> str | None:
    name = variable.removeprefix(PREFIX).lower()
    return name if name in SandboxSettings.model_fields else None


def _unknown(variable: str) -> str:
    near = get_close_matches(variable, [PREFIX + name.upper() for name in SandboxSettings.model_fields], n=1)
    return f"{variable}: there is no such setting" + (f"; did you mean {near[0]}?" if near else "")
