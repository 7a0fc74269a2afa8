"""The one place where moto's insides are changed. All of them are internal to moto 5.2.5, which is pinned.

`tests/sandbox/test_aws_core_seams.py` imports each name and compares its parameters, so that another moto fails
there, in one obvious place.
"""

from __future__ import annotations

import importlib
import inspect
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud
    from sandbox.aws.trail import Trail

MOTO = "5.2.5"


@dataclass(frozen=True)
class Seam:
    """A method of moto that is replaced or leaned on, with its parameters; `None` means only that it exists."""

    module: str
    name: str
    parameters: tuple[str, ...] | None = None

    def find(self) -> Any:
        """The object behind the name. Raises AttributeError or ImportError when moto no longer has it."""
        value: Any = importlib.import_module(self.module)
        for part in self.name.split("."):
            value = getattr(value, part)
        return value

    def replace(self, replacement: Any) -> None:
        """Put another function in this method's place."""
        owner, _, method = self.name.rpartition(".")
        setattr(Seam(self.module, owner).find(), method, replacement)

    def mismatch(self) -> str | None:
        """What differs from what this code was written for; None when nothing does."""
        found = self.find()
        if self.parameters is None:
            return None
        actual = tuple(inspect.signature(found).parameters)
        return None if actual == self.parameters else f"{self.module}.{self.name}{actual} is not {self.parameters}"


# In the order of `install`'s replacements.
REPLACED = (
    Seam(
        "moto.core.authorization",
        "ActionAuthenticatorMixin._authenticate_and_authorize_action",
        ("self", "iam_request_cls", "resource"),
    ),
    Seam("moto.s3.models", "FakeBucket.get_permission", ("self", "action", "resource")),
    Seam("moto.sts.responses", "TokenResponse.assume_role", ("self",)),
    Seam("moto.sts.responses", "TokenResponse.get_caller_identity", ("self",)),
    Seam("moto.events.models", "Rule.send_to_targets", ("self", "original_event", "transform_input")),
    Seam("moto.events.responses", "EventsHandler.put_events", ("self",)),
    Seam(
        "moto.sns.models",
        "Subscription.publish",
        (
            *("self", "message", "message_id", "subject", "message_attributes"),
            *("group_id", "deduplication_id", "message_structure"),
        ),
    ),
    Seam(
        "moto.sqs.models",
        "SQSBackend.send_message",
        (
            *("self", "queue_name", "message_body", "message_attributes", "delay_seconds", "deduplication_id"),
            *("group_id", "system_attributes", "validate_group_id"),
        ),
    ),
    Seam(
        "moto.sqs.models",
        "SQSBackend.receive_message",
        (
            *("self", "queue_name", "count", "wait_seconds_timeout", "visibility_timeout"),
            "message_attribute_names",
        ),
    ),
    Seam("moto.sqs.models", "SQSBackend.delete_message", ("self", "queue_name", "receipt_handle")),
    Seam(
        "moto.sqs.models",
        "SQSBackend.change_message_visibility",
        ("self", "queue_name", "receipt_handle", "visibility_timeout"),
    ),
    Seam("moto.sqs.models", "SQSBackend.set_queue_attributes", ("self", "queue_name", "attributes")),
    Seam("moto.cloudwatch.models", "CloudWatchBackend.put_metric_alarm"),
    Seam(
        "moto.cloudwatch.models",
        "CloudWatchBackend.set_alarm_state",
        ("self", "alarm_name", "reason", "reason_data", "state_value"),
    ),
    Seam("moto.cloudwatch.models", "CloudWatchBackend.put_metric_data", ("self", "namespace", "metric_data")),
    Seam("moto.cloudtrail.responses", "CloudTrailResponse.create_trail", ("self",)),
    Seam("moto.cloudtrail.responses", "CloudTrailResponse.update_trail", ("self",)),
    Seam("moto.s3.models", "S3Backend.put_object"),
    Seam(
        "moto.s3.models",
        "S3Backend.put_object_retention",
        ("self", "bucket_name", "key_name", "version_id", "retention"),
    ),
    Seam("moto.s3.models", "S3Backend.put_bucket_versioning", ("self", "bucket_name", "status")),
    Seam(
        "moto.s3.models",
        "S3Backend.put_object_lock_configuration",
        ("self", "bucket_name", "lock_enabled", "mode", "days", "years"),
    ),
)
# Operations that moto's response classes do not have.
ADDED = (
    Seam("moto.iam.responses", "IamResponse"),
    Seam("moto.cloudtrail.responses", "CloudTrailResponse"),
    Seam("moto.cloudwatch.responses", "CloudWatchResponse"),
)
USED = (
    Seam("moto.core.model", "OperationModel"),
    Seam("moto.core.parse", "PROTOCOL_PARSERS"),
    Seam("moto.core.request", "determine_request_protocol", ("service_model", "content_type")),
    Seam("moto.core.request", "Request.raw_path"),
    Seam("moto.core.routing", "get_service_router", ("service_name",)),
    Seam("moto.core.routing", "ServiceOperationRouter.match", ("self", "request")),
    Seam("moto.core.utils", "get_service_model", ("service_name",)),
    Seam("moto.core.responses", "ActionResult"),
    Seam("moto.iam.models", "iam_backends"),
    Seam("moto.iam.models", "IAMBackend.get_groups_for_user", ("self", "user_name")),
    Seam("moto.s3.models", "s3_backends"),
    Seam("moto.s3.models", "FakeBucket.has_default_lock"),
    Seam("moto.s3.models", "FakeBucket.default_retention", ("self",)),
    Seam("moto.s3.models", "FakeKey.is_locked", ("self", "governance_bypass")),
    Seam("moto.sqs.models", "sqs_backends"),
    Seam("moto.sqs.models", "Message.mark_received", ("self", "visibility_timeout")),
    Seam("moto.sqs.models", "_filter_message_attributes", ("message", "input_message_attributes")),
    Seam("moto.events.models", "EventsBackend.describe_event_bus", ("self", "name")),
    Seam("moto.sns.models", "sns_backends"),
    Seam("moto.sns.models", "Topic.policy"),
    Seam(
        "moto.sns.models",
        "Subscription.get_post_data",
        ("self", "message", "message_id", "subject", "message_attributes"),
    ),
    Seam("moto.events.models", "EventPattern.matches_event", ("self", "event")),
    Seam("moto.logs.models", "LogsBackend.put_log_events", ("self", "log_group_name", "log_stream_name", "log_events")),
    Seam("moto.moto_server.werkzeug_app", "DomainDispatcherApplication", ("create_app",)),
    Seam("moto.moto_server.werkzeug_app", "create_backend_app", ("service",)),
    Seam("moto.moto_server.werkzeug_app", "MotoRequestHandler.make_environ", ("self",)),
)


