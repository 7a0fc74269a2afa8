"""What an API call needs: IAM actions and the ARNs they are asked on, for every operation the account answers.

Source: the service authorization reference. An operation in no table here is refused loudly (fail closed), so a
new call of the product shows up as an error and not as a hole. `{Name}` in a template is a request parameter; a
parameter that already is an ARN is used as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.aws.actions_s3 import s3_needs
from sandbox.aws.errors import AwsError

Params = Mapping[str, Any]
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Need:
    """One permission a call needs. `passed_to` is set for iam:PassRole: the service that will use the role."""

    action: str
    resource: str
    passed_to: str | None = None


@dataclass(frozen=True)
class Place:
    """Account and region, which ARNs are made of."""

    account: str
    region: str

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and region; IAM, Budgets and dashboards have no region."""
        nowhere = service in ("iam", "budgets") or resource.startswith("dashboard/")
        region = "" if nowhere else self.region
        return f"arn:aws:{service}:{region}:{self.account}:{resource}"


def needs(service: str, operation: str, params: Params, place: Place) -> list[Need]:
    """All permissions a call needs; all of them must be allowed. Raises AwsError for an operation in no table."""
    rule = _RULES.get(service)
    found = rule(operation, params, place) if rule else None
    if found is None:
        raise AwsError(
            "UnknownOperationException", f"The local AWS has no permissions listed for {service} {operation}."
        )
    return [*found, *_passed_roles(service, operation, params)]


def _filled(service: str, template: str, params: Params, place: Place) -> list[str]:
    """The ARNs of a template: one for each item of a parameter that is a list."""
    for name in _FIELD.findall(template):
        if isinstance(params.get(name), list):
            each = [_fill(service, template, {**params, name: item}, place) for item in params[name]]
            return [arn for arn in each if arn]
    arn = _fill(service, template, params, place)
    return [arn] if arn else []


def _fill(service: str, template: str, params: Params, place: Place) -> str | None:
    """The ARN of a template; None when one of its parameters was not given."""
    if template == "*":
        return "*"
    fields = _FIELD.findall(template)
    values = {name: str(params[name]) for name in fields if params.get(name)}
    if len(values) < len(fields):
        return None
    for value in values.values():
        if value.startswith("arn:"):
            return value
    return place.arn(service, _FIELD.sub(lambda found: values[found.group(1)], template))


def _table(
    prefix: str, table: Mapping[str, tuple[str, ...]], tagging: Mapping[str, str] | None = None
) -> Callable[[str, Params, Place], list[Need] | None]:
    """A rule of operations whose IAM action has the operation's name; their templates are tried one by one.

    A template whose parameters are missing is skipped; with none left the resource is `*`. `tagging` maps the start
    of an operation's name to the extra action that it needs on what it creates when it brings `Tags`.
    """

    def rule(operation: str, params: Params, place: Place) -> list[Need] | None:
        if operation not in table:
            return None
        arns = [arn for template in table[operation] for arn in _filled(prefix, template, params, place)] or ["*"]
        found = [Need(f"{prefix}:{operation}", arn) for arn in arns]
        for start, action in (tagging or {}).items():
            if operation.startswith(start) and params.get("Tags"):
                found.append(Need(f"{prefix}:{action}", arns[0]))
        return found

    return rule


