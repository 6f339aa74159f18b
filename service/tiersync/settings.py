"""Frozen settings: what `TIERSYNC_*` and an optional `tiersync.toml` say, checked before anything starts.

Whatever an org can set may also be set once at the top, where it holds for every org. Without an `[orgs.N]` table the
top level is the only org. Each limit has its unit in its name.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Secret,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from tiersync import fanout
from tiersync.errors import SettingsError
from tiersync.intake import ANY_ORG
from tiersync.retry import Schedule

PREFIX: Final = "TIERSYNC_"
_SANDBOX: Final = "TIERSYNC_SANDBOX_"  # the sandbox has settings of its own
FILE_VARIABLE: Final = "TIERSYNC_CONFIG"
DEFAULT_FILE: Final = "tiersync.toml"

EXAMPLES: Final[Mapping[str, str]] = {
    "capillary_url": "https://eu.api.capillarytech.com",
    "capillary_username": "till.user",
    "capillary_password": "the till user's password",
    "capillary_key": "the client key",
    "capillary_secret": "the client secret",
    "capillary_proxy": "http://proxy.example:3128",
    "capillary_ca_file": "/etc/ssl/our-ca.pem",
    "default_program": "973",
    "org": "50614",
    "webhook_secrets": "Bearer-new,Bearer-old",
    "webhook_signing_secrets": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "operator_token": "a long random string",
    "database_url": "sqlite:////var/lib/tiersync/tiersync.db",
}
"""What a setting may look like; where nothing stands here, its default shows it."""
_BASIC: Final = ("capillary_username", "capillary_password")
_OAUTH: Final = ("capillary_key", "capillary_secret")


def _split(value: Any) -> Any:
    """Read "a, b" as a list: an environment variable has no other way to hold one."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _bare(url: AnyHttpUrl) -> AnyHttpUrl:
    """Refuse what does not belong into a base address; a password there would be shown wherever the address is."""
    if url.username or url.password:
        raise ValueError("name user and password in settings of their own")
    if url.query or url.fragment:
        raise ValueError("must end with the host or a path")
    return url


Secrets = Annotated[list[Annotated[SecretStr, Field(min_length=1)]], NoDecode, BeforeValidator(_split)]
Delays = Annotated[list[Annotated[float, Field(ge=0)]], NoDecode, BeforeValidator(_split), Field(min_length=1)]


class OrgSettings(BaseModel):
    """What belongs to one org: its API, its limits, its policies (design section 7)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    capillary_url: Annotated[AnyHttpUrl, AfterValidator(_bare)] | None = Field(
        None, description="Base address of the org's Capillary API."
    )
    capillary_username: str | None = Field(None, description="Till user, for Basic authentication.")
    capillary_password: SecretStr | None = Field(
        None, description="Its password; sent in the MD5 form Capillary wants."
    )
    capillary_key: str | None = Field(None, description="Client key, for OAuth.")
    capillary_secret: SecretStr | None = Field(None, description="Client secret, for OAuth.")
    capillary_source: str = Field("INSTORE", description="The `source` that every adjustment names.")
    capillary_proxy: Secret[AnyHttpUrl] | None = Field(
        None, description="Proxy of the calls; proxies that the environment names are not used."
    )
    capillary_ca_file: Path | None = Field(
        None, description="Authorities (PEM) that are trusted besides the usual ones."
    )
    transport: Literal["pyreqwest", "httpx"] = Field(
        "pyreqwest", description="The HTTP library that makes the calls (docs/performance.md)."
    )

    calls_concurrent_max: int = Field(64, ge=1, description="Calls in flight at once.")
    calls_per_minute_max: int = Field(0, ge=0, description="Calls a minute; 0 sets no limit of our own.")
    call_s_max: float = Field(8, gt=0, description="Longest wait for one answer, seconds.")
    connect_s_max: float = Field(3, gt=0, description="Longest wait for a connection, seconds.")
    attempt_s_max: float = Field(10, gt=0, description="Longest call with its short burst of tries, seconds.")
    burst_tries_max: int = Field(3, ge=1, description="Tries in that short burst.")
    response_bytes_max: int = Field(32 * 1024 * 1024, ge=1024, description="Longest answer that is read, bytes.")
    breaker_failures_max: int = Field(
        10, ge=0, description="Failed calls in a row before no more are made; 0: they always are."
    )
    breaker_pause_s: float = Field(5, gt=0, description="First pause until a call probes, seconds; then each doubles.")
    breaker_pause_s_max: float = Field(60, gt=0, description="Longest pause between two probes, seconds.")
    members_max: int = Field(50_000, ge=1, description="Largest group that is worked on, members.")
    reconcile_every_h: float = Field(
        0, ge=0, description="How often groups are compared with their primaries, hours; 0: only when asked for."
    )
    reconcile_keys_max: int = Field(1000, ge=1, description="Primaries that one scheduled pass compares.")
    reconcile_calls_per_minute_max: int = Field(120, ge=1, description="Calls a minute that a comparison makes.")

    secondary_above_primary: fanout.Above = Field(
        fanout.Above.MATCH, description="A secondary above its primary: bring it down (`match`) or `leave` it."
    )
    tier_source: fanout.TierSource = Field(
        fanout.TierSource.EVENT, description="Which tier is meant: the newest `event`'s, or the primary's `live` one."
    )
    default_program: int | None = Field(None, gt=0, description="The program of events that name none.")
    renewal: fanout.Renewal = Field(
        fanout.Renewal.CONVERGE, description="A renewal: read and repair first (`converge`), or renew `plain`ly."
    )
    validity: fanout.Validity = Field(
        fanout.Validity.STRATEGY, description="A secondary's expiry: by its tier `strategy`, or `mirror` the event's."
    )
    several_groups: fanout.SeveralGroups = Field(
        fanout.SeveralGroups.DEFAULT_GROUP,
        description="Who leads a secondary in several groups: its `default_group`, the `highest`, the `latest`.",
    )
    on_join: fanout.OnJoin = Field(
        fanout.OnJoin.ADJUST, description="A customer joins a group: `adjust` it to the primary's tier, or `off`."
    )
    cascade_depth_max: int = Field(0, ge=0, description="How many times adjustments may set off further ones.")
    echo_window_s: int = Field(300, ge=0, description="How long an adjustment's echo is expected, seconds.")
    created_ahead_s_max: int = Field(
        86_400, ge=0, description="How far ahead of its arrival an event's date is believed, seconds; 0: any."
    )

    @property
    def policy(self) -> fanout.Policy:
        """The org's policies, as the pure half wants them."""
        return fanout.Policy(**{name: getattr(self, name) for name in fanout.Policy.__dataclass_fields__})


