"""One path of the sandbox: the way of a call from the first byte to the last, with every fault on it.

    read → authenticate → plan faults → lock → wait → forced outcome, or work → hold or answer

All branches are here; the handlers behind it know nothing of faults, locks and connections.
"""

from contextlib import suppress

from starlette.types import Receive, Scope, Send

from tiersync.errors import LoyaltyError
from tiersync.sandbox.answers import Answer, answer_v1, error_own, error_v2, error_v3, html_error, refusal_v2
from tiersync.sandbox.ask import Ask
from tiersync.sandbox.calls import Call
from tiersync.sandbox.desk import Desk
from tiersync.sandbox.faults import Plan
from tiersync.sandbox.state import Kept
from tiersync.sandbox.switches import Family, Hold, RateLimited
from tiersync.sandbox.verbs import Envelope, Verb
from tiersync.sandbox.wire import (
    BodyTooLarge,
    ClientGone,
    body_of,
    compressed,
    hang_up,
    headers_of,
    hold,
    query_of,
    send_answer,
    send_slowly,
)

FAILED = 500  # v1.1: "requests failed" (1.5); the HTTP status stays 200
LOCKED_TEXT = "Multiple actions are running for the same customer, try again"


class Front:
    """The ASGI application of one path; `verbs` are its methods."""

    def __init__(self, desk: Desk, verbs: dict[str, Verb], busy: set[int]) -> None:
        self._desk = desk
        self._verbs = verbs
        self._busy = busy
        self._envelope = next(iter(verbs.values())).envelope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or not, as the switches have it."""
        verb = self._verbs.get(scope["method"])
        if verb is None:
            allowed = ", ".join(self._verbs)
            wrong = _error(self._envelope, 405, f"method not allowed; use {allowed}", 405)
            await send_answer(send, wrong, {"allow": allowed})
        elif verb.family is None:
            await self._control(verb, scope, receive, send)
        else:
            call = self._desk.calls.begin(self._desk.wall(), verb.method, scope["path"], verb.family)
            try:
                await self._call(verb, verb.family, call, scope, receive, send)
            except ClientGone:
                call.fault = "client went away"
            finally:
                self._desk.calls.finish(call)

    async def _control(self, verb: Verb, scope: Scope, receive: Receive, send: Send) -> None:
        desk = self._desk
        try:
            ask = await self._ask(scope, receive)
        except ClientGone:
            return
        except BodyTooLarge:
            await send_answer(send, error_own("body is too large", 413), {"connection": "close"})
            return
        call = Call(0, ask.now, verb.method, ask.path, "control")
        await send_answer(send, _work(desk, verb, ask, call), {})

    async def _call(self, verb: Verb, family: Family, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        desk, headers = self._desk, headers_of(scope)
        try:
            ask = await self._ask(scope, receive)
        except BodyTooLarge:
            await self._send(send, _error(verb.envelope, 413, "body is too large", 413), call, None)
            return
        desk.calls.begin_for(call, verb.customer(desk.world, ask) if verb.customer else None)
        if not (verb.open_ or desk.credentials.admits(headers, desk.wall())):
            await self._send(send, _error(verb.envelope, 401, "Authentication failed", 401), call, ask)
            return

        plan = desk.faults.plan(family, call.customer, desk.wall())
        call.fault = "+".join(plan.names) or None
        holder = call.customer if verb.locks and plan.latency_ms else None
        if verb.locks and call.customer in self._busy and desk.faults.switches.adjust.overlap:
            call.fault = "adjust.overlap"
            await self._send(send, self._locked(verb), call, ask)
            return
        if plan.latency_ms:
            await self._wait(plan.latency_ms, holder)

        match plan.outcome, plan.parameters:
            case "reset", _:
                await hang_up(scope, receive, reset=True)
                return
            case "timeout_before_applying", Hold() as parameters:
                await hold(scope, receive, parameters)
                return
            case "applied_then_timeout", Hold() as parameters:
                call.code = _work(desk, verb, ask, call).code
                await hold(scope, receive, parameters)
                return
            case _:
                answer = self._forced(verb, plan) or _work(desk, verb, ask, call)
        if plan.gzip:
            answer = compressed(answer, headers.get(b"accept-encoding", b""))
        await self._send(send, answer, call, ask, plan)

    async def _ask(self, scope: Scope, receive: Receive) -> Ask:
        desk = self._desk
        has_body = scope["method"] in {"POST", "PUT"}
        return Ask(
            method=scope["method"],
            path=scope["path"],
            params=scope.get("path_params", {}),
            query=query_of(scope),
            body=await body_of(receive, desk.settings.body_bytes_max) if has_body else b"",
            now=desk.clock(),
            request_id=desk.new_id(),
        )

    async def _wait(self, latency_ms: int, holder: int | None) -> None:
        """Wait as a slow server does; the customer is locked meanwhile."""
        if holder is not None:
            self._busy.add(holder)
        try:
            await self._desk.sleep(latency_ms / 1000)
        finally:
            if holder is not None:
                self._busy.discard(holder)

    async def _send(self, send: Send, answer: Answer, call: Call, ask: Ask | None, plan: Plan | None = None) -> None:
        call.status, call.code = answer.status, answer.code
        headers = {"x-cap-api-request-uri": _printable(call.path)}
        if ask is not None:
            headers["x-cap-requestid"] = ask.request_id
        if plan is not None and plan.slow_body is not None:
            await send_slowly(send, answer, headers, plan.slow_body, self._desk.sleep)
        else:
            await send_answer(send, answer, headers)

    def _locked(self, verb: Verb) -> Answer:
        return _error(verb.envelope, 521, LOCKED_TEXT, self._desk.faults.switches.answers.locked_status)

    def _forced(self, verb: Verb, plan: Plan) -> Answer | None:
        """Build the answer that a fault decides; None if none does."""
        if plan.outcome is None:
            return None
        if plan.outcome == "locked":
            return self._locked(verb)
        if isinstance(plan.parameters, RateLimited):
            return _rate_limited(verb, plan.parameters, plan.retry_after_s)
        if plan.outcome == "html_error":
            return html_error(502, "Bad gateway")
        if plan.outcome == "empty_400":
            return Answer(b"{}", 400, "text/plain; charset=utf-8", code=400)
        code, message, status = FORCED[plan.outcome]
        return _error(verb.envelope, code, message, status)


FORCED = {
    "unauthorised": (401, "Invalid or expired token", 401),
    "forbidden": (4000, "Not authorized to access this resource", 403),
    "busy": (461, "Search engine is busy", 461),
    "server_error": (500, "Requests have failed due to errors", 500),
    "unavailable": (4001, "Authorization status is unavailable", 503),
}


def _work(desk: Desk, verb: Verb, ask: Ask, call: Call) -> Answer:
    """Let the handler answer, put its refusal into the right envelope, and keep the call if it could change anything.

    A refused call is kept too: it is refused again when it is replayed.
    """
    try:
        answer = verb.handle(desk, ask, call)
    except LoyaltyError as refused:
        answer = _refusal(desk, verb, refused)
    if verb.keeps:
        desk.keep(lambda: kept(verb, ask))
    return answer


def kept(verb: Verb, ask: Ask) -> Kept:
    """Return a call as the state file has it."""
    return Kept(ask.now, ask.method, verb.path, ask.path, dict(ask.params), dict(ask.query), ask.body, ask.request_id)


def again(desk: Desk, verb: Verb, call: Kept) -> None:
    """Do what a kept call did."""
    ask = Ask(call.method, call.path, call.params, call.query, call.body, call.now, call.request_id)
    customer = verb.customer(desk.world, ask) if verb.customer else None
    with suppress(LoyaltyError):
        verb.handle(desk, ask, Call(0, call.now, call.method, call.path, "replayed", customer))


def _refusal(desk: Desk, verb: Verb, refused: LoyaltyError) -> Answer:
    match verb.envelope:
        case "v1":
            return answer_v1({}, refused.code or FAILED, str(refused))
        case "v2":
            return refusal_v2(refused, desk.faults.switches.answers.refusals)
        case "v3":
            return error_v3(refused.code, str(refused), {401: 401, 404: 404}.get(refused.code, 400))
        case "own":
            return error_own(str(refused), 422, code=refused.code)


def _rate_limited(verb: Verb, limit: RateLimited, retry_after_s: int | None) -> Answer:
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    if limit.body == "html":
        page = html_error(429, "Too many requests")
        return Answer(page.body, 429, page.media_type, headers, 429)
    plain = _error(verb.envelope, 429, "Too many requests", 429)
    return Answer(plain.body, 429, headers=headers, code=429)


def _error(envelope: Envelope, code: int, message: str, status: int) -> Answer:
    match envelope:
        case "v1":
            return answer_v1({}, code, message, status)
        case "v2":
            return error_v2(code, message, status)
        case "v3":
            return error_v3(code, message, status)
        case "own":
            return error_own(message, status)


def _printable(path: str) -> str:
    """Keep a path fit for a header."""
    if path.isascii() and path.isprintable():
        return path[:500]
    return "".join(sign if " " < sign < "\x7f" else "?" for sign in path[:500])
