"""Who may call: Basic (MD5 of the password) and OAuth tokens, as in `contracts/capillary.md` 1.2."""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import md5, sha256
from hmac import compare_digest, digest

from pydantic_core import to_json

from tiersync.sandbox.settings import SandboxSettings


def basic(username: str, password: str) -> bytes:
    """Build the value of the Authorization header: base64 of `user:md5hex(password)`."""
    hashed = md5(password.encode(), usedforsecurity=False).hexdigest()
    return b"Basic " + b64encode(f"{username}:{hashed}".encode())


class Credentials:
    """The configured credentials and the tokens given out. Older tokens stay valid until they expire."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._basic = basic(settings.username, settings.password)
        self._client = (settings.key.encode(), settings.secret.encode())
        self._org_id = settings.org_id
        self.ttl = timedelta(seconds=settings.token_ttl_s)
        self._expires: dict[bytes, datetime] = {}

    def knows(self, key: object, secret: object) -> bool:
        """Say whether these are the client's key and secret."""
        if not isinstance(key, str) or not isinstance(secret, str):
            return False
        given = (key.encode(), secret.encode())
        return compare_digest(given[0], self._client[0]) & compare_digest(given[1], self._client[1])

    def issue(self, now: datetime, token_id: str) -> str:
        """Give out a new token: a JWT by its look and claims, signed with a key that means nothing."""
        self._expires = {token: expires for token, expires in self._expires.items() if expires > now}
        issued = int(now.timestamp())
        claims = {
            "iss": "Capillary",
            "exp": issued + int(self.ttl.total_seconds()),
            "jti": token_id,
            "iat": issued,
            "sub": "sandbox",
            "client_id": 21,
            "org_id": self._org_id,
            "token_use": "token_access",
        }
        unsigned = b".".join(_part(part) for part in ({"kid": "k1", "alg": "RS256"}, claims))
        token = unsigned + b"." + urlsafe_b64encode(digest(b"sandbox", unsigned, sha256)).rstrip(b"=")
        self._expires[token] = now + self.ttl
        return token.decode()

    def admits(self, headers: Mapping[bytes, bytes], now: datetime) -> bool:
        """Say whether these request headers (lower-case names) carry a live token or the right Basic credentials."""
        token = headers.get(b"x-cap-api-oauth-token")
        if token is not None:
            expires = self._expires.get(token)
            return expires is not None and now < expires
        return compare_digest(headers.get(b"authorization", b""), self._basic)

    def forget(self) -> None:
        """Make every token invalid."""
        self._expires.clear()


def _part(value: object) -> bytes:
    return urlsafe_b64encode(to_json(value)).rstrip(b"=")
