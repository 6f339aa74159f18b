"""Pure. What a handler answers with, in the envelopes of `contracts/capillary.md` 1.4, and the fault bodies of 1.5."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tiersync.errors import LoyaltyError

Refusals = Literal["400", "200", "empty", "html"]

OK = 200
INVALID = 400
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `body` is anything JSON can say, or bytes to send as they are; `code` is for the call log."""

    body: object
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    code: int | None = None


def error_entry(code: int, message: str, reason: str = "") -> dict[str, object]:
    """Build an entry of `errors`; `reason` is a word of ours where no code is published."""
    entry: dict[str, object] = {"status": False, "code": code, "message": message}
    return {**entry, "reason": reason} if reason else entry


def entry_of(refused: LoyaltyError) -> dict[str, object]:
    """Build the entry of `errors` that a refusal makes."""
    return error_entry(refused.code or INVALID, str(refused), refused.reason)


#: An item of a batch that failed, as examples show it; its shape is not documented: the same keys and `errors`.
FAILED_ITEM: dict[str, object] = {
    "entityId": None,
    "result": None,
    "errors": [{"status": False, "code": 400, "message": "why"}],
    "warnings": [],
}


def error_v2(code: int, message: str, status: int, reason: str = "") -> Answer:
    """Build the error body seen on v2."""
    body = {"warnings": [], "errors": [error_entry(code, message, reason)]}
    return Answer(body, status, code=code)


def answer_v1(content: Mapping[str, object], code: int = 200, message: str = "Success", status: int = 200) -> Answer:
    """Build a v1.1 answer; its booleans are strings, and a refusal comes with HTTP 200."""
    success = "true" if code == OK else "false"
    head = {"success": success, "code": code, "message": message}
    return Answer({"response": {"status": head, **content}}, status, code=None if code == OK else code)


def item_status(code: int, message: str, *, success: bool) -> dict[str, object]:
    """Build the status of one item of a v1.1 answer."""
    return {"success": "true" if success else "false", "code": code, "message": message}


def data_v3(data: object) -> Answer:
    """Build a v3 answer."""
    return Answer({"data": data, "errors": None, "warnings": None})


def error_v3(code: int, message: str, status: int) -> Answer:
    """Build a v3 error."""
    body = {"data": None, "errors": [{"status": False, "code": code, "message": message}], "warnings": None}
    return Answer(body, status, code=code)


def error_own(message: str, status: int, **more: object) -> Answer:
    """Build an error of the control API (`/sandbox/...`), which is not Capillary's."""
    return Answer({"error": {"message": message, **more}}, status)


def html_error(status: int, message: str) -> Answer:
    """Build the error page of a proxy in front of the API; seen in the wild, see 1.6."""
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1><p>{message}</p></body></html>"
    return Answer(page.encode(), status, HTML, code=status)


def refusal_v2(refused: LoyaltyError, form: Refusals) -> Answer:
    """Answer a refusal of the core; which HTTP status carries it is not documented, hence the switch."""
    code = refused.code or INVALID
    match form:
        case "400":
            return error_v2(code, str(refused), 400, refused.reason)
        case "200":
            return error_v2(code, str(refused), 200, refused.reason)
        case "empty":
            return Answer(b"{}", 400, TEXT, code=code)
        case "html":
            return Answer(html_error(400, "Bad Request").body, 400, HTML, code=code)


def warning(code: int, message: str) -> dict[str, object]:
    """Build a warning entry; its `status: false` does not mean failure."""
    return {"status": False, "code": code, "message": message}