def _ops(templates: Iterable[str], *operations: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(operations, tuple(templates))


_PIPELINE = ("pipeline/{PipelineName}",)
_EXECUTION = ("{PipelineExecutionArn}",)
_GROUP = ("model-package-group/{ModelPackageGroupName}",)
_SAGEMAKER = {
    **_ops(_PIPELINE, "CreatePipeline", "UpdatePipeline", "DeletePipeline", "DescribePipeline"),
    **_ops(_PIPELINE, "StartPipelineExecution", "ListPipelineExecutions", "ListPipelineVersions"),
    **_ops(("{PipelineArn}",), "UpdatePipelineVersion"),
    **_ops(_EXECUTION, "DescribePipelineExecution", "StopPipelineExecution", "RetryPipelineExecution"),
    **_ops(_EXECUTION, "UpdatePipelineExecution", "ListPipelineExecutionSteps"),
    **_ops(_EXECUTION, "ListPipelineParametersForExecution", "DescribePipelineDefinitionForExecution"),
    **_ops(
        ("training-job/{TrainingJobName}",),
        *("CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob", "DeleteTrainingJob"),
    ),
    **_ops(
        ("processing-job/{ProcessingJobName}",),
        *("CreateProcessingJob", "DescribeProcessingJob", "StopProcessingJob", "DeleteProcessingJob"),
    ),
    **_ops(
        ("hyper-parameter-tuning-job/{HyperParameterTuningJobName}",),
        *("CreateHyperParameterTuningJob", "DescribeHyperParameterTuningJob", "StopHyperParameterTuningJob"),
        "ListTrainingJobsForHyperParameterTuningJob",
    ),
    **_ops(("*",), "ListHyperParameterTuningJobs"),
    **_ops(("model/{ModelName}",), "CreateModel", "DescribeModel", "DeleteModel"),
    **_ops(
        ("endpoint-config/{EndpointConfigName}",),
        *("CreateEndpointConfig", "DescribeEndpointConfig", "DeleteEndpointConfig"),
    ),
    **_ops(
        ("endpoint/{EndpointName}", "endpoint-config/{EndpointConfigName}"),
        *("CreateEndpoint", "UpdateEndpoint"),
    ),
    **_ops(
        ("endpoint/{EndpointName}",),
        *("DescribeEndpoint", "DeleteEndpoint", "UpdateEndpointWeightsAndCapacities"),
    ),
    **_ops(_GROUP, "CreateModelPackageGroup", "DescribeModelPackageGroup", "DeleteModelPackageGroup"),
    # A version's number is not known before it exists: the request is for the group and for any package in it.
    "CreateModelPackage": (*_GROUP, "model-package/{ModelPackageGroupName}/*", "model-package/{ModelPackageName}"),
    **_ops(("model-package/{ModelPackageName}",), "DescribeModelPackage", "DeleteModelPackage"),
    **_ops(("{ModelPackageArn}",), "UpdateModelPackage"),
    # A domain's id is not known before it exists.
    "CreateDomain": ("domain/*",),
    **_ops(("domain/{DomainId}",), "DescribeDomain", "UpdateDomain", "DeleteDomain"),
    **_ops(
        ("user-profile/{DomainId}/{UserProfileName}",),
        *("CreateUserProfile", "DescribeUserProfile", "UpdateUserProfile", "DeleteUserProfile"),
        "CreatePresignedDomainUrl",
    ),
    **_ops(
        ("studio-lifecycle-config/{StudioLifecycleConfigName}",),
        *("CreateStudioLifecycleConfig", "DescribeStudioLifecycleConfig", "DeleteStudioLifecycleConfig"),
    ),
    **_ops(
        ("app/{DomainId}/{UserProfileName}/{AppType}/{AppName}", "app/{DomainId}/{SpaceName}/{AppType}/{AppName}"),
        *("CreateApp", "DescribeApp", "DeleteApp"),
    ),
    **_ops(("space/{DomainId}/{SpaceName}",), "CreateSpace", "DescribeSpace", "DeleteSpace"),
    **_ops(("*",), "ListDomains", "ListUserProfiles", "ListStudioLifecycleConfigs", "ListApps", "ListSpaces"),
    "CreatePresignedMlflowAppUrl": ("{Arn}",),
    "CreatePresignedMlflowTrackingServerUrl": ("mlflow-tracking-server/{TrackingServerName}",),
    **_ops(("{ResourceArn}",), "AddTags", "DeleteTags", "ListTags"),
    **_ops(
        ("monitoring-schedule/{MonitoringScheduleName}",),
        *("CreateMonitoringSchedule", "DescribeMonitoringSchedule", "UpdateMonitoringSchedule"),
        *("DeleteMonitoringSchedule", "StartMonitoringSchedule", "StopMonitoringSchedule"),
    ),
    **_ops(("*",), "ListMonitoringSchedules", "ListMonitoringExecutions"),
    **_ops(("*",), "ListPipelines", "ListTrainingJobs", "ListProcessingJobs", "ListModels", "ListEndpoints"),
    **_ops(("transform-job/{TransformJobName}",), "CreateTransformJob", "DescribeTransformJob", "StopTransformJob"),
    **_ops(("*",), "ListTransformJobs"),
    **_ops(("*",), "ListEndpointConfigs", "ListModelPackages", "ListModelPackageGroups", "Search"),
}
_RUNTIME = _ops(("endpoint/{EndpointName}",), "InvokeEndpoint", "InvokeEndpointAsync")

_STACK = ("stack/{StackName}/*",)
_CLOUDFORMATION = {
    **_ops(_STACK, "CreateStack", "UpdateStack", "DeleteStack", "RollbackStack", "CancelUpdateStack"),
    **_ops(_STACK, "ContinueUpdateRollback", "UpdateTerminationProtection", "SetStackPolicy", "GetStackPolicy"),
    **_ops(_STACK, "DescribeStacks", "DescribeStackEvents", "DescribeStackResource", "DescribeStackResources"),
    **_ops(_STACK, "ListStackResources", "GetTemplate", "GetTemplateSummary"),
    **_ops(_STACK, "CreateChangeSet", "ListChangeSets"),
    **_ops((*_STACK, "{ChangeSetName}"), "DescribeChangeSet", "ExecuteChangeSet", "DeleteChangeSet"),
    **_ops(("*",), "ListStacks", "ValidateTemplate", "ListExports", "ListImports"),
}

_STACKS = _table("cloudformation", _CLOUDFORMATION)


def _cloudformation(operation: str, params: Params, place: Place) -> list[Need] | None:
    """A change set is its stack's, where that is named; else it is named by its own ARN."""
    named = {name: value for name, value in params.items() if name != "ChangeSetName" or not params.get("StackName")}
    return _STACKS(operation, named, place)


_ROLE = ("role/{RoleName}",)
_POLICY = ("{PolicyArn}",)
_USER = ("user/{UserName}",)
_IAM = {
    **_ops(_ROLE, "CreateRole", "GetRole", "DeleteRole", "UpdateRole", "UpdateRoleDescription"),
    **_ops(_ROLE, "UpdateAssumeRolePolicy", "PutRolePolicy", "GetRolePolicy", "DeleteRolePolicy", "ListRolePolicies"),
    **_ops(_ROLE, "AttachRolePolicy", "DetachRolePolicy", "ListAttachedRolePolicies"),
    **_ops(_ROLE, "PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary"),
    **_ops(_ROLE, "TagRole", "UntagRole", "ListRoleTags"),
    "CreatePolicy": ("policy/{PolicyName}",),
    **_ops(_POLICY, "GetPolicy", "DeletePolicy", "CreatePolicyVersion", "DeletePolicyVersion", "GetPolicyVersion"),
    **_ops(_POLICY, "ListPolicyVersions", "SetDefaultPolicyVersion", "ListEntitiesForPolicy"),
    **_ops(_POLICY, "TagPolicy", "UntagPolicy", "ListPolicyTags"),
    **_ops(_USER, "CreateUser", "GetUser", "DeleteUser", "CreateAccessKey", "DeleteAccessKey", "ListAccessKeys"),
    **_ops(_USER, "UpdateAccessKey", "PutUserPolicy", "GetUserPolicy", "DeleteUserPolicy", "ListUserPolicies"),
    **_ops(_USER, "AttachUserPolicy", "DetachUserPolicy", "ListAttachedUserPolicies", "TagUser", "ListUserTags"),
    **_ops(("{PolicySourceArn}",), "SimulatePrincipalPolicy"),
    **_ops(("*",), "ListRoles", "ListPolicies", "ListUsers", "GetAccountAuthorizationDetails", "SimulateCustomPolicy"),
}

_TRAIL = ("trail/{Name}",)
_CLOUDTRAIL = {
    **_ops(_TRAIL, "CreateTrail", "UpdateTrail", "DeleteTrail", "GetTrail", "GetTrailStatus"),
    **_ops(_TRAIL, "StartLogging", "StopLogging"),
    **_ops(("trail/{TrailName}",), "PutEventSelectors", "GetEventSelectors"),
    **_ops(("{ResourceId}",), "AddTags", "RemoveTags"),
    "ListTags": ("{ResourceIdList}",),
    **_ops(("*",), "DescribeTrails", "ListTrails", "LookupEvents"),
}

_LOG_STREAM = ("log-group:{logGroupName}:log-stream:{logStreamName}",)
_LOG_GROUP = ("log-group:{logGroupName}:log-stream:",)
_LOGS = {
    **_ops(_LOG_STREAM, "CreateLogStream", "DeleteLogStream", "PutLogEvents", "GetLogEvents"),
    **_ops(_LOG_GROUP, "CreateLogGroup", "DeleteLogGroup", "PutRetentionPolicy", "DeleteRetentionPolicy"),
    **_ops(_LOG_GROUP, "DescribeLogStreams", "FilterLogEvents"),
    **_ops(("{resourceArn}",), "TagResource", "UntagResource", "ListTagsForResource"),
    **_ops(("log-group::log-stream:",), "DescribeLogGroups"),
}

_EVENT_RULE = ("rule/{Name}",)
_EVENTS = {
    **_ops(_EVENT_RULE, "PutRule", "DeleteRule", "DescribeRule", "EnableRule", "DisableRule"),
    **_ops(("rule/{Rule}",), "PutTargets", "RemoveTargets", "ListTargetsByRule"),
    **_ops(("{ResourceARN}",), "TagResource", "UntagResource", "ListTagsForResource"),
    **_ops(("event-bus/default",), "PutEvents", "DescribeEventBus"),
    **_ops(("*",), "ListRules", "ListEventBuses", "ListRuleNamesByTarget", "TestEventPattern"),
}

_CLOUDWATCH = {
    **_ops(("*",), "PutMetricData", "GetMetricData", "GetMetricStatistics", "ListMetrics", "ListDashboards"),
    **_ops(("alarm:{AlarmName}",), "PutMetricAlarm", "SetAlarmState"),
    **_ops(("alarm:*",), "DescribeAlarms", "DescribeAlarmHistory"),
    "DeleteAlarms": ("alarm:{AlarmNames}",),
    **_ops(("dashboard/{DashboardName}",), "PutDashboard", "GetDashboard"),
    "DeleteDashboards": ("dashboard/{DashboardNames}",),
    **_ops(("{ResourceARN}",), "TagResource", "UntagResource", "ListTagsForResource"),
}

_SCHEDULE = ("schedule/{GroupName}/{Name}",)
_SCHEDULE_GROUP = ("schedule-group/{Name}",)
_SCHEDULER = {
    **_ops(_SCHEDULE, "CreateSchedule", "GetSchedule", "UpdateSchedule", "DeleteSchedule"),
    **_ops(_SCHEDULE_GROUP, "CreateScheduleGroup", "GetScheduleGroup", "DeleteScheduleGroup"),
    **_ops(("{ResourceArn}",), "TagResource", "UntagResource", "ListTagsForResource"),
    **_ops(("*",), "ListSchedules", "ListScheduleGroups"),
}

_SCHEDULES = _table("scheduler", _SCHEDULER, {"CreateScheduleGroup": "TagResource"})

_SCALING_TARGET = ("scalable-target/*",)
_SCALING = {
    **_ops(_SCALING_TARGET, "RegisterScalableTarget", "DeregisterScalableTarget", "PutScalingPolicy"),
    **_ops(_SCALING_TARGET, "DeleteScalingPolicy", "TagResource", "UntagResource", "ListTagsForResource"),
    **_ops(("*",), "DescribeScalableTargets", "DescribeScalingPolicies", "DescribeScalingActivities"),
}
_SCALES = _table("application-autoscaling", _SCALING)
_SCALING_ROLE = (
    "role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
_TRACKING_ALARMS = {
    "PutScalingPolicy": ("PutMetricAlarm", "DescribeAlarms"),
    "DeleteScalingPolicy": ("DeleteAlarms", "DescribeAlarms"),
}


def _scaling(operation: str, params: Params, place: Place) -> list[Need] | None:
    """Its own action, whose ARN nobody can know, and what it takes of the services behind it.

    Source: SageMaker developer guide, "Auto scaling prerequisites". There the rights to the endpoint and the alarms are
    listed as the caller's; here they are the only wall between one endpoint's scaling and another's. On AWS the role
    for the service is made once; here every registration asks for it.
    """
    found = _SCALES(operation, params, place)
    if found is None:
        return None
    resource = str(params.get("ResourceId") or "")
    if operation == "RegisterScalableTarget":
        endpoint = place.arn("sagemaker", "/".join(resource.split("/")[:2]))
        found += [
            Need(f"sagemaker:{each}", endpoint) for each in ("DescribeEndpoint", "UpdateEndpointWeightsAndCapacities")
        ]
        found.append(Need("iam:CreateServiceLinkedRole", place.arn("iam", _SCALING_ROLE)))
    for each in _TRACKING_ALARMS.get(operation, ()):
        name = "*" if each == "DescribeAlarms" else f"TargetTracking-{resource}-*"
        found.append(Need(f"cloudwatch:{each}", place.arn("cloudwatch", f"alarm:{name}")))
    return found


_QUEUE_ACTIONS = {
    **{name: name for name in ("CreateQueue", "DeleteQueue", "GetQueueUrl", "GetQueueAttributes", "PurgeQueue")},
    **{name: name for name in ("SetQueueAttributes", "TagQueue", "UntagQueue", "ListQueueTags")},
    **{name: name for name in ("SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")},
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "ListDeadLetterSourceQueues": "ListDeadLetterSourceQueues",
    "ListQueues": "ListQueues",
}


_TOPIC = ("{TopicArn}",)
_SNS = {
    "CreateTopic": ("{Name}",),
    **_ops(_TOPIC, "DeleteTopic", "GetTopicAttributes", "SetTopicAttributes", "Subscribe", "Publish"),
    **_ops(_TOPIC, "ListSubscriptionsByTopic"),
    **_ops(("{ResourceArn}",), "TagResource", "UntagResource", "ListTagsForResource"),
    **_ops(("*",), "Unsubscribe", "GetSubscriptionAttributes", "SetSubscriptionAttributes"),
    **_ops(("*",), "ListTopics", "ListSubscriptions"),
}


def _sqs(operation: str, params: Params, place: Place) -> list[Need] | None:
    if operation not in _QUEUE_ACTIONS:
        return None
    name = params.get("QueueName") or str(params.get("QueueUrl", "")).rpartition("/")[2]
    return [Need(f"sqs:{_QUEUE_ACTIONS[operation]}", place.arn("sqs", name) if name else "*")]


# What belongs to no resource is asked on an ARN made of the operation, as the refusals of AWS show.
_CE_ACCOUNT = (
    *("GetCostAndUsage", "GetCostForecast", "GetDimensionValues", "GetTags", "GetAnomalies", "ProvideAnomalyFeedback"),
    *("ListCostAllocationTags", "UpdateCostAllocationTagsStatus", "CreateAnomalyMonitor", "CreateAnomalySubscription"),
)
_CE = {
    **_ops(("{MonitorArnList}",), "GetAnomalyMonitors"),
    **_ops(("{SubscriptionArnList}",), "GetAnomalySubscriptions"),
    **_ops(("{MonitorArn}",), "UpdateAnomalyMonitor", "DeleteAnomalyMonitor"),
    **_ops(("{SubscriptionArn}",), "UpdateAnomalySubscription", "DeleteAnomalySubscription"),
    **_ops(("{ResourceArn}",), "TagResource", "UntagResource", "ListTagsForResource"),
}
_EXPLORED = _table("ce", _CE)


def _ce(operation: str, params: Params, place: Place) -> list[Need] | None:
    if operation not in (*_CE_ACCOUNT, *_CE):
        return None
    found = _EXPLORED(operation, params, place) or []
    whole = f"arn:aws:ce:us-east-1:{place.account}:/{operation}"
    if not found or found[0].resource == "*":
        found = [Need(f"ce:{operation}", whole)]
    return (
        [*found, Need("ce:TagResource", whole)] if params.get("ResourceTags") and operation[:6] == "Create" else found
    )


_BUDGET_READS = (
    *("DescribeBudget", "DescribeBudgets", "DescribeBudgetPerformanceHistory", "DescribeNotificationsForBudget"),
    "DescribeSubscribersForNotification",
)
_BUDGET_WRITES = ("CreateBudget", "UpdateBudget", "DeleteBudget", "CreateNotification", "DeleteNotification")
_BUDGET_TAGS = ("TagResource", "UntagResource", "ListTagsForResource")


def _budgets(operation: str, params: Params, place: Place) -> list[Need] | None:
    if operation in _BUDGET_TAGS:
        return [Need(f"budgets:{operation}", params["ResourceARN"])]
    if operation not in (*_BUDGET_READS, *_BUDGET_WRITES):
        return None
    named = params.get("BudgetName") or (params.get("Budget") or params.get("NewBudget") or {}).get("BudgetName", "*")
    arn = place.arn("budgets", f"budget/{named}")
    found = [Need("budgets:ViewBudget" if operation in _BUDGET_READS else "budgets:ModifyBudget", arn)]
    return [*found, Need("budgets:TagResource", arn)] if params.get("ResourceTags") else found


_PRICING = _ops(("*",), "DescribeServices", "GetAttributeValues", "GetProducts")


def _scheduler(operation: str, params: Params, place: Place) -> list[Need] | None:
    return _SCHEDULES(operation, {"GroupName": "default", **params}, place)


def _sts(operation: str, params: Params, place: Place) -> list[Need] | None:
    # Taking a role is decided with its trust policy (sts.py); everybody may ask who they are.
    return [] if operation in ("AssumeRole", "GetCallerIdentity") else None


_TAG = {**_ops(("*",), "GetResources", "GetTagKeys", "GetTagValues")}


# Members of Studio's calls that hold an execution role.
_SETTINGS = ("DefaultUserSettings", "UserSettings", "DefaultSpaceSettings")


def _passed_roles(service: str, operation: str, params: Params) -> list[Need]:
    """iam:PassRole on every role a Create or Update call hands to a service."""
    passes = _PASSES.get(service)
    if passes is None or not operation.startswith(passes[1]):
        return []
    roles = [params[name] for name in ("RoleArn", "RoleARN", "ExecutionRoleArn") if params.get(name)]
    trial = params.get("TrainingJobDefinition") or {}
    roles += [trial["RoleArn"]] if trial.get("RoleArn") else []
    roles += [target["RoleArn"] for target in params.get("Targets") or [] if target.get("RoleArn")]
    settings = [params[name] for name in _SETTINGS if params.get(name)]
    roles += [params["Target"]["RoleArn"]] if params.get("Target", {}).get("RoleArn") else []
    monitor = (params.get("MonitoringScheduleConfig") or {}).get("MonitoringJobDefinition") or {}
    roles += [monitor["RoleArn"]] if monitor.get("RoleArn") else []
    roles += [each["ExecutionRole"] for each in settings if each.get("ExecutionRole")]
    return [Need("iam:PassRole", role, passes[0]) for role in roles]


# Service -> who gets the role, and which operations hand one over.
_PASSES: dict[str, tuple[str, tuple[str, ...]]] = {
    "sagemaker": ("sagemaker.amazonaws.com", ("Create", "Update", "Start")),
    "cloudformation": (
        "cloudformation.amazonaws.com",
        ("Create", "Update", "Delete", "Rollback", "ContinueUpdateRollback"),
    ),
    "events": ("events.amazonaws.com", ("Put",)),
    "scheduler": ("scheduler.amazonaws.com", ("Create", "Update")),
    "application-autoscaling": ("application-autoscaling.amazonaws.com", ("Register",)),
}


def _s3(operation: str, params: Params, place: Place) -> list[Need] | None:
    found = s3_needs(operation, params)
    return None if found is None else [Need(action, arn) for action, arn in found]


_RULES: dict[str, Callable[[str, Params, Place], list[Need] | None]] = {
    "application-autoscaling": _scaling,
    "budgets": _budgets,
    "ce": _ce,
    "cloudformation": _cloudformation,
    "cloudtrail": _table("cloudtrail", _CLOUDTRAIL),
    "cloudwatch": _table("cloudwatch", _CLOUDWATCH),
    "events": _table("events", _EVENTS),
    "iam": _table("iam", _IAM, {"CreateRole": "TagRole", "CreateUser": "TagUser", "CreatePolicy": "TagPolicy"}),
    "logs": _table("logs", _LOGS),
    "pricing": _table("pricing", _PRICING),
    "resourcegroupstaggingapi": _table("tag", _TAG),
    "s3": _s3,
    "scheduler": _scheduler,
    "sagemaker": _table("sagemaker", _SAGEMAKER, {"Create": "AddTags"}),
    "sagemaker-runtime": _table("sagemaker", _RUNTIME),
    "sns": _table("sns", _SNS, {"CreateTopic": "TagResource"}),
    "sqs": _sqs,
    "sts": _sts,
}
