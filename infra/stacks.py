"""The account's own stacks: what belongs to them, and how one is previewed, brought up and taken down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from pipeline.errors import Refused
from pipeline.names import PROJECT, Names

TAGS = {"Project": PROJECT, "Environment": "shared", "CostCenter": PROJECT, "Owner": "ml-engineering"}
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
"""Seconds between two looks at a stack at work: short at first, as a small stack is done in no time."""
DEADLINE = 1800.0
_STUCK = {
    "DELETE_FAILED": "Its deletion began and could not end: remove what is in the way and run `down`, then `up`.",
    "ROLLBACK_FAILED": "Its creation failed and left something behind: run `down`, then `up`.",
    "UPDATE_ROLLBACK_FAILED": "Correct the cause in the events, then `aws cloudformation continue-update-rollback`.",
}
_NEVER_LIVED = ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Kept:
    """A bucket that outlives its stack: `parameter` says whether the stack makes it or takes the one left behind."""

    bucket: str
    parameter: str
    reason: str


@dataclass(frozen=True)
class File:
    """A stack of this folder: its name, its template, the parameters it takes, and what stays when it is deleted."""

    name: str
    template: Path
    parameters: Mapping[str, str] = field(default_factory=dict)
    kept: Kept | None = field(default=None, kw_only=True)

    def request(self) -> dict[str, Any]:
        """What Create, Update and CreateChangeSet have in common."""
        return {
            "StackName": self.name,
            "TemplateBody": self.template.read_text(encoding="utf-8"),
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in self.parameters.items()],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Tags": [{"Key": key, "Value": value} for key, value in TAGS.items()],
        }


def stacks(operator: str, names: Names) -> Sequence[File]:
    """Everything `infra` keeps, in the order it is brought up."""
    here = Path(__file__).parent
    roles = here.parent / "iam" / "roles.yaml"
    data = {"DataBucket": names.data_bucket}
    locked = "Object Lock keeps its anchors and log files until their retention ends; the next `up` takes it again."
    return (
        File(f"{PROJECT}-policies", roles.with_name("policies.yaml")),
        File(f"{PROJECT}-roles", roles, {"OperatorArn": operator, **data}),
        File(f"{PROJECT}-machines", roles.with_name("machines.yaml")),
        File(f"{PROJECT}-platform", here / "platform.yaml"),
        File(f"{PROJECT}-events", here / "events.yaml"),
        File(f"{PROJECT}-cost", here / "cost.yaml"),
        File(f"{PROJECT}-audit", here / "audit.yaml", data, kept=Kept(names.audit_bucket, "NewBucket", locked)),
    )


def complete(cloudformation: Any, s3: Any, file: File) -> File:
    """The file with the parameter that says whether its kept bucket is made, from what the account holds now."""
    if file.kept is None:
        return file
    existing = find(cloudformation, file.name)
    if existing is not None and existing["StackStatus"] not in _NEVER_LIVED:
        before = {each["ParameterKey"]: each["ParameterValue"] for each in existing.get("Parameters", [])}
        new = before[file.kept.parameter]
    else:
        new = "false" if exists(s3, file.kept.bucket) else "true"
    return replace(file, parameters={**file.parameters, file.kept.parameter: new})


def plan(cloudformation: Any, file: File, say: Say) -> None:
    """Say what `up` would change, by a change set that is removed again."""
    existing = find(cloudformation, file.name)
    new = existing is None or existing["StackStatus"] in _NEVER_LIVED
    if existing is not None and existing["StackStatus"] == "ROLLBACK_COMPLETE":
        say(f"{file.name}: its first creation failed; `up` removes what is left and creates it anew.")
        return
    name = f"plan-{int(time.time() * 1000)}"
    kind = "CREATE" if new else "UPDATE"
    made = cloudformation.create_change_set(**file.request(), ChangeSetName=name, ChangeSetType=kind)["Id"]
    try:
        found = _settled(lambda: cloudformation.describe_change_set(ChangeSetName=made), "Status", file.name)
        _say_changes(file.name, found, say)
    finally:
        cloudformation.delete_change_set(ChangeSetName=made)
        if existing is None:
            cloudformation.delete_stack(StackName=file.name)


def _say_changes(name: str, found: Mapping[str, Any], say: Say) -> None:
    if found["Status"] == "FAILED":
        reason = found.get("StatusReason", "")
        if "didn't contain changes" not in reason and "No updates" not in reason:
            raise Refused(f"{name}: {reason}", "Nothing was changed.")
        say(f"{name}: nothing to change")
        return
    say(f"{name}: {len(found['Changes'])} changes")
    for change in found["Changes"]:
        body = change["ResourceChange"]
        how = " (replaced)" if body.get("Replacement") == "True" else ""
        details = (detail["Target"] for detail in body.get("Details", []))
        names = sorted({target.get("Name", target["Attribute"]) for target in details})
        what = f": {', '.join(names)}" if names else ""
        say(f"  {body['Action']:<7} {body['ResourceType']:<36} {body['LogicalResourceId']}{how}{what}")


def up(cloudformation: Any, file: File, say: Say) -> None:
    """Create or update a stack and wait for it. Raises Refused with the reason of the resource that failed."""
    existing = find(cloudformation, file.name)
    if existing is not None and existing["StackStatus"] in _NEVER_LIVED:
        say(f"{file.name}: removing what a failed or previewed creation left")
        down(cloudformation, file, say)
        existing = None
    if existing is not None and existing["StackStatus"] in _STUCK:
        raise Refused(f"{file.name} is in {existing['StackStatus']}.", _STUCK[existing["StackStatus"]])
    request = file.request()
    if existing is None:
        follow = _Follower(cloudformation, file.name, say, since=None)
        follow.until_done(cloudformation.create_stack(**request)["StackId"])
        return
    follow = _Follower(cloudformation, file.name, say, since=existing["StackId"])
    try:
        stack_id = cloudformation.update_stack(**request)["StackId"]
    except ClientError as refusal:
        message = refusal.response["Error"]["Message"]
        if "No updates are to be performed" in message:
            say(f"{file.name}: nothing to change")
            return
        if "_IN_PROGRESS state" in message:
            raise Refused(f"{file.name} is being changed by somebody else.", "Try again when that is done.") from None
        raise
    follow.until_done(stack_id)


def down(cloudformation: Any, file: File, say: Say) -> None:
    """Delete a stack and wait for it; one that does not exist is deleted already."""
    existing = find(cloudformation, file.name)
    if existing is None:
        say(f"{file.name}: not there")
        return
    follow = _Follower(cloudformation, file.name, say, since=existing["StackId"])
    cloudformation.delete_stack(StackName=file.name)
    follow.until_done(existing["StackId"])
    if file.kept is not None:
        say(f"  stays: bucket {file.kept.bucket}. {file.kept.reason}")


class _Follower:
    """Says each new event of a stack until the stack rests."""

    def __init__(self, cloudformation: Any, name: str, say: Say, since: str | None) -> None:
        self._cloudformation = cloudformation
        self._name = name
        self._say = say
        self._seen = {event["EventId"] for event in self._events(since)} if since else set()
        self._failures: list[str] = []

    def until_done(self, stack_id: str) -> None:
        """Raises Refused when the stack came to rest where it was not meant to."""

        def look() -> Any:
            found = self._cloudformation.describe_stacks(StackName=stack_id)["Stacks"][0]
            for event in reversed(list(self._events(stack_id))):
                self._tell(event)
            return found

        status = _settled(look, "StackStatus", self._name)["StackStatus"]
        if "ROLLBACK" in status or status.endswith("FAILED"):
            reason = "; ".join(self._failures) or "no resource gave a reason"
            raise Refused(f"{self._name} ended in {status}: {reason}", _advice(reason))

    def _events(self, stack_id: str) -> Iterator[Any]:
        for page in self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
            yield from page["StackEvents"]

    def _tell(self, event: Mapping[str, Any]) -> None:
        if event["EventId"] in self._seen:
            return
        self._seen.add(event["EventId"])
        status, reason = event["ResourceStatus"], event.get("ResourceStatusReason", "")
        resource = event["ResourceType"] != "AWS::CloudFormation::Stack"
        if status.endswith("_FAILED"):
            if resource and "cancelled" not in reason:
                self._failures.append(f"{event['LogicalResourceId']}: {reason}")
            self._say(f"  {status:<20} {event['ResourceType']:<36} {event['LogicalResourceId']}  {reason}")
        elif status.endswith(("_COMPLETE", "_SKIPPED")) or not resource:
            self._say(f"  {status:<20} {event['ResourceType']:<36} {event['LogicalResourceId']}")


def _advice(reason: str) -> str:
    if "BucketNotEmpty" in reason or "not empty" in reason:
        return "Empty the artifact bucket (all versions) if you really mean it, then run `down` again."
    if "model package" in reason.lower():
        return "A model package group goes only when its versions are gone: delete them, then run `down` again."
    return "Correct what the reason says and run the command again."


def find(cloudformation: Any, name: str) -> Mapping[str, Any] | None:
    """A stack as it is now; None where there is none."""
    try:
        found: Mapping[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as refusal:
        if "does not exist" in refusal.response["Error"]["Message"]:
            return None
        raise
    return found


def exists(s3: Any, bucket: str) -> bool:
    """Whether the bucket is there and ours. Raises ClientError when it is somebody else's."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as refusal:
        if refusal.response["Error"]["Code"] in ("404", "NoSuchBucket"):
            return False
        raise
    return True


def _settled(look: Callable[[], Any], key: str, name: str) -> Any:
    """What `look` gives once its status is at rest."""
    pause, until = FIRST_PAUSE, time.monotonic() + DEADLINE
    while (found := look())[key].endswith(("_IN_PROGRESS", "_PENDING")):
        if time.monotonic() > until:
            raise Refused(
                f"{name} has been in {found[key]} for {DEADLINE / 60:.0f} minutes.", "Look at it in the console."
            )
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)
    return found
