"""EventBridge Scheduler: schedules that call an API of AWS at their time, as the schedule's role, through the door.

moto keeps schedules and never fires them; here everything is ours. A firing is an API call like any other: signed with
the role's credentials, decided by its policies, recorded. It comes at the beginning of a flexible window. One that
fails is counted (namespace `AWS/Scheduler`), goes to the dead-letter queue if there is one, and is not tried again: in
one process nothing fails for a moment only.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.aws import universal
from sandbox.aws.errors import AwsError
from sandbox.aws.eventbridge import to_queue
from sandbox.aws.expressions import After, BadExpression, parse
from sandbox.aws.sts import RoleRefused

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

log = logging.getLogger(__name__)

SERVICE = "scheduler.amazonaws.com"
NAMESPACE = "AWS/Scheduler"
_KEPT = (
    "Description", "ScheduleExpression", "ScheduleExpressionTimezone", "StartDate", "EndDate", "State", "Target",
    "FlexibleTimeWindow", "ActionAfterCompletion",
)  # fmt: skip


@dataclass
class Group:
    """A schedule group."""

    name: str
    arn: str
    created: datetime
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Schedule:
    """One schedule. `settings` are its members as the API has them; `due` is None when it will not fire again."""

    group: str
    name: str
    arn: str
    settings: dict[str, Any]
    created: datetime
    changed: datetime
    after: After
    due: datetime | None

    def body(self) -> dict[str, Any]:
        """GetSchedule's answer."""
        dates = {"CreationDate": self.created, "LastModificationDate": self.changed}
        return {"Arn": self.arn, "GroupName": self.group, "Name": self.name, **dates, **self.settings}


