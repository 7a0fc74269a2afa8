"""CloudFormation's operations as moto dispatches them: requests read, answers given."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.exceptions import ClientError
from moto.core.responses import ActionResult, BaseResponse, EmptyResult

from . import described
from .errors import ValidationError
from .parameters import summary
from .service import Stacks
from .stack import GONE, Stack, Wanted
from .template import MAX_BODY, Template, parse

PAGE = 100
"""Entries an answer holds before it gives a NextToken."""

_COMMON = ("StackName", "TemplateBody", "TemplateURL", "Parameters", "Capabilities", "RoleARN", "Tags")
_VIRTUAL_HOST = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9.-]+)\.s3[.-][a-z0-9.-]*amazonaws\.com")


class CloudFormation(BaseResponse):
    """One request. `stacks` is set on the subclass `responses` makes."""

    stacks: Stacks

    def __init__(self) -> None:
        super().__init__(service_name="cloudformation")
        self.automated_parameter_parsing = True

    def create_stack(self) -> ActionResult:
        """CreateStack."""
        self._only(*_COMMON, "DisableRollback", "OnFailure", "ClientRequestToken")
        on_failure = self.params.get("OnFailure", "ROLLBACK")
        if self.params.get("DisableRollback"):
            if "OnFailure" in self.params:
                raise ValidationError("You can specify either DisableRollback or OnFailure, but not both.")
            on_failure = "DO_NOTHING"
        name, token = self.params["StackName"], self.params.get("ClientRequestToken")
        stack = self.stacks.create(name, self._wanted(None), on_failure, token, self._caller())
        return ActionResult({"StackId": stack.id})

    def update_stack(self) -> ActionResult:
        """UpdateStack."""
        self._only(*_COMMON, "UsePreviousTemplate", "DisableRollback", "ClientRequestToken")
        stack = self.stacks.get(self.params["StackName"], "Stack [{}] does not exist")
        keep, token = bool(self.params.get("DisableRollback")), self.params.get("ClientRequestToken")
        self.stacks.update(stack, self._wanted(stack), keep=keep, token=token, caller=self._caller())
        return ActionResult({"StackId": stack.id})

    def delete_stack(self) -> ActionResult:
        """DeleteStack; a stack that is not there is deleted already."""
        self._only("StackName", "RetainResources", "RoleARN", "ClientRequestToken")
        stack = self.stacks.find(self.params["StackName"])
        if stack is not None:
            retain, role = self.params.get("RetainResources", []), self.params.get("RoleARN")
            self.stacks.delete(stack, retain, role, self.params.get("ClientRequestToken"), self._caller())
        return EmptyResult()

    def rollback_stack(self) -> ActionResult:
        """RollbackStack."""
        self._only("StackName", "RoleARN", "ClientRequestToken")
        stack = self.stacks.get(self.params["StackName"], "Stack [{}] does not exist")
        self.stacks.roll_back(stack, self.params.get("RoleARN"), self.params.get("ClientRequestToken"), self._caller())
        return ActionResult({"StackId": stack.id})

    def continue_update_rollback(self) -> ActionResult:
        """ContinueUpdateRollback."""
        self.rollback_stack()
        return EmptyResult()

    def describe_stacks(self) -> ActionResult:
        """DescribeStacks."""
        name = self.params.get("StackName")
        found = [self.stacks.get(name)] if name else self._living()
        return self._page("Stacks", [described.stack(stack) for stack in found])

    def list_stacks(self) -> ActionResult:
        """ListStacks."""
        statuses = self.params.get("StackStatusFilter") or ()
        found = [stack for stack in self.stacks.by_id.values() if not statuses or stack.status in statuses]
        return self._page("StackSummaries", [described.summary(stack) for stack in reversed(found)])

    def describe_stack_events(self) -> ActionResult:
        """DescribeStackEvents, newest first."""
        stack = self.stacks.get(self.params["StackName"], "Stack [{}] does not exist")
        return self._page("StackEvents", [described.event(stack, happened) for happened in reversed(stack.events)])

    def describe_stack_resources(self) -> ActionResult:
        """DescribeStackResources."""
        self._only("StackName", "LogicalResourceId")
        stack = self.stacks.get(self.params.get("StackName", ""))
        only = self.params.get("LogicalResourceId")
        found = [had for had in list(stack.resources.values()) if only in (None, had.logical)]
        if only and not found:
            raise ValidationError(f"Resource {only} does not exist for stack {stack.name}")
        return ActionResult({"StackResources": [described.resource(stack, had) for had in found]})

    def list_stack_resources(self) -> ActionResult:
        """ListStackResources."""
        stack = self.stacks.get(self.params["StackName"])
        found = [described.resource_summary(stack, had) for had in list(stack.resources.values())]
        return self._page("StackResourceSummaries", found)

    def get_template(self) -> ActionResult:
        """GetTemplate, as it was submitted."""
        stack_name, change_set = self.params.get("StackName"), self.params.get("ChangeSetName")
        if change_set:
            body = self.stacks.change_set(change_set, stack_name)[1].wanted.template.body
        else:
            body = self.stacks.get(stack_name or "").definition.template.body
        return ActionResult({"TemplateBody": body, "StagesAvailable": ["Original"]})

    def validate_template(self) -> ActionResult:
        """ValidateTemplate."""
        template = self._template(None)
        return ActionResult(
            {
                "Description": template.description,
                "Parameters": summary(template.parameters),
                "Capabilities": template.capabilities,
            }
        )

    def create_change_set(self) -> ActionResult:
        """CreateChangeSet; it is ready at once."""
        extra = ("UsePreviousTemplate", "ChangeSetName", "ChangeSetType", "Description", "ClientToken")
        self._only(*_COMMON, *extra)
        kind = self.params.get("ChangeSetType", "UPDATE")
        if kind not in ("CREATE", "UPDATE"):
            raise ValidationError(f"ChangeSetType {kind} is not supported by this account")
        name = self.params["StackName"]
        old = self.stacks.find(name) if kind == "UPDATE" else None
        wanted, words = self._wanted(old), self.params.get("Description", "")
        stack, made = self.stacks.preview(name, self.params["ChangeSetName"], kind, wanted, words)
        return ActionResult({"Id": made.id, "StackId": stack.id})

    def describe_change_set(self) -> ActionResult:
        """DescribeChangeSet."""
        return ActionResult(described.change_set(*self._change_set()))

    def list_change_sets(self) -> ActionResult:
        """ListChangeSets."""
        stack = self.stacks.get(self.params["StackName"], "Stack [{}] does not exist")
        return self._page(
            "Summaries", [described.change_set_summary(stack, made) for made in stack.change_sets.values()]
        )

    def execute_change_set(self) -> ActionResult:
        """ExecuteChangeSet."""
        self._only("ChangeSetName", "StackName", "DisableRollback", "ClientRequestToken")
        keep, token = bool(self.params.get("DisableRollback")), self.params.get("ClientRequestToken")
        stack, made = self._change_set()
        self.stacks.execute(stack, made, keep=keep, token=token, caller=self._caller())
        return EmptyResult()

    def delete_change_set(self) -> ActionResult:
        """DeleteChangeSet."""
        stack, made = self._change_set()
        stack.change_sets.pop(made.name, None)
        return EmptyResult()

    def _change_set(self) -> Any:
        return self.stacks.change_set(self.params["ChangeSetName"], self.params.get("StackName"))

    def _living(self) -> list[Stack]:
        return [stack for stack in reversed(list(self.stacks.by_id.values())) if stack.status != GONE]

    def _caller(self) -> dict[str, str]:
        return self.stacks.cloud.caller().credentials()

    def _only(self, *known: str) -> None:
        """Refuse what the engine would not honour, rather than ignore it."""
        unknown = [
            name for name, value in self.params.items() if name not in known and value not in (None, [], {}, False)
        ]
        if unknown:
            raise ValidationError(
                f"Parameters not supported by this account's CloudFormation: {', '.join(sorted(unknown))}"
            )

    def _wanted(self, old: Stack | None) -> Wanted:
        template = self._template(old)
        tags = {tag["Key"]: tag["Value"] for tag in self.params.get("Tags") or []}
        if old is not None and "Tags" not in self.params:
            tags = dict(old.definition.tags)
        role = self.params.get("RoleARN") or (old.definition.role_arn if old else None)
        given, acknowledged = self.params.get("Parameters") or [], self.params.get("Capabilities") or []
        return self.stacks.wanted(template, given, tags, role, acknowledged, old)

    def _template(self, old: Stack | None) -> Template:
        body, url = self.params.get("TemplateBody"), self.params.get("TemplateURL")
        previous = bool(self.params.get("UsePreviousTemplate"))
        if sum(bool(source) for source in (body, url, previous)) != 1:
            raise ValidationError("Exactly one of TemplateBody, TemplateURL and UsePreviousTemplate must be specified.")
        if previous:
            if old is None:
                raise ValidationError("UsePreviousTemplate needs an existing stack.")
            return old.definition.template
        if body and len(body.encode()) > MAX_BODY:
            raise ValidationError(f"1 validation error detected: templateBody is longer than {MAX_BODY} bytes")
        return parse(body or self._fetch(url or ""))

    def _fetch(self, url: str) -> str:
        """The template behind an S3 URL, read with the caller's own rights."""
        cloud = self.stacks.cloud
        bucket, key, version = _place(url, cloud.endpoint_url)
        client = cloud.client("s3", self._caller())
        try:
            found = client.get_object(Bucket=bucket, Key=key, **({"VersionId": version} if version else {}))
        except ClientError as refusal:
            raise ValidationError(f"S3 error: {refusal.response['Error'].get('Message', '')}") from None
        return str(found["Body"].read().decode())

    def _page(self, name: str, entries: Iterable[Any]) -> ActionResult:
        every = list(entries)
        token = self.params.get("NextToken") or "0"
        if not token.isdigit():
            raise ValidationError("The NextToken is not one of this account's.")
        end = int(token) + PAGE
        return ActionResult({name: every[int(token) : end], "NextToken": str(end) if end < len(every) else None})


def _place(url: str, endpoint: str) -> tuple[str, str, str | None]:
    """(bucket, key, version) of an S3 URL in virtual-hosted or path style."""
    parts = urlsplit(url)
    host, path = parts.hostname or "", unquote(parts.path.lstrip("/"))
    version = parse_qs(parts.query).get("versionId", [None])[0]
    if found := _VIRTUAL_HOST.fullmatch(host):
        return found["bucket"], path, version
    own = parts.netloc == urlsplit(endpoint).netloc
    if (own or re.fullmatch(r"s3[.-][a-z0-9.-]*amazonaws\.com|s3\.amazonaws\.com", host)) and "/" in path:
        bucket, key = path.split("/", 1)
        return bucket, key, version
    raise ValidationError("TemplateURL must be a supported URL.")


def responses(stacks: Stacks) -> type[CloudFormation]:
    """The response class for one account's stacks."""
    return type("CloudFormationOfAccount", (CloudFormation,), {"stacks": stacks})
