"""Pure. What one attempt came to, as it is written down: outcome + decision → settlement."""

from tiersync.fanout import AdjustmentStatus
from tiersync.retry import Again, Already, Applied, Dead, Decision, Done, Outcome, Refused, Skipped, TryAgain
from tiersync.store import Claim, Due, Settlement


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


def settlement(claim: Claim, due: Due, outcome: Outcome, decision: Decision, attempt: int, now: int) -> Settlement:
    """What the store is to write of an attempt."""
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
        attempts=attempt,
        # After a call that may have worked, the next attempt begins by reading where the member stands.
        verify=due.verify or (isinstance(outcome, TryAgain) and outcome.in_doubt),
        due_at=decision.due_at if isinstance(decision, Again) else None,
        now=now,
    )