class Settings(OrgSettings, BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", allow_inf_nan=False, env_ignore_empty=True
    )

    org: int = Field(ANY_ORG, ge=0, description="The only org's id; 0 takes events of any org.")
    orgs: dict[Annotated[int, Field(gt=0)], OrgSettings] = Field(
        {}, description="Several orgs: a table `[orgs.ID]` each, in tiersync.toml."
    )

    webhook_header: str = Field(
        "Authorization", min_length=1, description="The header in which the sender proves itself."
    )
    webhook_secrets: Secrets = Field([], description="Its accepted values, by comma: two while one is being replaced.")
    webhook_signing_secrets: Secrets = Field([], description="Standard Webhooks secrets, if a gateway signs.")
    webhook_signature_s_max: int = Field(300, ge=1, description="How old or early a signature may be, seconds.")
    operator_token: SecretStr | None = Field(
        None, description="Bearer token of the operator API and page; without it: closed."
    )
    session_s_max: int = Field(43200, ge=60, description="How long a sign-in to the page holds, seconds.")
    sign_in_failures_max: int = Field(5, ge=1, description="Wrong tokens from one address before it has to wait.")
    sign_in_wait_s: float = Field(30, gt=0, description="How long it waits after a wrong one, seconds.")

    database_url: str = Field("sqlite:///tiersync.db", repr=False, description="Where events are kept.")
    database_connections_max: int = Field(8, ge=2, description="Connections to PostgreSQL, besides the engine's one.")
    database_statement_s_max: float = Field(
        10, ge=1, description="Longest statement, and longest silence within a transaction, on PostgreSQL, seconds."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on.")

    head_bytes_max: int = Field(64 * 1024, ge=1024, description="Largest head of a request, bytes.")
    head_read_s_max: float = Field(10, gt=0, description="Longest time to read a request's head, seconds.")
    body_bytes_max: int = Field(1024 * 1024, ge=1024, description="Largest webhook body once unzipped, bytes.")
    body_read_s_max: float = Field(10, gt=0, description="Longest time to read a body, seconds.")
    deliveries_concurrent_max: int = Field(512, ge=1, description="Deliveries taken at once; others come later.")
    overload_retry_s: int = Field(5, ge=1, description="The Retry-After of an overloaded answer, seconds.")
    page_rows_max: int = Field(200, ge=1, description="Largest page of the operator API, rows.")

    commit_batch_max: int = Field(512, ge=1, description="Store operations in one commit.")
    commit_gather_s_max: float = Field(
        0.02, ge=0, description="Longest that a commit waits while more comes for it, seconds."
    )
    plan_batch_max: int = Field(1000, ge=1, le=3000, description="Adjustments planned in one commit.")
    owed_batch_max: int = Field(500, ge=1, description="Due adjustments of one key held in memory.")
    settle_batch_max: int = Field(250, ge=1, description="Outcomes of one key held in memory until they are written.")
    settle_s_max: float = Field(0.25, gt=0, description="Longest that an outcome waits for others, seconds.")
    keys_waiting_max: int = Field(10_000, ge=1, description="Keys in the engine's queue; others wait in the store.")
    keys_concurrent_max: int = Field(64, ge=1, description="Keys worked on at once, per org.")
    key_calls_concurrent_max: int = Field(16, ge=1, description="Calls in flight at once for one key.")
    lease_s: float = Field(20, gt=0, description="How long a claim holds unless it is prolonged, seconds.")
    turn_s_max: float = Field(60, gt=0, description="Longest turn at one key, then others have theirs, seconds.")
    sweep_s: float = Field(1, gt=0, description="How often the tables are searched for due work, seconds.")
    shutdown_s_max: float = Field(15, gt=0, description="Longest time to finish what is in flight, seconds.")

    retention_done_days: float = Field(
        90, ge=0, description="How long done, ignored and superseded events are kept; 0: for ever."
    )
    retention_dead_days: float = Field(
        0, ge=0, description="How long dead and quarantined events are kept; 0: for ever."
    )
    duplicates_days: float = Field(
        14, ge=0, description="How long any event is kept, so that a duplicate of it is recognised."
    )
    retention_s: float = Field(600, gt=0, description="How often events that may go are looked for, seconds.")
    purge_batch_max: int = Field(1000, ge=1, description="Adjustments removed in one commit.")

    retry_delays_s: Delays = Field(
        [2, 10, 60, 300, 1800, 7200, 21600], description="Delays before attempts 2, 3, …, seconds; the last repeats."
    )
    retry_attempts_max: int = Field(12, ge=1, description="Attempts before an adjustment is dead.")
    retry_delay_s_max: float = Field(21600, gt=0, description="Longest delay, whatever Retry-After says, seconds.")
    retry_jitter_share: float = Field(0.2, ge=0, le=1, description="Share by which delays are spread either way.")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: console on a terminal, else json."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings names the arguments
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, _file())

    @model_validator(mode="before")
    @classmethod
    def _org_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        shared = {name: values[name] for name in OrgSettings.model_fields if name in values}
        orgs = values.get("orgs")
        if not isinstance(orgs, Mapping):
            return values
        return {**values, "orgs": {org: _inherited(shared, table) for org, table in orgs.items()}}

    @model_validator(mode="after")
    def _limits_agree(self) -> Self:
        if self.org != ANY_ORG and self.orgs:
            raise ValueError(
                f"{PREFIX}ORG: names the only org, and there are tables of several "
                f"({', '.join(f'[orgs.{org}]' for org in self.orgs)}): remove one or the other"
            )
        for org, values in self.by_org().items():
            if values.attempt_s_max * 2 > self.lease_s:
                raise ValueError(
                    f"TIERSYNC_LEASE_S: must be at least twice attempt_s_max ({values.attempt_s_max:g}). "
                    f"Example: TIERSYNC_LEASE_S={values.attempt_s_max * 3:g}"
                )
            if values.breaker_pause_s > values.breaker_pause_s_max:
                shown = f"orgs.{org}.breaker_pause_s" if self.orgs else f"{PREFIX}BREAKER_PAUSE_S"
                raise ValueError(
                    f"{shown}: must not exceed breaker_pause_s_max ({values.breaker_pause_s_max:g}). "
                    f"Example: {shown}={values.breaker_pause_s_max:g}"
                )
            if values.call_s_max > values.attempt_s_max:
                shown = f"orgs.{org}.call_s_max" if self.orgs else f"{PREFIX}CALL_S_MAX"
                raise ValueError(
                    f"{shown}: must not exceed attempt_s_max ({values.attempt_s_max:g}). "
                    f"Example: {shown}={values.attempt_s_max:g}"
                )
        return self

    def by_org(self) -> Mapping[int, OrgSettings]:
        """Map each org's id to its settings; the id is 0 for a single org that was given none."""
        return self.orgs or {self.org: self}

    @property
    def schedule(self) -> Schedule:
        """The long retry schedule."""
        return Schedule(
            tuple(self.retry_delays_s), self.retry_attempts_max, self.retry_delay_s_max, self.retry_jitter_share
        )


