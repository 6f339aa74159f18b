"""What `tiersync doctor` looks at. Every check reads; none writes."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from tiersync import app, settings
from tiersync.capillary import NotTried
from tiersync.errors import SettingsError
from tiersync.settings import Settings
from tiersync.store import database

_SECRET_CHARS_MIN = 16


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
        Finding("settings", ok=True, detail=f"{len(loaded.by_org())} org(s)")
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
            yield Finding(what, ok=False, detail=f"{problem.reason} (code {problem.code}) {problem.message}".strip())
