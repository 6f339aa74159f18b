"""Who is signed in: the operator token becomes a signed cookie, and a cookie's token guards every form.

The cookie is signed by a key made from the operator token, so that it holds in every replica and ends with the token.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

COOKIE: Final = "tiersync_console"
NAME_MAX: Final = 60
_ADDRESSES_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in: a name for the record, and the token that their forms must carry."""

    name: str
    csrf: str

    @property
    def by(self) -> str:
        """Who is on record for what they do."""
        return self.name or "console"


class Sessions:
    """Signs in and recognises. `token` is the operator token; without one nobody is let in."""

    def __init__(self, token: str | None, session_s_max: int) -> None:
        """`session_s_max` is how long a sign-in holds, seconds."""
        self._token = token.encode() if token else None
        self._session_s_max = session_s_max
        # Slow on purpose: who finds a cookie must not be able to try tokens by the million.
        salt = b"tiersync.console"
        key = hashlib.scrypt(self._token, salt=salt, n=2**14, r=8, p=1) if self._token else secrets.token_bytes(32)
        self._signer = URLSafeTimedSerializer(key, salt=salt, signer_kwargs={"digest_method": hashlib.sha256})

    @property
    def open(self) -> bool:
        """Say whether a token is set at all."""
        return self._token is not None

    def right(self, token: str) -> bool:
        """Compare with the operator token, in the same time whatever is given."""
        return self._token is not None and hmac.compare_digest(token.encode("utf-8", "replace"), self._token)

    def begin(self, request: Request, response: Response, name: str) -> None:
        """Sign somebody in."""
        session = Session(name[:NAME_MAX], secrets.token_urlsafe(24))
        response.set_cookie(
            COOKIE,
            str(self._signer.dumps(asdict(session))),
            max_age=self._session_s_max,
            path="/console",
            secure=over_https(request),
            httponly=True,
            samesite="strict",
        )

    def end(self, request: Request, response: Response) -> None:
        """Sign out."""
        response.delete_cookie(COOKIE, path="/console", secure=over_https(request), httponly=True, samesite="strict")

    def of(self, request: Request) -> Session | None:
        """Who sends this request; None if nobody is signed in, or no longer."""
        try:
            return Session(**self._signer.loads(request.cookies.get(COOKIE, ""), max_age=self._session_s_max))
        except (BadData, TypeError):
            return None


def over_https(request: Request) -> bool:
    """Say whether the browser speaks TLS, to us or to the proxy before us."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "") == "https"


def from_here(request: Request) -> bool:
    """Say whether a form comes from our own page, as far as the browser tells."""
    if site := request.headers.get("sec-fetch-site"):
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


class Brake:
    """Slows down who guesses: after a few wrong tokens from an address, none is looked at for a while."""

    def __init__(self, failures_max: int, wait_s: float, now: Callable[[], float]) -> None:
        """`now` is a monotonic clock in seconds."""
        self._failures_max, self._wait_s, self._now = failures_max, wait_s, now
        self._failed: dict[str, tuple[int, float]] = {}

    def wait_s(self, address: str) -> float:
        """For how many more seconds nothing from there is looked at."""
        failures, last = self._failed.get(address, (0, 0.0))
        return max(0.0, last + self._wait_s - self._now()) if failures >= self._failures_max else 0.0

    def failed(self, address: str) -> None:
        """A token was wrong."""
        now = self._now()
        if len(self._failed) >= _ADDRESSES_MAX:
            self._failed = {who: (n, at) for who, (n, at) in self._failed.items() if at + self._wait_s > now}
        failures, last = self._failed.get(address, (0, 0.0))
        self._failed[address] = (failures + 1 if last + self._wait_s > now else 1, now)

    def forget(self, address: str) -> None:
        """A token was right."""
        self._failed.pop(address, None)