def _inherited(shared: Mapping[str, Any], table: Any) -> Any:
    if not isinstance(table, Mapping):
        return table  # validation says what is wrong with it
    # OAuth goes before Basic: a till user of the org's own must not lose to a client that all share.
    own_basic = any(name in table for name in _BASIC)
    return {**{name: value for name, value in shared.items() if not (own_basic and name in _OAUTH)}, **table}


def unknown_variables(variables: Iterable[str]) -> list[str]:
    """Name the variables that look like settings and are none: a line each, with the nearest setting."""
    known = {name.upper() for name in Settings.model_fields} | {FILE_VARIABLE.removeprefix(PREFIX)}
    found = []
    for variable in sorted(variables):
        name = variable.upper().removeprefix(PREFIX)
        if name in known or not variable.upper().startswith(PREFIX) or variable.upper().startswith(_SANDBOX):
            continue
        near = get_close_matches(name, known, n=1)
        meant = f"; is {PREFIX}{near[0]} meant?" if near else ""
        found.append(f"{variable}: there is no such setting{meant}")
    return found


def _file() -> str:
    return os.environ.get(FILE_VARIABLE) or DEFAULT_FILE


def load(**overrides: Any) -> Settings:
    """Read the settings, or raise `SettingsError` with a line for each wrong one: its variable, why, an example."""
    if os.environ.get(FILE_VARIABLE) and not Path(_file()).expanduser().is_file():
        raise SettingsError(f"{FILE_VARIABLE}: no file {_file()}. Example: {FILE_VARIABLE}=/etc/tiersync.toml")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(_problem(item) for item in error.errors(include_url=False))) from None
    except SourceError:  # only one setting is read from the environment as JSON
        raise SettingsError(f"{PREFIX}ORGS: not JSON; several orgs are easier in {DEFAULT_FILE}") from None
    except (ValueError, OSError) as error:  # the file is not TOML, or not ours to read
        raise SettingsError(f"{_file()}: {error}") from None


