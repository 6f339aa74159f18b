"""Templates into answers, with the headers that keep a browser from doing anything but showing them."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tiersync.console import times
from tiersync.console.session import Session
from tiersync.console.words import Level, count

_HERE: Final = Path(__file__).parent
_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
THEMES: Final = ("light", "dark")
THEME_COOKIE: Final = "tiersync_theme"
LIVE_S: Final = 4

HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}

_TONES: Final = {
    **dict.fromkeys(("done", "follows", "finished", "closed", "in step", "repaired"), "good"),
    **dict.fromkeys(("pending", "due", "waits", "running", "paused", "half open", "under way"), "wait"),
    **dict.fromkeys(("dead", "quarantined", "drifted", "open", "failed", "left", "unread"), "bad"),
}
_LEVELS: Final = {Level.WELL: "good", Level.BUSY: "good", Level.BEHIND: "wait", Level.TROUBLE: "bad"}


class Renderer:
    """Renders views and serves the static files, all of them read once."""

    def __init__(self) -> None:
        """Read them."""
        self._assets = {
            path.name: path.read_bytes() for path in (_HERE / "static").iterdir() if path.suffix[1:] in _TYPES
        }
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals["asset"] = self._address
        self._templates.filters.update(
            iso=times.iso,
            clock=times.clock,
            ago=times.ago,
            span=times.span,
            minute=times.minute,
            counted=count,
            tone=lambda word: _TONES.get(str(word), ""),
            level_tone=lambda level: _LEVELS[level],
            capital=lambda text: text[:1].upper() + text[1:],
            slug=lambda text: re.sub(r"[^a-zA-Z0-9]+", "-", text),
        )

    def page(
        self, template: str, request: Request, session: Session | None, *, status: int = 200, **context: Any
    ) -> Response:
        """A whole page."""
        theme = request.cookies.get(THEME_COOKIE)
        text = self._templates.get_template(template).render(
            session=session,
            theme=theme if theme in THEMES else "",
            here=request.url.path,
            guard=lambda: _guard(session),
            **context,
        )
        return HTMLResponse(text, status, HEADERS)

    def view(  # noqa: PLR0913 - a view is a template and what it shows
        self,
        request: Request,
        session: Session,
        template: str,
        *,
        title: str,
        before: str | None = None,
        after: str | None = None,
        around: Mapping[str, Any] | None = None,
        **context: Any,
    ) -> Response:
        """A page around a part that renews itself, or that part alone; `around` is what stands before and after it."""
        inner = self._live(template, request, guard=lambda: _guard(session), **context)
        if not isinstance(inner, Markup):
            return inner
        return self.page(
            "view.html", request, session, title=title, live=inner, before=before, after=after, **(around or {})
        )

    def missing(
        self, request: Request, session: Session, what: str, perhaps: str = "; perhaps it was purged"
    ) -> Response:
        """Say that something is not there."""
        detail = f"There is no such {what}{perhaps}."
        return self.page("problem.html", request, session, status=404, title="Not here", detail=detail)

    def _live(self, template: str, request: Request, **context: Any) -> Markup | Response:
        """The part of a view that renews itself: as part of a page, or alone as the answer to its own question.

        The question says which text is shown; if that is still so the answer is empty, and nothing on the page moves.
        """
        inner = Markup(self._templates.get_template(template).render(**context))  # noqa: S704 - rendered, so escaped
        shown = hashlib.blake2b(inner.encode(), digest_size=8).hexdigest()
        if request.query_params.get("shown") == shown and _asked_by_itself(request):
            return Response(status_code=204, headers=HEADERS)
        at = request.url.include_query_params(shown=shown)
        text = self._templates.get_template("live.html").render(
            inner=inner, live_at=f"{at.path}?{at.query}", live_s=LIVE_S
        )
        if _asked_by_itself(request):
            return HTMLResponse(text, headers=HEADERS)
        return Markup(text)  # noqa: S704

    def asset(self, name: str) -> Response:
        """A static file; its address names its content, so it may be kept for ever."""
        content = self._assets.get(name)
        if content is None:
            return Response(status_code=404, headers=HEADERS)
        kept = {**HEADERS, "cache-control": "public, max-age=31536000, immutable"}
        return Response(content, headers=kept, media_type=_TYPES[name.rpartition(".")[2]])

    def _address(self, name: str) -> str:
        return f"/console/static/{name}?v={hashlib.blake2b(self._assets[name], digest_size=6).hexdigest()}"


def _asked_by_itself(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"


def _guard(session: Session | None) -> Markup:
    """The hidden field without which no form is taken."""
    return Markup('<input type="hidden" name="csrf" value="{}">').format(session.csrf if session else "")
