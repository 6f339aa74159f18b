"""A larger set-up on a running engine: what holders have stays, what is new begins."""

from decimal import Decimal

import pytest

from tests.unit.loyalty.building import ANN, BOB, at, event, purchase, register
from tiersync.errors import LoyaltyError
from tiersync.loyalty.capillary import Allocation, Branch, points, slabs
from tiersync.loyalty.engine import Engine
from tiersync.loyalty.events import JOIN
from tiersync.loyalty.ladders import Level
from tiersync.loyalty.schemes import Scheme, assemble, bare

EARNING = Scheme(
    "1",
    (Level("Silver", Decimal(0)), Level("Gold", Decimal(100))),
    workflows=(("earn", (Branch("true", Allocation.INDIVIDUALS),)),),
)


def test_a_larger_set_up_keeps_what_there_was() -> None:
    """Points and levels survive, the new programme begins for those who join it, and old rules still work."""
    engine = Engine(assemble((EARNING,)))
    register(engine, ANN)
    engine.submit(purchase("p1", "2024-02-01", "120"))

    engine.extend(assemble((EARNING, bare("2", ["Base", "Top"]))))
    engine.submit(event("join", JOIN, "2024-02-02", programme="2"))
    engine.submit(purchase("p2", "2024-02-03", "30"))
    register(engine, BOB)

    assert engine.balance(ANN, points("1"), at("2024-02-04")) == 150
    assert (engine.level(ANN, slabs("1")), engine.level(ANN, slabs("2"))) == ("Gold", "Base")
    assert engine.level(BOB, slabs("2")) == "Base"


def test_a_smaller_set_up_is_refused() -> None:
    """Records name accounts and ladders, so none may go; a retired programme keeps them and gives nothing more."""
    engine = Engine(assemble((EARNING,)))
    register(engine, ANN)
    engine.submit(purchase("p1", "2024-02-01", "40"))

    with pytest.raises(LoyaltyError, match="lacks points@1"):
        engine.extend(assemble((bare("2", ["Base"]),)))
    engine.extend(assemble((bare("2", ["Base"]),), retired=(EARNING,)))
    engine.submit(purchase("p2", "2024-02-02", "40"))

    assert engine.balance(ANN, points("1"), at("2024-02-03")) == 40


def test_a_purchase_counts_only_in_the_programme_it_names() -> None:
    """An event with the attribute `program` feeds rules and ladders of that programme alone."""
    second = Scheme("2", EARNING.levels, workflows=EARNING.workflows)
    engine = Engine(assemble((EARNING, second)))
    register(engine, ANN)

    engine.submit(purchase("p1", "2024-02-01", "120", program="2"))

    assert [engine.balance(ANN, points(name), at("2024-02-02")) for name in ("1", "2")] == [0, 120]
    assert [engine.level(ANN, slabs(name)) for name in ("1", "2")] == ["Silver", "Gold"]


def test_bare_names_are_never_reached_by_buying() -> None:
    """A programme of names only moves nobody, whatever is bought."""
    engine = Engine(assemble((bare("1", ["Base", "Top"]),)))
    register(engine, ANN)

    engine.submit(purchase("p1", "2024-02-01", "999999999999"))

    assert engine.level(ANN, slabs("1")) == "Base"
