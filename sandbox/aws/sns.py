"""SNS to SQS as AWS delivers it: only where the queue's policy lets the topic, wrapped unless it is to come raw.
And services to SNS, where the topic's policy lets them.

moto keeps topics and subscriptions; it sends past queue policies and takes the word "false" for raw delivery.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from moto.sns.models import sns_backends

from sandbox.aws.authorize import resource_policies
from sandbox.aws.eventbridge import to_queue
from sandbox.aws.policy import decide
from sandbox.aws.statements import Request, Who

if TYPE_CHECKING:
    from sandbox.aws.core import Cloud

log = logging.getLogger(__name__)
SERVICE = "sns.amazonaws.com"


def deliver(cloud: Cloud, subscription: Any, message: str, message_id: str, subject: str | None) -> None:
    """One notification to the queue of a subscription; what it does not take goes to the dead-letter queue."""
    if subscription.protocol != "sqs":
        raise NotImplementedError(f"the local AWS delivers notifications to queues, not by {subscription.protocol}")
    settings, topic = subscription.attributes, subscription.topic.arn
    raw = settings.get("RawMessageDelivery") == "true"
    text = message if raw else json.dumps(subscription.get_post_data(message, message_id, subject), indent=2)
    try:
        to_queue(cloud, SERVICE, topic, subscription.endpoint, text)
    except (LookupError, PermissionError) as error:
        dead = json.loads(settings.get("RedrivePolicy") or "{}").get("deadLetterTargetArn")
        log.warning("%s cannot deliver: %s", topic, error)
        if dead:
            to_queue(cloud, SERVICE, topic, dead, text)


def to_topic(cloud: Cloud, service: str, source: str, topic: str, text: str, subject: str) -> None:
    """Publish as a service does for one of its resources (`source`: a budget), where the topic's policy lets it.

    A topic that is not there or does not let the service hears nothing, as on AWS, which tells nobody either.
    """
    topics = sns_backends[cloud.account][cloud.region].topics
    keys = {"aws:sourcearn": (source,), "aws:sourceaccount": (cloud.account,), "aws:securetransport": ("true",)}
    request = Request("sns:Publish", topic, keys, Who(cloud.account, topic, service=service))
    if topic not in topics:
        log.warning("%s of %s cannot publish: there is no topic %s", source, service, topic)
    elif not decide(request, resource=resource_policies(cloud, topic)).allowed:
        log.warning("%s of %s cannot publish: the policy of %s does not let it", source, service, topic)
    else:
        topics[topic].publish(text, subject=subject)
