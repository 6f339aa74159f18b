"""Pure. Who exists in the organisation, by id and by identifier."""

from collections.abc import Iterable, Iterator

from tiersync.errors import LoyaltyError
from tiersync.loyalty.groups.codes import Code, refuse
from tiersync.loyalty.groups.values import CustomerId, Person

#: Identifier names of the lookup APIs (`contracts/capillary.md` 3.4) and the field of `Person` that each one reads.
IDENTIFIERS = {
    "mobile": "mobile",
    "email": "email",
    "externalId": "external_id",
    "cardnumber": "card_number",
    "cardExternalId": "card_number",
}
FIELDS = tuple(dict.fromkeys(IDENTIFIERS.values()))


class People:
    """Everybody in one organisation. Adding and finding take constant time."""

    __slots__ = ("_by_id", "_by_identifier")

    def __init__(self) -> None:
        self._by_id: dict[CustomerId, Person] = {}
        self._by_identifier: dict[tuple[str, str], CustomerId] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Person]:
        return iter(self._by_id.values())

    def __contains__(self, customer: object) -> bool:
        return customer in self._by_id

    def get(self, customer: CustomerId) -> Person | None:
        """Return the person, or None."""
        return self._by_id.get(customer)

    def require(self, customer: CustomerId) -> Person:
        """Return the person; refuses with 8015 when there is none."""
        person = self._by_id.get(customer)
        if person is None:
            raise refuse(Code.CUSTOMER_UNKNOWN, str(customer))
        return person

    def find(self, name: str, value: str) -> Person | None:
        """Return the person with this identifier (`mobile`, `email`, `externalId`, `cardnumber`, `cardExternalId`)."""
        field = IDENTIFIERS.get(name)
        customer = self._by_identifier.get((field, value)) if field else None
        return None if customer is None else self._by_id[customer]

    def add(self, person: Person) -> Person:
        """Add somebody, or replace the person with the same id; an identifier somebody else has is refused."""
        mine = _identifiers(person)
        for field, value in mine:
            if self._by_identifier.get((field, value), person.id) != person.id:
                raise LoyaltyError(f"{field} {value} belongs to another customer")
        before = self._by_id.get(person.id)
        if before is not None:
            for key in _identifiers(before):
                del self._by_identifier[key]
        self._by_id[person.id] = person
        self._by_identifier.update(dict.fromkeys(mine, person.id))
        return person

    def add_all(self, persons: Iterable[Person]) -> None:
        """Add people as `add` does, all of them or, if one is refused, none."""
        added: list[tuple[CustomerId, Person | None]] = []
        try:
            for person in persons:
                before = self.get(person.id)
                self.add(person)
                added.append((person.id, before))
        except LoyaltyError:
            for customer, before in reversed(added):
                self.remove(customer)
                if before is not None:
                    self.add(before)
            raise

    def remove(self, customer: CustomerId) -> None:
        """Forget somebody."""
        for key in _identifiers(self._by_id.pop(customer)):
            del self._by_identifier[key]

    def next_id(self, floor: int) -> CustomerId:
        """Return an id that nobody has, not below `floor`."""
        customer = CustomerId(floor + len(self._by_id))
        while customer in self._by_id:
            customer = CustomerId(customer + 1)
        return customer


def _identifiers(person: Person) -> list[tuple[str, str]]:
    return [(field, value) for field in FIELDS if (value := getattr(person, field))]
