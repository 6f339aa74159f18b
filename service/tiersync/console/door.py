"""Who may see and press: every view and every form of the page goes through here."""

from collections.abc import Awaitable, Callable
from functools import wraps
from hmac import compare_digest
from typing import Final
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tiersync.console.rendering import HEADERS, THEME_COOKIE, THEMES, Renderer
from tiersync.console.session import Brake, Session, Sessions, from_here, over_https
from tiersync.errors import StoreUnavailable

View = Callable[[Request, Session], Awaitable[Response]]
Form = Callable[[Request, Session, FormData], Awaitable[Response]]
Handler = Callable[[Request], Awaitable[Response]]

_YEAR_S: Final = 365 * 86_400
_FIELDS_MAX: Final = 40
_TOKEN_CHARACTERS_MAX: Final = 4096


class Door:
    """Lets the operator in and out."""

    def __init__(self, sessions: Sessions, brake: Brake, renderer: Renderer) -> None:
        """`brake` holds up who guesses."""
        self._sessions, self._brake, self._renderer = sessions, brake, renderer

    def view(self, handler: View) -> Handler:
        """Show something to who is signed in; ask everybody else to sign in."""

        @wraps(handler)
        async def guarded(request: Request) -> Response:
            session = self._sessions.of(request)
            if session is None:
                return self._turned_away(request)
            return await self._safely(request, session, handler(request, session))

        return guarded

    def form(self, handler: Form) -> Handler:
        """Take a form from who is signed in, if it comes from our own page and carries the session's token."""

        @wraps(handler)
        async def guarded(request: Request) -> Response:
            session = self._sessions.of(request)
            if session is None:
                return self._turned_away(request)
            async with request.form(max_files=0, max_fields=_FIELDS_MAX) as form:
                sent = str(form.get("csrf", "")).encode("utf-8", "replace")
                if not from_here(request) or not compare_digest(sent, session.csrf.encode()):
                    return self._problem(
                        request,
                        session,
                        403,
                        "Not taken",
                        "The form did not come from this page. Go back, reload, and try again.",
                    )
                return await self._safely(request, session, handler(request, session, form))

        return guarded

    async def ask(self, request: Request) -> Response:
        """The form to sign in."""
        if not self._sessions.open:
            return self._problem(request, None, 403, "The page is closed", "Set TIERSYNC_OPERATOR_TOKEN to open it.")
        return self._renderer.page(
            "sign_in.html", request, None, next=_inside(request.query_params.get("next")), wrong=""
        )

    async def sign_in(self, request: Request) -> Response:
        """Look at a token."""
        address = request.client.host if request.client else ""
        async with request.form(max_files=0, max_fields=_FIELDS_MAX) as form:
            token, name = (str(form.get(field, "")) for field in ("token", "name"))
            onward = _inside(str(form.get("next", "")))
        wait_s = self._brake.wait_s(address)
        if wait_s or not from_here(request):
            wrong = f"Too many wrong tokens. Try again in {wait_s:.0f} s." if wait_s else "Sign in from this page."
            answer = self._renderer.page(
                "sign_in.html", request, None, status=429 if wait_s else 403, next=onward, wrong=wrong
            )
            answer.headers.update({"retry-after": f"{wait_s:.0f}"} if wait_s else {})
            return answer
        if len(token) > _TOKEN_CHARACTERS_MAX or not self._sessions.right(token):
            self._brake.failed(address)
            wrong = "That is not the operator token."
            return self._renderer.page("sign_in.html", request, None, status=401, next=onward, wrong=wrong)
        self._brake.forget(address)
        answer = seen_other(onward)
        self._sessions.begin(request, answer, name.strip())
        return answer

    async def sign_out(self, request: Request, _session: Session, _form: FormData) -> Response:
        """End a session."""
        answer = seen_other("/console/sign-in")
        self._sessions.end(request, answer)
        return answer

    async def theme(self, request: Request, _session: Session, form: FormData) -> Response:
        """Remember dark or light."""
        answer = seen_other(_inside(_path_of(request.headers.get("referer", ""))))
        answer.set_cookie(
            THEME_COOKIE,
            chosen if (chosen := str(form.get("theme"))) in THEMES else "",
            max_age=_YEAR_S,
            path="/console",
            secure=over_https(request),
            httponly=True,
            samesite="strict",
        )
        return answer

    async def _safely(self, request: Request, session: Session, answer: Awaitable[Response]) -> Response:
        try:
            return await answer
        except StoreUnavailable as error:
            return self._problem(request, session, 503, "The store is away", f"{error}. Look at the disk and the log.")

    def _turned_away(self, request: Request) -> Response:
        asked = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        to = f"/console/sign-in?next={quote(asked if request.method in {'GET', 'HEAD'} else '/console')}"
        if request.headers.get("hx-request") == "true":
            return Response(status_code=401, headers={**HEADERS, "hx-redirect": to})
        if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"} and request.method == "GET":
            # A link in a mail: the browser keeps a strict cookie back until the page itself asks again.
            return self._renderer.page("again.html", request, None, to=asked)
        return seen_other(to)

    def _problem(self, request: Request, session: Session | None, status: int, title: str, detail: str) -> Response:
        return self._renderer.page("problem.html", request, session, status=status, title=title, detail=detail)


def seen_other(to: str) -> Response:
    """Go and look there."""
    return RedirectResponse(to, 303, HEADERS)


def _inside(path: str | None) -> str:
    """Where to go on: a path of ours, or the front."""
    ours = path and (path == "/console" or path.startswith(("/console/", "/console?"))) and "\\" not in path
    return path if path and ours and not path.startswith("/console/sign-") else "/console"


def _path_of(address: str) -> str:
    return "/" + address.partition("://")[2].partition("/")[2]
