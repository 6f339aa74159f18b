"""Bytes in: authenticate, store, answer. Nothing else happens before the sender hears from us.

The answers are those of design section 8. Never 400: Capillary would drop the event for ever.
"""

import asyncio
import base64
import hmac
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tiersync import intake
from tiersync.errors import StoreUnavailable
from tiersync.fanout import Policy
from tiersync.store import Receipt, Store
from tiersync.telemetry import Traces

log: Final = structlog.get_logger("tiersync.receiver")

_SIGNED_PREFIX: Final = "whsec_"
_GZIP_MEMBERS_MAX: Final = 16


class _TooLarge(Exception):  # noqa: N818 - never leaves this module
    pass


class _BadEncoding(Exception):  # noqa: N818
    pass


@dataclass(frozen=True, slots=True)
class Secrets:
    """What proves a sender: values of one header, or keys of Standard Webhooks signatures. Several may live at once."""

    header: str
    values: Sequence[bytes]
    signing_keys: Sequence[bytes]
    signature_s_max: int

    @staticmethod
    def signing_key(secret: str) -> bytes:
        """The key of a `whsec_…` secret. Raises `ValueError` if it is none."""
        key = base64.b64decode(secret.removeprefix(_SIGNED_PREFIX), validate=True)
        if not key:
            raise ValueError("an empty key proves nothing")
        return key

    def accept_header(self, headers: Mapping[str, str]) -> bool:
        """Compare in constant time with every live value."""
        given = headers.get(self.header, "").encode("latin-1")  # the bytes as they came
        # No early exit: the time must not tell which secret was the near one. Nothing is never a secret.
        return any([hmac.compare_digest(given, value) for value in self.values]) and bool(given)  # noqa: C419

    def accept_signature(self, headers: Mapping[str, str], body: bytes, now_s: float) -> bool:
        """Verify a Standard Webhooks signature over the raw bytes, and that it is fresh."""
        name, stamp, given = (headers.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature"))
        if not (stamp.isascii() and stamp.isdigit() and abs(now_s - int(stamp[:15])) <= self.signature_s_max):
            return False
        signed = b".".join((name.encode("latin-1"), stamp.encode(), body))
        right = [base64.b64encode(hmac.digest(key, signed, sha256)) for key in self.signing_keys]
        offered = [part[3:].encode("latin-1") for part in given.split() if part.startswith("v1,")]
        return any([hmac.compare_digest(one, other) for one in offered for other in right])  # noqa: C419


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one delivery, and all of them together, may take."""

    body_bytes_max: int
    body_read_s_max: float
    deliveries_concurrent_max: int
    overload_retry_s: int


class Receiver:
    """Answers deliveries. `now` is epoch milliseconds; `wake` hears of each key that became due: (key, org)."""

    def __init__(  # noqa: PLR0913 - put together in app, and only there
        self,
        *,
        store: Store,
        secrets: Secrets,
        orgs: Mapping[int, Policy],
        limits: Limits,
        now: Callable[[], int],
        monotonic: Callable[[], float],
        wake: Callable[[int, int], None],
        answered: Callable[[str, float], None],
        traces: Traces,
    ) -> None:
        """`answered` hears of each answer and its seconds."""
        self._store, self._secrets, self._orgs, self._limits = store, secrets, orgs, limits
        self._now, self._monotonic, self._wake, self._answered = now, monotonic, wake, answered
        self._traces = traces
        self._taken = 0

    @property
    def taken(self) -> int:
        """Deliveries that are being answered now."""
        return self._taken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one delivery, as an ASGI application: a route to it needs no more layers."""
        response = await self.answer(Request(scope, receive))
        await response(scope, receive, send)

    async def answer(self, request: Request) -> JSONResponse:
        """Say what one delivery is answered, once it is on disk."""
        began = self._monotonic()
        self._taken += 1
        try:
            response, answer = await self._answer(request, began)
        finally:
            self._taken -= 1
        self._answered(answer, self._monotonic() - began)
        return response

    async def _answer(self, request: Request, began: float) -> tuple[JSONResponse, str]:
        if self._taken > self._limits.deliveries_concurrent_max:
            return self._later("overloaded")
        signed = bool(self._secrets.signing_keys) and "webhook-signature" in request.headers
        if not signed and not self._secrets.accept_header(request.headers):
            return _said(401, "unauthorized")
        try:
            async with asyncio.timeout(self._limits.body_read_s_max):
                raw = await self._read(request)
        except _TooLarge:
            return _said(413, "too_large")
        except TimeoutError:
            return self._later("slow_body")
        except ClientDisconnect:
            return _said(499, "disconnected")  # nobody is there to read it
        if signed and not self._secrets.accept_signature(request.headers, raw, self._now() / 1000):
            return _said(401, "unauthorized")
        # A trace begins only once the sender is known: nobody else may have us export anything.
        with self._traces.delivery(request.headers.get("traceparent"), self._monotonic() - began) as traceparent:
            return await self._store_it(raw, request.headers.get("content-encoding", ""), traceparent)

    async def _read(self, request: Request) -> bytes:
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._limits.body_bytes_max:
            raise _TooLarge
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self._limits.body_bytes_max:
                raise _TooLarge
            chunks.append(chunk)
        return b"".join(chunks)

    async def _store_it(self, raw: bytes, encoding: str, traceparent: str | None) -> tuple[JSONResponse, str]:
        now = self._now()
        try:
            arrival = intake.admit(_decoded(raw, encoding, self._limits.body_bytes_max), now, self._orgs)
        except _TooLarge:
            return _said(413, "too_large")
        except _BadEncoding as error:
            arrival = intake.refuse_encoding(raw, now, self._orgs, str(error))
        if traceparent is not None:
            arrival = replace(arrival, traceparent=traceparent)
        try:
            with self._traces.commit():
                received = await self._store.receive(arrival)
        except StoreUnavailable as error:
            log.error("delivery.refused", reason="store_unavailable", error=str(error))  # noqa: TRY400 - expected
            return self._later("store_unavailable")
        except Exception:
            log.exception("delivery.failed", event_id=arrival.event_id)
            return self._later("failed")
        if received.sync is not None:
            self._wake(received.sync, received.org)
        level = log.warning if received.receipt is Receipt.QUARANTINED else log.info
        level(
            "delivery.answered",
            answer=received.receipt,
            org=arrival.org,
            event_id=arrival.event_id,
            name=arrival.name,
            reason=received.reason,
            program=arrival.program,
            customer=arrival.customer,
        )
        self._traces.ended(
            lambda: {
                "org": arrival.org,
                "program": arrival.program,
                "customer": arrival.customer,
                "event_id": arrival.event_id,
                "answer": received.receipt,
                "reason": received.reason,
            }
        )
        return _said(200, received.receipt, org=arrival.org, event_id=arrival.event_id, reason=received.reason)

    def _later(self, why: str) -> tuple[JSONResponse, str]:
        """429 is the one code that Capillary documents as retried."""
        response, _ = _said(429, "later", reason=why)
        response.headers["Retry-After"] = str(self._limits.overload_retry_s)
        return response, why


def _said(status: int, answer: str, **more: object) -> tuple[JSONResponse, str]:
    content = {"status": str(answer), **{name: value for name, value in more.items() if value is not None}}
    return JSONResponse(content, status_code=status), str(answer)


def _decoded(raw: bytes, encoding: str, bytes_max: int) -> bytes:
    """Undo the content encoding without ever holding more than the limit."""
    match encoding.strip().lower():
        case "" | "identity":
            return raw
        case "gzip" | "x-gzip":
            wbits = zlib.MAX_WBITS | 16
        case "deflate":
            wbits = zlib.MAX_WBITS
        case _:
            raise _BadEncoding("Content-Encoding: must be gzip, deflate or none")
    body = b""
    for _ in range(_GZIP_MEMBERS_MAX):
        unzip = zlib.decompressobj(wbits)
        try:
            body += unzip.decompress(raw, bytes_max + 1 - len(body))
        except zlib.error:
            raise _BadEncoding("Content-Encoding: the body is not what it says") from None
        if len(body) > bytes_max:
            raise _TooLarge
        if not unzip.eof:
            raise _BadEncoding("Content-Encoding: the body ends too early")
        if not (raw := unzip.unused_data):
            return body
    raise _BadEncoding("Content-Encoding: the body has too many parts")
