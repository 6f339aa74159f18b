"""Pure. What one attempt came to, as it is written down: outcome + decision → settlement."""

from tiersync.fanout import AdjustmentStatus
from tiersync.retry import Again, Already, Applied, Dead, Decision, Done, Outcome, Refused, Skipped, TryAgain
from tiersync.store import Claim, Due, Settlement
from tiersync.webhook import Action


def name_of(outcome: Outcome) -> str:
    """The word for an outcome in log, metrics and tables."""
    match outcome:
        case Applied():
            return "applied"
        case Already():
            return "already"
        case Skipped():
            return "skipped"
        case TryAgain():
            return "again"
        case Refused():
            return "refused"


def settlement(  # noqa: PLR0913 - what is known of an attempt
    claim: Claim,
    due: Due,
    outcome: Outcome,
    decision: Decision,
    now: int,
    sent: Action | None = None,
    sent_tier: int | None = None,
) -> Settlement:
    """What the store is to write of an attempt. `sent` is the change that was sent last, `sent_tier` where it leads."""
    match decision:
        case Again():
            status = AdjustmentStatus.DUE
        case Dead():
            status = AdjustmentStatus.DEAD
        case Done():
            status = AdjustmentStatus.SKIPPED if isinstance(outcome, Skipped) else AdjustmentStatus.DONE
    return Settlement(
        claim=claim,
        event=due.event,
        member=due.member,
        status=status,
        outcome=name_of(outcome),
        reason=decision.reason if isinstance(decision, Dead) else getattr(outcome, "reason", None),
        code=getattr(outcome, "code", None),
        message=getattr(outcome, "message", None),
        attempts=due.attempts + 1,
        # After a call that may have worked, the next attempt begins by reading where the member stands.
        verify=due.verify or (isinstance(outcome, TryAgain) and outcome.in_doubt),
        due_at=decision.due_at if isinstance(decision, Again) else None,
        now=now,
        sent=sent,
        sent_tier=sent_tier,
    )
