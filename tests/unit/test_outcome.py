"""Reading an answer: which error counts, what its code is, what may be shown of it, and when to come back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiersync.capillary import outcome
from tiersync.capillary.codes import CODES, Reaction
from tiersync.capillary.outcome import MESSAGE_CHARS_MAX, Answer, read_content
from tiersync.retry import Refused, TryAgain

DOUBTFUL = TryAgain("unreadable_answer", in_doubt=True)


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    """Build an answer with a JSON body."""
    return Answer(status, headers, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([{"code": 8923}], 8923),
        ([{"code": "8923"}], 8923),
        ([{"code": 8923.0}], 8923),
        ([{"code": 7}, {"code": 8923}], 8923),
        ([{}, None, {"code": 8923}], 8923),
        ([{"code": 8925}, {"code": 8923}], 8925),
        ([{"code": 7}, {"code": 8}], 7),
        ([{"code": 1e300}], 400),
        ([{"code": float("inf")}], 400),
        ([{"code": True}], 400),
        ([{"code": [8923]}], 400),
        ([{"code": "9" * 1000}], 400),
        ([{"code": "\uff18\uff19\uff12\uff13"}], 400),
        ([{"code": -8923}], 400),
        ([{"message": "no code"}], 400),
        (["no object"], 400),
    ],
)
def test_the_first_documented_code_counts_however_it_is_written(errors: list[object], code: int) -> None:
    """What cannot be a code is none, and then the status speaks."""
    found = read_content(answer({"errors": errors}, 400))

    assert isinstance(found, Refused)
    assert code == found.code


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        ({"status": "false", "code": 8923}, True),
        ({"status": False, "code": 8923}, True),
        ({"status": "FALSE"}, True),
        ({"status": "true"}, False),
        ({"status": True}, False),
        ({"status": 0}, False),
        ({"status": None}, False),
        ({"status": [[]]}, False),
        ({"warnings": [{"status": False, "code": 8923}]}, False),
        ({"success": True, "errors": []}, False),
        ({"errors": [{}]}, False),
    ],
)
def test_only_errors_and_a_false_status_at_the_top_are_a_failure(body: object, failed: bool) -> None:  # noqa: FBT001
    """`status: false` stands in every warning of a success."""
    assert failed != isinstance(read_content(answer(body)), dict)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html><body><h1>502</h1>\r\n<p>Bad   gateway</p></body></html>", "502 Bad gateway"),
        (b"plain\x00\x1b[31mtext\n", "plain[31mtext"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
        (b"x" * 10**6, "x" * MESSAGE_CHARS_MAX),
        (b"<" * 10**6, "<" * MESSAGE_CHARS_MAX),
        (b'{"errors":[{"code":500,"message":"<b>no</b> \\ud800 \\u0000"}]}', "no ?"),
        (b'{"errors":[{"code":500,"message":["nested"]}]}', ""),
        (b'{"errors":["as text"]}', "as text"),
        (b'{"errors":[' + b"[" * 900 + b"]" * 900 + b"]}", ""),
        (b"{}", ""),
    ],
)
def test_a_message_is_short_plain_text(body: bytes, message: str) -> None:
    """It is written to the store and shown to an operator: no markup, no control characters, no megabytes."""
    found = read_content(Answer(502, {}, body))

    assert isinstance(found, TryAgain)
    assert message == found.message


DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "30"}, 30),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "9" * 30}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:30:00 GMT", "date": DATE}, 120),
        ({"retry-after": "Wed, 21 Oct 2026 09:30:00 +0200", "date": DATE}, 120),
        ({"retry-after": "Wed, 21 Oct 2026 07:30:00 -0000", "date": DATE}, 120),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": DATE}, 0),
        ({"retry-after": DATE}, None),
        ({"retry-after": DATE, "date": "today"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:30:00 +99999999999999999", "date": DATE}, None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    """A date counts from the answer's own, so that two clocks need not agree; nonsense is none."""
    assert seconds == outcome.retry_after_s(headers)


@pytest.mark.parametrize(
    ("member", "readable"),
    [
        ({"userId": 1, "active": True}, True),
        ({"userId": "1", "active": True, "primaryMember": False, "new": {}}, True),
        ({"userId": 1}, False),
        ({"userId": 1, "active": None}, False),
        ({"userId": 1.5, "active": True}, False),
        ({"userId": 0, "active": True}, False),
        ({"userId": 2**63, "active": True}, False),
        ({"active": True}, False),
        (None, False),
    ],
)
def test_a_group_is_read_whole_or_not_at_all(member: object, readable: bool) -> None:  # noqa: FBT001
    """Left out, a member who cannot be read would silently stay behind."""
    found = outcome.read_group(answer({"id": 5, "fleetGroupUsers": [member]}))

    assert readable == (found != DOUBTFUL)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"accessToken": "a.b-c_d", "ttlSeconds": 300}, ("a.b-c_d", 300.0)),
        ({"accessToken": "t", "ttlSeconds": 0.5, "new": 1}, ("t", 0.5)),
        ({"accessToken": "", "ttlSeconds": 300}, None),
        ({"accessToken": "two\nlines", "ttlSeconds": 300}, None),
        ({"accessToken": "tökén", "ttlSeconds": 300}, None),
        ({"accessToken": 7, "ttlSeconds": 300}, None),
        ({"accessToken": "t", "ttlSeconds": "300"}, None),
        ({"accessToken": "t"}, None),
        (None, None),
        ([], None),
    ],
)
def test_a_token_is_read_only_if_it_can_be_sent(data: object, expected: tuple[str, float] | None) -> None:
    """A token that no header can hold would make every call raise."""
    found = outcome.read_token(answer({"data": data, "errors": None}))

    assert found == (expected or TryAgain("unreadable_answer"))


def test_what_may_have_happened_is_never_tried_again_within_the_burst() -> None:
    """The burst sends again without reading: only a fault that surely had no effect belongs there."""
    soon = {code for code, entry in CODES.items() if entry.reaction is Reaction.SOON}

    assert soon == {461, 521, 4001}
    assert not any(CODES[code].in_doubt for code in soon)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["false", "8925"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["errors", "code", "message", "status", "data", "id"]) | st.text(), inner)
    ),
    max_leaves=10,
)
shaped = st.dictionaries(
    st.sampled_from(["errors", "status", "code", "id", "fleetGroupUsers", "programTiers", "sideEffects", "data"]),
    st.lists(json_values, max_size=2) | json_values,
)
bodies = st.binary(max_size=100) | (shaped | json_values).map(lambda value: json.dumps(value).encode())
retry_after = st.text() | st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))


@settings(deadline=None, max_examples=200)
@given(st.integers(100, 999), bodies, retry_after, st.sampled_from(["", DATE]))
def test_no_answer_makes_the_reader_raise(status: int, body: bytes, after: str, sent: str) -> None:
    """Whatever a gateway in between may say, a value comes back, and outside 2xx it is never a success."""
    found = Answer(status, {"retry-after": after, "date": sent}, body)

    results = [
        outcome.read_group(found),
        outcome.read_tier(found, 973),
        outcome.read_adjustment(found),
        outcome.read_token(found),
    ]

    if not 200 <= status < 300:
        assert all(isinstance(result, TryAgain | Refused | outcome.NotPrimary) for result in results)
