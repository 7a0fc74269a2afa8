"""Endpoints and their deployments: upper snake states, epoch milliseconds, names that differ in case from the ARN."""

from __future__ import annotations

from datetime import datetime

from alerts.envelope import Event, Members, environment_of, failure, last_part
from alerts.happening import Effect, Happening, Severity
from alerts.texts import ARN, TEXT, words

BROKEN = {
    "failed": "failed",
    "out of service": "is out of service",
    "update rollback failed": "could not be rolled back",
    "rolling back": "is rolling back its update",
    "rolled back": "has rolled back its update",
}
"""State -> how it is said."""


def endpoint(event: Event) -> Happening:
    """An endpoint's status, from either of its two events. Raises Misshapen.

    The two say the same of the same moment and then have one fingerprint. An endpoint that is in service and gives a
    reason of failure serves its earlier configuration: the update was rolled back.
    """
    detail = event.detail
    arn, state = detail.need("EndpointArn", ARN), detail.status("EndpointStatus")
    name = detail.text("EndpointName") or last_part(arn)
    reason, tags = detail.text("FailureReason", TEXT), detail.tags("Tags")
    environment = environment_of(arn, tags)
    pending, at = _pending(detail), detail.moment("LastModifiedTime") or event.time
    if state == "in service" and reason:
        state = "rolled back"
    elif state == "updating" and pending:
        state, at = words(pending.text("Status")) or state, _later(at, pending.moment("StartTime"))
    effect: Effect = "fires" if state in BROKEN else "clears" if state == "in service" else "moves"
    return event.happened(
        topic="endpoint",
        subject=arn,
        state=state,
        at=at,
        severity=failure(environment) if effect == "fires" else Severity.INFO,
        effect=effect,
        environment=environment,
        tags=tags,
        title=f"Endpoint {name} {BROKEN.get(state, f'is {state}')}",
        text=reason or (pending.text("StatusMessage", TEXT) if pending else ""),
        facts={
            "Endpoint": name,
            "Configuration": detail.text("EndpointConfigName"),
            "Becomes": detail.members("PendingDeploymentSummary").text("EndpointConfigName"),
        },
        followed=f"arn:aws:cloudformation:{event.region}:{event.account}:stack/{name}/",
    )


def _pending(detail: Members) -> Members | None:
    """The latest status of the first variant that an update is changing."""
    for variant in detail.members("PendingDeploymentSummary").listed("ProductionVariants"):
        if statuses := Members(variant).listed("VariantStatus"):
            return Members(statuses[-1])
    return None


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other