class Scheduler:
    """All schedules of the account."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.RLock()
        self._schedules: dict[tuple[str, str], Schedule] = {}
        self._seen = cloud.clock.now()
        self._groups = {"default": Group("default", self._arn("schedule-group/default"), cloud.clock.now())}
        cloud.clock.follow(self.tick)

    def _arn(self, resource: str) -> str:
        return f"arn:aws:scheduler:{self._cloud.region}:{self._cloud.account}:{resource}"

    # --- API -------------------------------------------------------------------------------------------------------

    def create_schedule(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """CreateSchedule."""
        group, name = params.get("GroupName") or "default", params["Name"]
        with self._lock:
            self._group(group)
            if (group, name) in self._schedules:
                raise AwsError("ConflictException", f"Schedule {name} already exists.", 409)
            now = self._cloud.clock.now()
            made = self._made(group, name, params, created=now)
            self._schedules[group, name] = made
            return {"ScheduleArn": made.arn}

    def update_schedule(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """UpdateSchedule: what is not given goes back to its default."""
        with self._lock:
            had = self._find(params)
            made = self._made(had.group, had.name, params, created=had.created)
            self._schedules[had.group, had.name] = made
            return {"ScheduleArn": made.arn}

    def get_schedule(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetSchedule."""
        return self._find(params).body()

    def delete_schedule(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteSchedule."""
        with self._lock:
            had = self._find(params)
            del self._schedules[had.group, had.name]
            return {}

    def list_schedules(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """ListSchedules."""
        wanted = {"GroupName": params.get("GroupName"), "State": params.get("State")}
        found = []
        for each in sorted(self._schedules.values(), key=lambda one: one.arn):
            body = each.body()
            fits = all(value is None or body[member] == value for member, value in wanted.items())
            if fits and each.name.startswith(params.get("NamePrefix") or ""):
                brief = ("Arn", "CreationDate", "GroupName", "LastModificationDate", "Name", "State")
                found.append({member: body[member] for member in brief} | {"Target": {"Arn": body["Target"]["Arn"]}})
        page, token = _page(found, params)
        return {"Schedules": page, "NextToken": token}

    def create_schedule_group(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """CreateScheduleGroup."""
        name = params["Name"]
        with self._lock:
            if name in self._groups:
                raise AwsError("ConflictException", f"Schedule group {name} already exists.", 409)
            tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags") or ()}
            made = Group(name, self._arn(f"schedule-group/{name}"), self._cloud.clock.now(), tags)
            self._groups[name] = made
            return {"ScheduleGroupArn": made.arn}

    def get_schedule_group(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """GetScheduleGroup."""
        return _group_body(self._group(params["Name"]))

    def delete_schedule_group(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """DeleteScheduleGroup, with the schedules in it."""
        name = params["Name"]
        with self._lock:
            self._group(name)
            if name == "default":
                raise AwsError("ValidationException", "The default schedule group cannot be deleted.")
            del self._groups[name]
            for place in [place for place in self._schedules if place[0] == name]:
                del self._schedules[place]
            return {}

    def list_schedule_groups(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """ListScheduleGroups."""
        prefix = params.get("NamePrefix") or ""
        found = [_group_body(each) for name, each in sorted(self._groups.items()) if name.startswith(prefix)]
        page, token = _page(found, params)
        return {"ScheduleGroups": page, "NextToken": token}

    def tag_resource(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """TagResource: groups only."""
        self._tagged(params).tags.update({tag["Key"]: tag["Value"] for tag in params["Tags"]})
        return {}

    def untag_resource(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """UntagResource."""
        for name in params["TagKeys"]:
            self._tagged(params).tags.pop(name, None)
        return {}

    def list_tags_for_resource(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """ListTagsForResource."""
        return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(self._tagged(params).tags.items())]}

    # --- time ------------------------------------------------------------------------------------------------------

    def tick(self, now: datetime) -> None:
        """Fire what is due, in the order of time; a schedule that missed several times fires for each of them."""
        self._set_back(now)
        while True:
            with self._lock:
                due = [each for each in self._schedules.values() if each.due is not None and each.due <= now]
                if not due:
                    return
                schedule = min(due, key=lambda each: each.due or now)
                at = schedule.due or now
                self._on(schedule)
            self.fire(schedule, at)

    def _set_back(self, now: datetime) -> None:
        """When the clock was set back, what was due then comes earlier again."""
        with self._lock:
            back, self._seen = now < self._seen, now
            for each in self._schedules.values() if back else ():
                if each.due is not None:
                    each.due = min(each.due, self._next(each, now) or each.due)

    def fire(self, schedule: Schedule, at: datetime) -> None:
        """Call the schedule's target as of the scheduled time `at`."""
        target = schedule.settings["Target"]
        execution = secrets.token_hex(8)
        text = universal.filled(target.get("Input") or "{}", schedule.arn, at, execution)
        self._count("InvocationAttemptCount", schedule)
        try:
            credentials = self._cloud.assume_service_role(target["RoleArn"], SERVICE, f"scheduler-{execution}")
            client = self._cloud.client(universal.service(target["Arn"])[0], credentials)
            universal.call(client, target["Arn"], json.loads(text))
        except (BotoCoreError, ClientError, RoleRefused, ValueError) as error:
            log.warning("schedule %s cannot call %s: %s", schedule.name, target["Arn"], error)
            self._count("TargetErrorCount", schedule)
            self._count("InvocationDroppedCount", schedule)
            self._dead(schedule, text, error)

    def control(self, body: Any) -> dict[str, str]:
        """`{"schedule": "<group>/<name>", "at": "2026-03-01T12:00:00Z"}`: fire now, as of a time (default: now).

        Raises ValueError, AwsError.
        """
        schedule = self._find(dict(zip(("GroupName", "Name"), body["schedule"].split("/"), strict=True)))
        at = _aware(datetime.fromisoformat(body["at"])) if "at" in body else None
        self.fire(schedule, at or self._cloud.clock.now())
        return {"schedule": schedule.arn}

    def tags_of(self, arn: str) -> Mapping[str, str]:
        """The tags that policies see: a group's; schedules have none."""
        group = self._groups.get(arn.rpartition("/")[2]) if ":schedule-group/" in arn else None
        return {} if group is None else dict(group.tags)

    # --- behind them -----------------------------------------------------------------------------------------------

    def _made(self, group: str, name: str, params: Mapping[str, Any], created: datetime) -> Schedule:
        settings = {member: params[member] for member in _KEPT if params.get(member) is not None}
        settings.setdefault("ScheduleExpressionTimezone", "UTC")
        settings.setdefault("State", "ENABLED")
        settings.setdefault("ActionAfterCompletion", "NONE")
        universal.check(settings["Target"])
        self._check_role(settings["Target"]["RoleArn"])
        window = settings["FlexibleTimeWindow"]
        if (window["Mode"] == "FLEXIBLE") != ("MaximumWindowInMinutes" in window):
            raise _invalid("FlexibleTimeWindow: a mode FLEXIBLE, and only that, has MaximumWindowInMinutes.")
        now = self._cloud.clock.now()
        begin = _aware(settings.get("StartDate")) or now
        try:
            zone = ZoneInfo(settings["ScheduleExpressionTimezone"])
            after = parse(settings["ScheduleExpression"], zone, begin)
        except (BadExpression, ZoneInfoNotFoundError, ValueError) as error:
            raise _invalid(f"Invalid Schedule Expression {settings['ScheduleExpression']}: {error}.") from error
        made = Schedule(group, name, self._arn(f"schedule/{group}/{name}"), settings, created, now, after, None)
        made.due = self._next(made, begin - timedelta(milliseconds=1))
        return made

    def _check_role(self, arn: str) -> None:
        try:
            self._cloud.assume_service_role(arn, SERVICE, "scheduler-check")
        except RoleRefused as error:
            raise _invalid(
                "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
            ) from error

    def _on(self, schedule: Schedule) -> None:
        """Set the schedule to its next time; one that has none left is deleted where that was asked."""
        schedule.due = self._next(schedule, schedule.due or self._cloud.clock.now())
        if schedule.due is None and schedule.settings["ActionAfterCompletion"] == "DELETE":
            self._schedules.pop((schedule.group, schedule.name), None)

    def _next(self, schedule: Schedule, moment: datetime) -> datetime | None:
        if schedule.settings["State"] != "ENABLED":
            return None
        found, end = schedule.after(moment), _aware(schedule.settings.get("EndDate"))
        return None if found is None or (end is not None and found > end) else found

    def _dead(self, schedule: Schedule, text: str, error: Exception) -> None:
        queue = (schedule.settings["Target"].get("DeadLetterConfig") or {}).get("Arn")
        if queue is None:
            return
        reasons = {"SCHEDULE_ARN": schedule.arn, "TARGET_ARN": schedule.settings["Target"]["Arn"]}
        reasons["ERROR_MESSAGE"] = str(error)[:1000]
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in reasons.items()}
        try:
            to_queue(self._cloud, SERVICE, schedule.arn, queue, text, message_attributes=attributes)
        except (LookupError, PermissionError):
            log.exception("schedule %s cannot reach its dead-letter queue", schedule.name)

    def _count(self, name: str, schedule: Schedule) -> None:
        self._cloud.metrics.count(NAMESPACE, name, {"ScheduleGroup": schedule.group})

    def _group(self, name: str) -> Group:
        if name not in self._groups:
            raise AwsError("ResourceNotFoundException", f"Schedule group {name} does not exist.", 404)
        return self._groups[name]

    def _tagged(self, params: Mapping[str, Any]) -> Group:
        return self._group(params["ResourceArn"].rpartition("/")[2])

    def _find(self, params: Mapping[str, Any]) -> Schedule:
        found = self._schedules.get((params.get("GroupName") or "default", params["Name"]))
        if found is None:
            raise AwsError("ResourceNotFoundException", f"Schedule {params['Name']} does not exist.", 404)
        return found


def _group_body(group: Group) -> dict[str, Any]:
    dates = {"CreationDate": group.created, "LastModificationDate": group.created}
    return {"Arn": group.arn, "Name": group.name, "State": "ACTIVE", **dates}


def _page(found: list[dict[str, Any]], params: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    start = int(params.get("NextToken") or 0)
    end = start + int(params.get("MaxResults") or 100)
    return found[start:end], str(end) if end < len(found) else None


def _aware(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def install(cloud: Cloud) -> None:
    """Answer the API, and fire as the account's time passes."""
    from moto.core.responses import ActionResult, BaseResponse

    scheduler = Scheduler(cloud)

    class Door(BaseResponse):
        """The answers; the request was read at the account's door."""

        def __init__(self) -> None:
            super().__init__(service_name="scheduler")

        def call_action(self) -> Any:
            operation = getattr(scheduler, xform_name(cloud.call().operation))
            return self.serialized(ActionResult(operation(cloud.call().params)))

    cloud.responses["scheduler"] = Door
    cloud.tag_readers["scheduler"] = scheduler.tags_of
    cloud.controls["schedules"] = scheduler.control
