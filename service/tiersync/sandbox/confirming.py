"""One-time codes: who joins, leaves or administers a group confirms it, where the organisation's flags ask for that.

The pages name the two flags (`contracts/capillary.md` 4.1) and neither the parameter nor the codes of a refusal. Here
it is `validationCode`, as `validation_code` in redemption; a missing one is refused with 403, a wrong one with 876. A
code is used up by what it confirmed, and not by a refusal.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups import Code, CustomerId, refuse

OTP_FAILED = 876


class OneTimeCodes:
    """The codes that were issued and not used yet, one for each customer."""

    def __init__(self) -> None:
        self._issued = 0
        self._codes: dict[CustomerId, str] = {}

    def issue(self, customer: CustomerId) -> str:
        """Issue a code of six digits; an earlier one of the same customer is void."""
        self._issued += 1
        digest = blake2b(f"{customer}:{self._issued}".encode(), digest_size=8).digest()
        self._codes[customer] = f"{int.from_bytes(digest, 'big') % 10**6:06}"
        return self._codes[customer]

    @contextmanager
    def confirmed(self, customer: CustomerId | None, given: object, *, asked: bool) -> Iterator[None]:
        """Do something that the customer confirms, if the organisation asks for it. Refuses with 403 and 876.

        Nobody confirms for a group without a primary.
        """
        if not asked or customer is None:
            yield
            return
        if given in (None, ""):
            raise refuse(Code.MANDATORY, f"validationCode of customer {customer}")
        if self._codes.get(customer) != str(given):
            raise LoyaltyError("validationCode is wrong or used up", OTP_FAILED)
        yield
        self._codes.pop(customer, None)