def install(cloud: Cloud, trail: Trail) -> None:
    """Put our decisions where moto made its own. Call once in a process, before the first request."""
    from moto.core.responses import ActionResult
    from moto.iam.access_control import PermissionResult

    from sandbox.aws import lock, queues, simulate, sns, sts
    from sandbox.aws.alarms import Alarms
    from sandbox.aws.cloudtrail import require_bucket
    from sandbox.aws.eventbridge import refuse_aws_sources
    from sandbox.aws.lookup import lookup

    def already_examined(self: Any, iam_request_cls: type, resource: str = "*") -> None:
        # The door decided. A request that came another way has no caller, and this raises.
        cloud.caller()

    def assume_role(self: Any) -> Any:
        return ActionResult(sts.assume_role(cloud, cloud.caller(), cloud.call().params, datetime.now(UTC)))

    def get_caller_identity(self: Any) -> Any:
        return ActionResult(sts.caller_identity(cloud.caller()))

    def bucket_policy_was_asked(self: Any, action: str, resource: str) -> Any:
        return PermissionResult.PERMITTED

    def simulate_principal_policy(self: Any) -> Any:
        return ActionResult(simulate.simulate_principal(cloud, cloud.call().params))

    def simulate_custom_policy(self: Any) -> Any:
        return ActionResult(simulate.simulate_custom(cloud, cloud.call().params))

    def lookup_events(self: Any) -> Any:
        return ActionResult(lookup(trail.path, cloud.call().params, datetime.now(UTC)))

    alarms = Alarms(cloud)

    def describe_alarm_history(self: Any) -> Any:
        return ActionResult(alarms.history(cloud.call().params))

    bus = cloud.events

    def send_to_targets(self: Any, original_event: Any, transform_input: bool = True) -> None:
        bus.send(self, original_event)

    def put_events(self: Any) -> str:
        allowed, refused = refuse_aws_sources(self._get_param("Entries"))
        answers = iter(self.events_backend.put_events(allowed))
        entries = [
            refused[place] if place in refused else next(answers) for place in range(len(allowed) + len(refused))
        ]
        return json.dumps({"FailedEntryCount": sum("ErrorCode" in entry for entry in entries), "Entries": entries})

    def notify(
        self: Any,
        message: str,
        message_id: str,
        subject: str | None = None,
        message_attributes: Any = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
        message_structure: str | None = None,
    ) -> None:
        if message_attributes or group_id or deduplication_id or message_structure:
            raise NotImplementedError("notifications with attributes, groups or a structure")
        sns.deliver(cloud, self, message, message_id, subject)

    def checked_trail(own: Any) -> Any:
        def answer(self: Any) -> Any:
            require_bucket(cloud, cloud.call().params)
            return own(self)

        return answer

    found = {seam.name: seam.find() for seam in REPLACED}
    messages = ("send_message", "receive_message", "delete_message", "change_message_visibility")
    replacements = (
        *(already_examined, bucket_policy_was_asked, assume_role, get_caller_identity, send_to_targets, put_events),
        notify,
        *queues.replacements(*(found[f"SQSBackend.{name}"] for name in (*messages, "set_queue_attributes"))),
        *alarms.replacements(
            *(found[f"CloudWatchBackend.{name}"] for name in ("put_metric_alarm", "set_alarm_state", "put_metric_data"))
        ),
        *(checked_trail(found[f"CloudTrailResponse.{name}"]) for name in ("create_trail", "update_trail")),
        *lock.replacements(found["S3Backend.put_object"], lambda: cloud.call().params),
    )
    for seam, replacement in zip(REPLACED, replacements, strict=True):
        seam.replace(replacement)
    iam, trails, watch = (seam.find() for seam in ADDED)
    for answer in (simulate_principal_policy, simulate_custom_policy):
        setattr(iam, answer.__name__, answer)
    trails.lookup_events = lookup_events
    watch.describe_alarm_history = describe_alarm_history
