"""An attempt against a simulated customer that keeps Capillary's rules of adjustment and loses answers at will."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tiersync import fanout
from tiersync.fanout import Goal, Held, Move, Tier
from tiersync.retry import Already, Applied, Outcome, Refused, Skipped, TryAgain
from tiersync.webhook import INT64_MAX, Action

TIERS = [Tier(number, name) for number, name in enumerate(("Silver", "Gold", "Diamond", "Black"), start=1)]
CALLS_MAX = 5  # two readings and three changes
BARRED = Refused("customer_barred", 3045)
NOT_LOWER = [Refused("refused", 400), Refused("refused", 9999), Refused("not_higher", 8925)]


@dataclass(frozen=True)
class Weather:
    """What happens to one call: it may fail before or after its effect, or answer without saying what it did."""

    lost_before: bool = False
    lost_after: bool = False
    silent: bool = False
    locked: bool = False
    moved_to: int | None = None


@dataclass
class Customer:
    """A customer as Capillary keeps it; 0 is no tier. `top_untold`: the highest tier is read without its number."""

    number: int
    not_lower: Refused
    top_untold: bool = False
    barred: bool = False

    def answer(self, move: Move, goal: Goal, weather: Weather) -> Outcome | Held:
        """Take one call."""
        if weather.moved_to is not None:
            self.number = weather.moved_to
        if weather.lost_before:
            return TryAgain("no_answer", in_doubt=True)
        if weather.locked:
            return TryAgain("customer_locked", 521)
        answer = self._take(move, goal.tier)
        if weather.lost_after:
            return TryAgain("no_answer", in_doubt=True)
        return Applied() if weather.silent and isinstance(answer, Applied) else answer

    def _take(self, move: Move, target: Tier) -> Outcome | Held:
        match move:
            case Move.READ:
                return self.held()
            case _ if self.barred:
                return BARRED
            case Move.UPGRADE if target.number <= self.number:
                return Refused("not_higher", 8925)
            case Move.DOWNGRADE if target.number >= self.number:
                return self.not_lower
            case Move.RENEW if self.number == 0:
                return Refused("refused", 400)
            case Move.UPGRADE | Move.DOWNGRADE:
                self.number = target.number
        return Applied(TIERS[self.number - 1].name)

    def held(self) -> Held:
        """Say what a reading would say."""
        if self.number == 0:
            return Held(None)
        tier = TIERS[self.number - 1]
        return Held(Tier(INT64_MAX, tier.name) if self.top_untold and tier is TIERS[-1] else tier)


def attempt(goal: Goal, customer: Customer, weathers: list[Weather], *, verify: bool) -> tuple[Outcome, list[Move]]:
    """Make one attempt as the worker does; return its outcome and its calls."""
    steps: list[tuple[Move, Outcome | Held]] = []
    move: Move | Outcome = fanout.first_move(goal.action, verify=verify)
    while isinstance(move, Move):
        assert len(steps) < CALLS_MAX, steps
        steps.append((move, customer.answer(move, goal, weathers[len(steps)])))
        move = fanout.next_move(goal, steps)
    return move, [made for made, _ in steps]


weather = st.builds(
    Weather,
    lost_before=st.booleans(),
    lost_after=st.booleans(),
    silent=st.booleans(),
    locked=st.booleans(),
)
goals = st.builds(Goal, st.sampled_from(Action), st.sampled_from(TIERS), st.booleans())
customers = st.builds(Customer, st.integers(0, len(TIERS)), st.sampled_from(NOT_LOWER), st.booleans())
calm = st.builds(Weather, silent=st.booleans())


def calls(of: st.SearchStrategy[Weather]) -> st.SearchStrategy[list[Weather]]:
    """One weather for each call of an attempt."""
    return st.lists(of, min_size=CALLS_MAX, max_size=CALLS_MAX)


@settings(deadline=None, max_examples=500)
@given(goals, customers, calls(weather), st.booleans())
def test_an_attempt_ends_soon_and_a_good_end_is_true(
    goal: Goal,
    customer: Customer,
    weathers: list[Weather],
    verify: bool,  # noqa: FBT001
) -> None:
    """Whatever is lost or left unsaid: a few calls, no change sent twice, and "done" only where the tier is held."""
    before = customer.number

    outcome, made = attempt(goal, customer, weathers, verify=verify)

    changes = [move for move in made if move is not Move.READ]
    assert len(changes) == len(set(changes))
    match outcome:
        case Applied() | Already():
            assert goal.tier.number == customer.number
        case Skipped():
            assert not goal.may_lower
            assert customer.number == before > goal.tier.number


@settings(deadline=None, max_examples=300)
@given(goals, customers, calls(weather), calls(calm), calls(calm))
def test_fair_weather_after_a_storm_brings_the_customer_home(
    goal: Goal, customer: Customer, storm: list[Weather], fair: list[Weather], fairer: list[Weather]
) -> None:
    """What an attempt lost, the following ones make good, with a reading first where it is in doubt."""
    outcome, _ = attempt(goal, customer, storm, verify=False)
    for weathers in (fair, fairer):
        if isinstance(outcome, TryAgain):
            outcome, _ = attempt(goal, customer, weathers, verify=outcome.in_doubt)

    match outcome:
        case Skipped():
            assert customer.number > goal.tier.number
        case Refused(reason="refused"):  # nothing to renew
            assert (goal.action, customer.number) == (Action.RENEW, 0)
        case _:
            assert isinstance(outcome, Applied | Already)
            assert goal.tier.number == customer.number


moved = st.builds(Weather, silent=st.booleans(), moved_to=st.none() | st.integers(0, len(TIERS)))


@settings(deadline=None, max_examples=500)
@given(goals, customers, calls(moved), st.booleans())
def test_an_attempt_ends_even_while_others_move_the_customer(
    goal: Goal,
    customer: Customer,
    weathers: list[Weather],
    verify: bool,  # noqa: FBT001
) -> None:
    """Somebody else at work on the same customer cannot keep an attempt going, nor make it dead with the tier held."""
    outcome, _ = attempt(goal, customer, weathers, verify=verify)

    if isinstance(outcome, Refused):
        assert goal.tier.number != customer.number


@settings(deadline=None)
@given(goals, customers, calls(weather), st.booleans())
def test_a_barred_customer_is_given_up_at_once(
    goal: Goal,
    customer: Customer,
    weathers: list[Weather],
    verify: bool,  # noqa: FBT001
) -> None:
    """A refusal with a documented meaning is believed: one change is sent, no second one."""
    customer.barred = True

    outcome, made = attempt(goal, customer, weathers, verify=verify)

    assert len([move for move in made if move is not Move.READ]) <= 1
    assert not isinstance(outcome, Applied)
    assert not isinstance(outcome, Refused) or outcome == BARRED
