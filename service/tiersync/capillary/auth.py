"""How a call proves itself: Basic with the MD5 form of the password, or an OAuth token (contracts/capillary.md 1.2)."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import md5
from typing import Final, Protocol

from tiersync.capillary import outcome
from tiersync.capillary.transport import NoAnswer, NotSent, Transport
from tiersync.retry import Refused, TryAgain

_MARGIN_SHARE: Final = 0.1  # a token is replaced when a tenth of its life is left


class Auth(Protocol):
    """Gives the headers of a call."""

    async def headers(self, timeout_s: float) -> Mapping[str, str] | TryAgain | Refused:
        """The headers, or why there are none; within so many seconds."""
        ...

    def rejected(self, headers: Mapping[str, str]) -> bool:
        """Hear that a call with these headers was answered 401; say whether other headers are worth a try."""
        ...


class Basic:
    """Till user and password. There is nothing to renew."""

    def __init__(self, username: str, password: str) -> None:
        """`password` is the plain one; only its MD5 is sent."""
        hashed = md5(password.encode(), usedforsecurity=False).hexdigest()
        self._headers = {"Authorization": "Basic " + b64encode(f"{username}:{hashed}".encode()).decode("ascii")}

    async def headers(self, timeout_s: float) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's signature
        """The same headers every time."""
        return self._headers

    def rejected(self, headers: Mapping[str, str]) -> bool:  # noqa: ARG002 - the protocol's signature
        """Nothing better to offer."""
        return False


class OAuth:
    """A client's key and secret, exchanged for tokens. One exchange at a time, whoever asks."""

    def __init__(
        self, *, transport: Transport, url: str, key: str, secret: str, timeout_s: float, now: Callable[[], float]
    ) -> None:
        """`url` is the org's base address; `now` is a monotonic clock in seconds."""
        self._transport, self._url, self._timeout_s, self._now = transport, url, timeout_s, now
        self._body = json.dumps({"key": key, "secret": secret}).encode()
        self._headers: Mapping[str, str] | None = None
        self._renew_at = 0.0
        self._exchange = asyncio.Lock()
        self._exchanges = 0
        self._result: Mapping[str, str] | TryAgain = TryAgain("no_token")

    async def headers(self, timeout_s: float) -> Mapping[str, str] | TryAgain | Refused:
        """The current token, or a new one."""
        if self._headers is not None and self._now() < self._renew_at:
            return self._headers
        try:
            async with asyncio.timeout(timeout_s):
                return await self._renewed()
        except TimeoutError:
            return TryAgain("no_token", message=f"no token within {timeout_s:g} s")

    async def _renewed(self) -> Mapping[str, str] | TryAgain | Refused:
        before = self._exchanges
        async with self._exchange:
            # Whoever waited for an exchange shares its result, a failure too: else each would fail after the other.
            if self._exchanges == before:
                self._result = await self._exchanged()
                self._exchanges += 1
            return self._result

    async def _exchanged(self) -> Mapping[str, str] | TryAgain:
        try:
            answer = await self._transport.send(
                "POST",
                f"{self._url}/v3/oauth/token/generate",
                {"Content-Type": "application/json", "Accept": "application/json"},
                self._body,
                self._timeout_s,
            )
        except (NotSent, NoAnswer) as error:
            return TryAgain("no_token", message=str(error))
        match outcome.read_token(answer):
            case (token, ttl_s):
                self._headers = {"X-CAP-API-OAUTH-TOKEN": token}
                self._renew_at = self._now() + ttl_s * (1 - _MARGIN_SHARE)
                return self._headers
            case TryAgain() | Refused() as failure:
                # The message of a failed exchange could repeat what was sent.
                return TryAgain("no_token", failure.code)

    def rejected(self, headers: Mapping[str, str]) -> bool:
        """Forget the token, unless somebody has already fetched a newer one."""
        if headers is self._headers:
            self._headers = None
        return True
