"""One org's Capillary, put together from its settings."""

import asyncio
import time
from collections.abc import Callable

from tiersync.capillary import (
    Basic,
    Breaks,
    Budget,
    Capillary,
    Gate,
    HttpxTransport,
    Limits,
    Line,
    OAuth,
    PyreqwestTransport,
    Transport,
)
from tiersync.errors import SettingsError
from tiersync.settings import OrgSettings

Observe = Callable[[str, float, str], None]


def capillary(
    values: OrgSettings,
    *,
    observe: Observe = lambda *_: None,
    waited: Callable[[float], None] = lambda _: None,
    changed: Callable[[], None] = lambda: None,
    budget: Budget | None = None,
) -> Capillary:
    """One org's API, with credentials, limits and connections of its own.

    `observe` hears of each call (its name, its seconds, how it was answered), `waited` how long each was held back,
    `changed` of the breaker.
    """
    url = str(values.capillary_url).rstrip("/")
    transport = _transport(values)
    auth: Basic | OAuth
    if values.capillary_key and values.capillary_secret:
        auth = OAuth(
            transport=transport,
            url=url,
            key=values.capillary_key,
            secret=values.capillary_secret.get_secret_value(),
            timeout_s=values.call_s_max,
            now=time.monotonic,
        )
    else:
        password = values.capillary_password.get_secret_value() if values.capillary_password else ""
        auth = Basic(values.capillary_username or "", password)
    return Capillary(
        url=url,
        source=values.capillary_source,
        transport=transport,
        auth=auth,
        gate=Gate(
            concurrent_max=values.calls_concurrent_max,
            per_minute_max=values.calls_per_minute_max,
            now=time.monotonic,
            sleep=asyncio.sleep,
            waited=waited,
            budget=budget,
        ),
        limits=Limits(
            values.call_s_max,
            values.attempt_s_max,
            values.burst_tries_max,
            Breaks(
                values.breaker_failures_max, values.breaker_pause_s, values.breaker_pause_s_max, values.attempt_s_max
            ),
        ),
        now=time.monotonic,
        sleep=asyncio.sleep,
        observe=observe,
        changed=changed,
    )


def _transport(values: OrgSettings) -> Transport:
    line = Line(
        connections_max=values.calls_concurrent_max,
        connect_s_max=values.connect_s_max,
        response_bytes_max=values.response_bytes_max,
        proxy=str(values.capillary_proxy.get_secret_value()) if values.capillary_proxy else None,
        ca_file=values.capillary_ca_file,
    )
    try:
        return PyreqwestTransport(line) if values.transport == "pyreqwest" else HttpxTransport(line)
    except (OSError, ValueError) as error:
        raise SettingsError(f"TIERSYNC_CAPILLARY_CA_FILE: there are no authorities to trust: {error}") from None
