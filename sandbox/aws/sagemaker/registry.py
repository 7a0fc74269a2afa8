"""The model registry: groups, and the versioned packages in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.aws.sagemaker.errors import ConflictException, ValidationException
from sandbox.aws.sagemaker.events import Events
from sandbox.aws.sagemaker.resources import Body, Record, Resources, listing, now, tag_map

GROUP = "model-package-group"
PACKAGE = "model-package"
MOST_PROPERTIES = 50

Identity = Callable[[], Body]
"""Who makes the current call, as `CreatedBy` and `LastModifiedBy` show it."""


class Registry:
    """All groups and packages of the account."""

    def __init__(self, resources: Resources, events: Events, identity: Identity) -> None:
        self._resources = resources
        self._events = events
        self._identity = identity

    def create_model_package_group(self, request: Body) -> Body:
        """CreateModelPackageGroup."""
        name = request["ModelPackageGroupName"]
        arn = self._resources.arn(GROUP, name)
        tags = tag_map(request.pop("Tags", None))
        body = {
            **request,
            "ModelPackageGroupArn": arn,
            "ModelPackageGroupStatus": "Completed",
            "CreationTime": now(),
            "CreatedBy": self._identity(),
            "LastVersion": 0,
        }
        with self._resources.lock:
            if self._resources.find(GROUP, name):
                raise ValidationException(f"Model Package Group already exists: {arn}")
            self._resources.add(Record(GROUP, name, arn, body, tags))
        return {"ModelPackageGroupArn": arn}

    def describe_model_package_group(self, request: Body) -> Body:
        """DescribeModelPackageGroup."""
        return dict(self._group(request["ModelPackageGroupName"]).body)

    def list_model_package_groups(self, request: Body) -> Body:
        """ListModelPackageGroups."""
        sort = {"Name": "ModelPackageGroupName"}
        records, token = listing(self._resources.all(GROUP), request, sort=sort, order="Ascending")
        return {"ModelPackageGroupSummaryList": [record.body for record in records], "NextToken": token}

    def delete_model_package_group(self, request: Body) -> Body:
        """DeleteModelPackageGroup: only an empty group."""
        with self._resources.lock:
            group = self._group(request["ModelPackageGroupName"])
            if self._packages(group.name):
                raise ConflictException(f"Model Package Group {group.arn} still has model packages.")
            self._resources.remove(group)
        return {}

    def create_model_package(self, request: Body) -> Body:
        """CreateModelPackage: a new version in an existing group."""
        if "ModelPackageGroupName" not in request:
            raise ValidationException("ModelPackageGroupName must be given: unversioned packages do not exist here.")
        tags = tag_map(request.pop("Tags", None))
        request.pop("ClientToken", None)
        moment, author = now(), self._identity()
        with self._resources.lock:
            group = self._group(request["ModelPackageGroupName"])
            version = group.body["LastVersion"] = group.body["LastVersion"] + 1
            name = f"{group.name}/{version}"
            body: Body = {
                "ModelApprovalStatus": "PendingManualApproval",
                **request,
                "ModelPackageGroupName": group.name,
                "ModelPackageVersion": version,
                "ModelPackageArn": self._resources.arn(PACKAGE, name),
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
                "CreationTime": moment,
                "CreatedBy": author,
                "LastModifiedTime": moment,
                "LastModifiedBy": author,
            }
            self._resources.add(Record(PACKAGE, name, body["ModelPackageArn"], body, tags))
            self._events.model_package(body)
        return {"ModelPackageArn": body["ModelPackageArn"]}

    def describe_model_package(self, request: Body) -> Body:
        """DescribeModelPackage, by ARN or `group/version`."""
        return dict(self.package(request["ModelPackageName"]).body)

    def list_model_packages(self, request: Body) -> Body:
        """ListModelPackages of a group (or of all)."""
        if group := request.get("ModelPackageGroupName"):
            packages = self._packages(self._group(group).name)
        else:
            packages = self._resources.all(PACKAGE)
        wanted = request.get("ModelApprovalStatus")
        packages = [each for each in packages if wanted in (None, each.body["ModelApprovalStatus"])]
        records, token = listing(packages, request, order="Ascending")
        return {"ModelPackageSummaryList": [record.body for record in records], "NextToken": token}

    def update_model_package(self, request: Body) -> Body:
        """UpdateModelPackage; `CustomerMetadataProperties` are merged into those that are there."""
        arn = request.pop("ModelPackageArn")
        removed = request.pop("CustomerMetadataPropertiesToRemove", None) or []
        request.pop("ClientToken", None)
        with self._resources.lock:
            package = self.package(arn)
            body, changes = package.body, dict(request)
            if removed or "CustomerMetadataProperties" in changes:
                added = changes.get("CustomerMetadataProperties")
                changes["CustomerMetadataProperties"] = _merged(body, added, removed)
            if "AdditionalInferenceSpecificationsToAdd" in changes:
                more = changes.pop("AdditionalInferenceSpecificationsToAdd")
                changes["AdditionalInferenceSpecifications"] = [
                    *body.get("AdditionalInferenceSpecifications", ()),
                    *more,
                ]
            updated = [key for key, value in changes.items() if body.get(key) != value]
            body |= {**changes, "LastModifiedTime": now(), "LastModifiedBy": self._identity()}
            self._events.model_package(body, updated)
        return {"ModelPackageArn": arn}

    def delete_model_package(self, request: Body) -> Body:
        """DeleteModelPackage. The version's number is not given again."""
        with self._resources.lock:
            package = self.package(request["ModelPackageName"])
            self._resources.remove(package)
            self._events.model_package({**package.body, "ModelPackageStatus": "Deleting"})
        return {}

    def package(self, name: str) -> Record:
        """A package by ARN or `group/version`.

        Raises `ValidationException` when there is none.
        """
        record = self._resources.find(PACKAGE, name)
        if record is None:
            arn = name if name.startswith("arn:") else self._resources.arn(PACKAGE, name)
            raise ValidationException(f"ModelPackage {arn} does not exist.")
        return record

    def _group(self, name: str) -> Record:
        record = self._resources.find(GROUP, name)
        if record is None:
            raise ValidationException(f"ModelPackageGroup {self._resources.arn(GROUP, name)} does not exist.")
        return record

    def _packages(self, group: str) -> list[Record]:
        return [each for each in self._resources.all(PACKAGE) if each.body["ModelPackageGroupName"] == group]


def _merged(body: Mapping[str, Any], added: Mapping[str, str] | None, removed: list[str]) -> dict[str, str]:
    merged = {**body.get("CustomerMetadataProperties", {}), **(added or {})}
    for key in removed:
        merged.pop(key, None)
    if len(merged) > MOST_PROPERTIES:
        raise ValidationException(f"A model package has at most {MOST_PROPERTIES} customer metadata properties.")
    return merged