def _problem(item: Any) -> str:
    where = [str(part) for part in item["loc"]]
    if not where:
        return str(item["msg"]).removeprefix("Value error, ")
    if where[0] == "orgs":
        shown, name = ".".join(where[:3]).removesuffix(".[key]"), where[2] if len(where) > 2 else ""  # noqa: PLR2004
        if name not in OrgSettings.model_fields and item["type"] != "extra_forbidden":
            return f"{shown}: {item['msg']}. Example: [orgs.50614]"
    else:
        shown, name = f"{PREFIX}{where[0].upper()}", where[0]
    if item["type"] == "extra_forbidden":
        return f"{shown}: there is no such setting"
    return f"{shown}: {str(item['msg']).removeprefix('Value error, ')}. Example: {shown}={example(name)}"


def example(name: str) -> str:
    """Show what the setting `name` may look like as an environment variable."""
    if name in EXAMPLES:
        return EXAMPLES[name]
    default = Settings.model_fields[name].default
    if isinstance(default, list):
        return ",".join(map(str, default))
    return str(default.value if isinstance(default, Enum) else default)


def missing_to_serve(settings: Settings, *, receives: bool = True, works: bool = True) -> list[str]:
    """Name what has to be set before `serve` can start in its role: a line each, with an example."""
    missing = [
        *(_missing_to_work(settings) if works else ()),
        *(_missing_to_receive(settings) if receives else ()),
    ]
    return [f"{shown}: missing. Example: {shown}={example(name)}" for shown, name in missing]


def _missing_to_work(settings: Settings) -> Iterator[tuple[str, str]]:
    for org, values in settings.by_org().items():
        prefix = f"orgs.{org}." if settings.orgs else PREFIX

        def shown(name: str, prefix: str = prefix) -> tuple[str, str]:
            return (prefix + name if prefix != PREFIX else prefix + name.upper()), name

        if values.capillary_url is None:
            yield shown("capillary_url")
        if values.capillary_key or values.capillary_secret:
            yield from (shown(name) for name in _OAUTH if not getattr(values, name))
        else:
            yield from (shown(name) for name in _BASIC if not getattr(values, name))


def _missing_to_receive(settings: Settings) -> Iterator[tuple[str, str]]:
    if not settings.webhook_secrets and not settings.webhook_signing_secrets:
        yield f"{PREFIX}WEBHOOK_SECRETS", "webhook_secrets"
