"""Stacks, resources, events and change sets in the forms of CloudFormation's answers."""

from __future__ import annotations

from typing import Any

from .kinds.kind import tag_list
from .parameters import shown
from .stack import ChangeSet, Event, Resource, Stack


def stack(item: Stack) -> dict[str, Any]:
    """DescribeStacks."""
    wanted = item.definition
    return {
        "StackId": item.id,
        "StackName": item.name,
        "Description": wanted.template.description or None,
        "Parameters": shown(wanted.template.parameters, wanted.parameters),
        "CreationTime": item.created,
        "LastUpdatedTime": item.updated,
        "DeletionTime": item.deleted,
        "StackStatus": item.status,
        "StackStatusReason": item.reason or None,
        "DisableRollback": item.on_failure == "DO_NOTHING",
        "Capabilities": wanted.template.capabilities,
        "Outputs": item.outputs,
        "RoleARN": wanted.role_arn,
        "Tags": tag_list(wanted.tags),
        "EnableTerminationProtection": False,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def summary(item: Stack) -> dict[str, Any]:
    """ListStacks."""
    full = stack(item)
    names = ("StackId", "StackName", "CreationTime", "LastUpdatedTime", "DeletionTime", "StackStatus")
    return {name: full[name] for name in (*names, "StackStatusReason", "DriftInformation")}


def resource(item: Stack, had: Resource) -> dict[str, Any]:
    """DescribeStackResources."""
    return {
        "StackName": item.name,
        "StackId": item.id,
        "LogicalResourceId": had.logical,
        "PhysicalResourceId": had.physical,
        "ResourceType": had.type,
        "Timestamp": had.at,
        "ResourceStatus": had.status,
        "ResourceStatusReason": had.reason or None,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def resource_summary(item: Stack, had: Resource) -> dict[str, Any]:
    """ListStackResources."""
    full = resource(item, had)
    full["LastUpdatedTimestamp"] = full.pop("Timestamp")
    return {name: value for name, value in full.items() if name not in ("StackName", "StackId")}


def event(item: Stack, happened: Event) -> dict[str, Any]:
    """DescribeStackEvents."""
    return {
        "StackId": item.id,
        "EventId": happened.id,
        "StackName": item.name,
        "LogicalResourceId": happened.logical,
        "PhysicalResourceId": happened.physical,
        "ResourceType": happened.type,
        "Timestamp": happened.at,
        "ResourceStatus": happened.status,
        "ResourceStatusReason": happened.reason or None,
        "ClientRequestToken": happened.token,
    }


def change_set(item: Stack, made: ChangeSet) -> dict[str, Any]:
    """DescribeChangeSet."""
    template, wanted = made.wanted.template, made.wanted
    return {
        **change_set_summary(item, made),
        "Parameters": shown(template.parameters, wanted.parameters),
        "Capabilities": template.capabilities,
        "Tags": tag_list(wanted.tags),
        "Changes": [change.described() for change in made.changes],
    }


def change_set_summary(item: Stack, made: ChangeSet) -> dict[str, Any]:
    """ListChangeSets."""
    return {
        "StackId": item.id,
        "StackName": item.name,
        "ChangeSetId": made.id,
        "ChangeSetName": made.name,
        "Description": made.description or None,
        "CreationTime": made.created,
        "ExecutionStatus": made.execution,
        "Status": made.status,
        "StatusReason": made.reason or None,
    }
