"""What `tiersync doctor` looks at. Every check reads; none writes."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from tiersync import app, settings
from tiersync.capillary import NotTried
from tiersync.errors import SettingsError
from tiersync.intake import ANY_ORG
from tiersync.settings import OrgSettings, Settings
from tiersync.store import database

_SECRET_CHARS_MIN = 16
_ADDRESS = frozenset({"not_connected", "no_answer", "no_such_resource", "redirected", "unreadable_answer"})
_CREDENTIALS = frozenset({"no_token", "not_authenticated", "not_authorised", "org_invalid"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is well, and what was seen or is to be done.

    What `warns` does not stop the service, but should not stay so.
    """

    what: str
    ok: bool
    detail: str
    warns: bool = False


async def examine() -> list[Finding]:
    """Carry out every check that can be carried out."""
    try:
        loaded = settings.load()
        url = database.address(loaded.database_url)
    except SettingsError as error:
        return [Finding("settings", ok=False, detail=line) for line in str(error).splitlines()]
    missing = settings.missing_to_serve(loaded)
    findings = [Finding("settings", ok=False, detail=line) for line in missing] or [
        Finding("settings", ok=True, detail="1 org" if len(loaded.by_org()) == 1 else f"{len(loaded.by_org())} orgs")
    ]
    findings += _advice(loaded)
    ok, detail = await database.examine(url)
    findings.append(Finding("store", ok=ok, detail=detail))
    if not missing:
        findings += [finding async for finding in _credentials(loaded)]
    return findings


def _advice(loaded: Settings) -> Iterator[Finding]:
    def warning(what: str, detail: str) -> Finding:
        return Finding(what, ok=True, detail=detail, warns=True)

    for line in settings.unknown_variables(os.environ):
        yield warning("settings", line)
    if not loaded.orgs and loaded.org == ANY_ORG:
        yield warning(
            "org",
            "TIERSYNC_ORG is not set: events that name no org are kept apart from those that do, "
            "so one primary may have two states. Set it to your org's id",
        )
    short = [secret for secret in loaded.webhook_secrets if len(secret.get_secret_value()) < _SECRET_CHARS_MIN]
    if short:
        yield warning("webhook secrets", f"{len(short)} shorter than {_SECRET_CHARS_MIN} characters: easy to guess")
    if loaded.operator_token is None:
        yield warning("operator API", "closed: TIERSYNC_OPERATOR_TOKEN is not set")
    elif len(loaded.operator_token.get_secret_value()) < _SECRET_CHARS_MIN:
        yield warning("operator token", f"shorter than {_SECRET_CHARS_MIN} characters: easy to guess")


async def _credentials(loaded: Settings) -> AsyncIterator[Finding]:
    for org, values in loaded.by_org().items():
        what = f"Capillary of org {org}" if org else "Capillary"
        # One call; to lease it from what all processes share would be to write.
        api = app.capillary(values.model_copy(update={"calls_per_minute_max": 0}))
        try:
            problem = await api.check(time.monotonic() + values.attempt_s_max)
        finally:
            await api.close()
        if problem is None:
            yield Finding(what, ok=True, detail="answers, and knows the credentials")
        elif isinstance(problem, NotTried):
            yield Finding(what, ok=False, detail="no call was possible within the limits")
        else:
            said = f"{problem.reason} (code {problem.code})" if problem.code else problem.reason
            told = ": ".join(part for part in (said, problem.message) if part)
            check = ", ".join(_to_check(problem.reason, org if loaded.orgs else None, values))
            yield Finding(what, ok=False, detail=f"{told}. Check {check}" if check else told)


def _to_check(reason: str, org: int | None, values: OrgSettings) -> Iterator[str]:
    """The settings that may be to blame, named as they were set."""
    names = ["capillary_url", "capillary_proxy", "capillary_ca_file"] if reason in _ADDRESS else []
    if reason in _CREDENTIALS:
        own = ("key", "secret") if values.capillary_key else ("username", "password")
        names = [f"capillary_{name}" for name in own]
    for name in names:
        if getattr(values, name) is not None:
            yield f"{settings.PREFIX}{name.upper()}" if org is None else f"orgs.{org}.{name}"
