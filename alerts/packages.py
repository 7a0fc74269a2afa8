"""Versions in the model registry: a new one that nobody has looked at must never read like an approval."""

from __future__ import annotations

from alerts.envelope import Event, environment_of, failure, last_part
from alerts.happening import Effect, Happening, Severity
from alerts.texts import ARN, TEXT

WAITS = "pending manual approval"


def package(event: Event) -> Happening:
    """A version was registered, decided upon, or changed in another way. Raises Misshapen.

    `UpdatedModelPackageFields` says what changed. Older events lack it: then each state of a version is told once,
    because without it nothing tells a decision from any other change of a decided version.
    """
    detail = event.detail
    arn, status = detail.need("ModelPackageArn", ARN), detail.status("ModelPackageStatus")
    approval = detail.status("ModelApprovalStatus") if "ModelApprovalStatus" in detail else ""
    group = detail.text("ModelPackageGroupName") or arn.split("/")[-2 if arn.count("/") > 1 else -1]
    version = detail.text("ModelPackageVersion") or last_part(arn)
    at = detail.moment("LastModifiedTime") or event.time
    effect, said = _meaning(event, status, approval)
    environment = environment_of(arn)
    state = approval if status == "completed" and approval else status
    decided = "ModelApprovalStatus" in detail.listed("UpdatedModelPackageFields")
    return event.happened(
        topic="package",
        subject=arn,
        state=state,
        at=at,
        key=(at,) if decided or effect == "moves" else ("once",),
        severity=failure(environment) if effect == "fires" else Severity.INFO,
        effect=effect,
        environment=environment,
        title=f"Model {group} version {version} {said}",
        text=detail.text("ApprovalDescription", TEXT) if decided else detail.text("ModelPackageDescription", TEXT),
        facts={
            "Group": group,
            "Version": version,
            "mAP50": detail.members("CustomerMetadataProperties").text("map50"),
            "Stage": detail.members("ModelLifeCycle").text("Stage"),
        },
    )


def _meaning(event: Event, status: str, approval: str) -> tuple[Effect, str]:
    detail = event.detail
    updated = detail.listed("UpdatedModelPackageFields") if "UpdatedModelPackageFields" in detail else None
    if status == "failed":
        return "fires", "could not be registered"
    if status != "completed":
        return "moves", f"is {status}"
    if updated and "ModelApprovalStatus" in updated:
        said = "waits for approval again" if approval == WAITS else f"was {approval}"
        return "tells", said
    created, modified = detail.moment("CreationTime"), detail.moment("LastModifiedTime")
    if updated is None or "ModelPackageStatus" in updated or (not updated and created == modified):
        return "tells", "is registered and waits for approval" if approval == WAITS else f"is registered as {approval}"
    return "moves", "was changed"
