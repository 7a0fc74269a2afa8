"""Model Monitor: schedules that run a bring-your-own-container job over the captured traffic of an endpoint.

An execution is a processing job with the environment of that contract, which SageMaker itself makes: no role needs to
be allowed to. Only in-line job definitions on an endpoint exist here; what is in `/opt/ml/output/metrics/cloudwatch`
is not published (the namespaces that AWS names disagree).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from botocore.exceptions import ClientError

from sandbox.aws.core import Cloud
from sandbox.aws.expressions import After, BadExpression, parse
from sandbox.aws.sagemaker import monitor_job
from sandbox.aws.sagemaker.errors import ResourceInUse, ResourceNotFound, ValidationException
from sandbox.aws.sagemaker.jobs import PROCESSING, SERVICE, Jobs
from sandbox.aws.sagemaker.resources import Body, Record, Resources, listing, now, page, tag_map
from sandbox.aws.sagemaker.storage import parse_uri
from sandbox.aws.sts import RoleRefused

KIND = "monitoring-schedule"
NOW = "NOW"
HOUR = timedelta(hours=1)
VIOLATIONS = "CompletedWithViolations"
NO_DATA = "Job inputs had no data"
"""AWS's words for a window without a captured request."""
_CRON = re.compile(r"cron\(0 (\*|\d{1,2}|\d{1,2}/\d{1,2}) \? \* \* \*\)")


@dataclass
class Schedule(Record):
    """A monitoring schedule's record with its executions and its next time (None: it does not run)."""

    after: After = lambda moment: None
    due: datetime | None = None
    executions: list[Body] = field(default_factory=list)


