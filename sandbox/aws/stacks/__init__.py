"""CloudFormation: a small stack engine that creates, changes, deletes and rolls back the resource types it knows.

It calls the account's own API over loopback with the credentials of the stack's role (or its caller), so that every
resource is authorised like any other request. What it does not know, it refuses: types, properties, functions and
request parameters. `kinds/` is the table of resource types; nothing here knows any particular template.
"""

from __future__ import annotations

from sandbox.aws.core import Cloud

from .api import responses
from .service import Stacks


def install(cloud: Cloud) -> None:
    """Answer CloudFormation's operations from here instead of moto. Call before the first request."""
    stacks = Stacks(cloud)
    cloud.responses["cloudformation"] = responses(stacks)
    cloud.tag_readers["cloudformation"] = stacks.tags_of
    cloud.on_stop(stacks.stop)