class Monitoring:
    """All monitoring schedules of the account."""

    def __init__(self, cloud: Cloud, resources: Resources, jobs: Jobs, check_role: Callable[[str], None]) -> None:
        self._cloud = cloud
        self._resources = resources
        self._jobs = jobs
        self._check_role = check_role
        self._looked = cloud.clock.now()
        cloud.clock.follow(self.tick)

    # --- API -------------------------------------------------------------------------------------------------------

    def create_monitoring_schedule(self, request: Body) -> Body:
        """CreateMonitoringSchedule."""
        name, config = request["MonitoringScheduleName"], request["MonitoringScheduleConfig"]
        self._check(config)
        arn = self._resources.arn(KIND, name)
        moment = now()
        body = {"MonitoringScheduleArn": arn, "MonitoringScheduleName": name, "CreationTime": moment}
        schedule = Schedule(KIND, name, arn, body, tag_map(request.get("Tags")))
        with self._resources.lock:
            if self._resources.find(KIND, name):
                raise ResourceInUse(f"Monitoring Schedule {arn} already exists")
            self._resources.add(schedule)
            self._set(schedule, config)
        return {"MonitoringScheduleArn": arn}

    def update_monitoring_schedule(self, request: Body) -> Body:
        """UpdateMonitoringSchedule."""
        self._check(request["MonitoringScheduleConfig"])
        with self._resources.lock:
            schedule = self._schedule(request)
            self._set(schedule, request["MonitoringScheduleConfig"])
        return {"MonitoringScheduleArn": schedule.arn}

    def describe_monitoring_schedule(self, request: Body) -> Body:
        """DescribeMonitoringSchedule."""
        with self._resources.lock:
            schedule = self._schedule(request)
            latest = [self._seen(each) for each in schedule.executions[-1:]]
            return schedule.body | ({"LastMonitoringExecutionSummary": latest[0]} if latest else {})

    def delete_monitoring_schedule(self, request: Body) -> Body:
        """DeleteMonitoringSchedule; its jobs stay."""
        with self._resources.lock:
            self._resources.remove(self._schedule(request))
        return {}

    def start_monitoring_schedule(self, request: Body) -> Body:
        """StartMonitoringSchedule."""
        with self._resources.lock:
            self._turn(self._schedule(request), "Scheduled")
        return {}

    def stop_monitoring_schedule(self, request: Body) -> Body:
        """StopMonitoringSchedule: what runs goes on."""
        with self._resources.lock:
            self._turn(self._schedule(request), "Stopped")
        return {}

    def list_monitoring_schedules(self, request: Body) -> Body:
        """ListMonitoringSchedules."""
        found = [each for each in self._resources.all(KIND) if _of(each.body, request)]
        records, token = listing(found, request, status="MonitoringScheduleStatus")
        members = ("Name", "Arn", "Status")
        summaries = [
            {f"MonitoringSchedule{member}": each.body[f"MonitoringSchedule{member}"] for member in members}
            | {member: each.body[member] for member in ("CreationTime", "LastModifiedTime", "EndpointName")}
            for each in records
        ]
        return {"MonitoringScheduleSummaries": summaries, "NextToken": token}

    def list_monitoring_executions(self, request: Body) -> Body:
        """ListMonitoringExecutions, newest first unless asked otherwise."""
        wanted = request.get("MonitoringScheduleName")
        schedules = [each for each in self._resources.all(KIND) if wanted in (None, each.name)]
        with self._resources.lock:
            found = [self._seen(each) for one in schedules if isinstance(one, Schedule) for each in one.executions]
        found = [each for each in found if _of(each, request) and _within(each, request)]
        member = request.get("SortBy") or "CreationTime"
        found.sort(key=lambda each: each.get(member) or each["CreationTime"])
        if (request.get("SortOrder") or "Descending") == "Descending":
            found.reverse()
        summaries, token = page(found, request, default=10)
        return {"MonitoringExecutionSummaries": summaries, "NextToken": token}

    # --- time ------------------------------------------------------------------------------------------------------

    def tick(self, moment: datetime) -> None:
        """Run what is due, in the order of time."""
        self._set_back(moment)
        while True:
            with self._resources.lock:
                every = [each for each in self._resources.all(KIND) if isinstance(each, Schedule)]
                due = [(each.due, each) for each in every if each.due is not None and each.due <= moment]
                if not due:
                    return
                at, schedule = min(due, key=lambda pair: pair[0])
                schedule.due = schedule.after(at)
            self._execute(schedule, at)

    def _set_back(self, moment: datetime) -> None:
        """When the clock was set back, what was due then comes earlier again."""
        with self._resources.lock:
            back, self._looked = moment < self._looked, moment
            for each in self._resources.all(KIND) if back else ():
                if isinstance(each, Schedule) and each.due is not None:
                    each.due = min(each.due, each.after(moment) or each.due)

    def _execute(self, schedule: Schedule, at: datetime) -> None:
        config = schedule.body["MonitoringScheduleConfig"]
        start, end = monitor_job.window(config["ScheduleConfig"], schedule.after, at)
        execution: Body = {
            "MonitoringScheduleName": schedule.name,
            "ScheduledTime": at,
            "CreationTime": now(),
            "LastModifiedTime": now(),
            "MonitoringExecutionStatus": "Pending",
            "EndpointName": schedule.body["EndpointName"],
        }
        try:
            job = self._job(schedule, start, end)
            execution["ProcessingJobArn"] = self._jobs.create_processing_job(job)["ProcessingJobArn"]
        except (_NoData, ValidationException, ClientError, RoleRefused) as error:
            execution |= {"MonitoringExecutionStatus": "Failed", "FailureReason": str(error)[:1024]}
        with self._resources.lock:
            schedule.executions.append(execution)

    def _job(self, schedule: Schedule, start: datetime, end: datetime) -> Body:
        """The request of an execution's processing job. Raises `_NoData` when nothing was captured in the window."""
        wanted = schedule.body["MonitoringScheduleConfig"]["MonitoringJobDefinition"]
        endpoint = schedule.body["EndpointName"]
        capture = self._capture(endpoint)
        hours = self._hours(wanted["RoleArn"], f"{capture}/{endpoint}", start, end)
        if not hours:
            raise _NoData(NO_DATA)
        tags = [{"Key": key, "Value": value} for key, value in schedule.tags.items()]
        return monitor_job.request(schedule.name, wanted, capture, hours, start, end) | {"Tags": tags}

    def _capture(self, endpoint: str) -> str:
        """Where an endpoint's traffic is captured."""
        record = self._resources.find("endpoint", endpoint)
        config = record and self._resources.find("endpoint-config", record.body["EndpointConfigName"])
        capture = config and config.body.get("DataCaptureConfig")
        if not capture:
            raise ValidationException(f"Endpoint {endpoint} does not exist or does not capture data.")
        return str(capture["DestinationS3Uri"]).rstrip("/")

    def _hours(self, role: str, uri: str, start: datetime, end: datetime) -> list[str]:
        """`<variant>/yyyy/mm/dd/hh` of the window's hours that hold a file."""
        s3 = self._cloud.client("s3", self._cloud.assume_service_role(role, SERVICE, "SageMaker"))
        bucket, prefix = parse_uri(f"{uri}/")
        variants = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/").get("CommonPrefixes") or []
        first = start.replace(minute=0, second=0, microsecond=0)
        hours = [first + HOUR * n for n in range(int((end - first) / HOUR) + 1) if first + HOUR * n < end]
        found = [f"{each['Prefix'].removeprefix(prefix)}{hour:%Y/%m/%d/%H}" for each in variants for hour in hours]
        return [
            each for each in found if s3.list_objects_v2(Bucket=bucket, Prefix=prefix + each, MaxKeys=1)["KeyCount"]
        ]

    # --- behind them -----------------------------------------------------------------------------------------------

    def _check(self, config: Mapping[str, Any]) -> None:
        definition = config.get("MonitoringJobDefinition")
        if definition is None:
            raise ValidationException("Only in-line definitions (MonitoringJobDefinition) exist here.")
        inputs = definition["MonitoringInputs"]
        if "EndpointInput" not in inputs[0]:
            raise ValidationException("Only EndpointInput exists here.")
        self._capture(inputs[0]["EndpointInput"]["EndpointName"])
        self._check_role(definition["RoleArn"])
        when = (config.get("ScheduleConfig") or {}).get("ScheduleExpression", NOW)
        edges = [(config.get("ScheduleConfig") or {}).get(f"DataAnalysis{edge}Time") for edge in ("Start", "End")]
        if when == NOW and not all(edges):
            raise ValidationException("NOW needs DataAnalysisStartTime and DataAnalysisEndTime.")
        if when != NOW:
            _hourly(when)
        for edge in filter(None, edges):
            monitor_job.ago(edge)

    def _set(self, schedule: Schedule, config: Body) -> None:
        when = (config.get("ScheduleConfig") or {}).get("ScheduleExpression", NOW)
        moment = self._cloud.clock.now()
        if when == NOW:
            schedule.after = lambda earlier: None
            schedule.due = moment
        else:
            schedule.after = _hourly(when)
            schedule.due = schedule.after(moment)
        inputs = config["MonitoringJobDefinition"]["MonitoringInputs"][0]["EndpointInput"]
        schedule.body |= {
            "MonitoringScheduleConfig": {"ScheduleConfig": {"ScheduleExpression": NOW}, **config},
            "MonitoringScheduleStatus": "Scheduled",
            "MonitoringType": "DataQuality",
            "EndpointName": inputs["EndpointName"],
            "LastModifiedTime": now(),
        }

    def _turn(self, schedule: Schedule, status: str) -> None:
        if schedule.body["MonitoringScheduleStatus"] == status:
            raise ValidationException(f"Monitoring Schedule {schedule.name} is {status} already")
        schedule.body |= {"MonitoringScheduleStatus": status, "LastModifiedTime": now()}
        schedule.due = schedule.after(self._cloud.clock.now()) if status == "Scheduled" else None

    def _schedule(self, request: Mapping[str, Any]) -> Schedule:
        found = self._resources.find(KIND, request["MonitoringScheduleName"])
        if not isinstance(found, Schedule):
            raise ResourceNotFound(f"Monitoring Schedule {request['MonitoringScheduleName']} not found")
        return found

    def _seen(self, execution: Body) -> Body:
        """An execution as its job stands now: a violation is a completed job with that word in its exit message."""
        if "ProcessingJobArn" not in execution:
            return dict(execution)
        job = self._jobs.job(PROCESSING, execution["ProcessingJobArn"].rpartition("/")[2]).body
        status, message = job["ProcessingJobStatus"], job.get("ExitMessage", "")
        if status == "Completed" and message.startswith(VIOLATIONS):
            status = VIOLATIONS
        reason = job.get("FailureReason") or (message if status == VIOLATIONS else "")
        seen = execution | {"MonitoringExecutionStatus": status, "LastModifiedTime": job["LastModifiedTime"]}
        return seen | ({"FailureReason": reason} if reason else {})


class _NoData(Exception):
    """Nothing was captured in the window."""


def _hourly(expression: str) -> After:
    try:
        if _CRON.fullmatch(expression):
            return parse(expression, ZoneInfo("UTC"), datetime.now(UTC))
    except BadExpression as error:
        raise ValidationException(f"{expression}: {error}") from error
    raise ValidationException(f"{expression} is not an hourly or daily schedule: cron(0 [0-23|*][/hours] ? * * *).")


def _of(body: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    return request.get("EndpointName") in (None, body["EndpointName"])


def _within(execution: Mapping[str, Any], request: Mapping[str, Any]) -> bool:
    at, status = execution["ScheduledTime"], request.get("StatusEquals")
    after, before = request.get("ScheduledTimeAfter"), request.get("ScheduledTimeBefore")
    fits = (after is None or at >= after) and (before is None or at <= before)
    return fits and status in (None, execution["MonitoringExecutionStatus"])
