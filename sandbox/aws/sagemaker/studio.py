"""Studio as the account remembers it: domains, user profiles, lifecycle configurations. What runs there: apps.py."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.aws.sagemaker.errors import ResourceInUse, ResourceNotFound, UnknownOperation, ValidationException
from sandbox.aws.sagemaker.resources import Body, Record, Resources, listing, now, tag_map

_OF_DOMAIN = ("DomainArn", "DomainId", "DomainName", "Status", "CreationTime", "LastModifiedTime", "Url")
_OF_PROFILE = ("DomainId", "UserProfileName", "Status", "CreationTime", "LastModifiedTime")
_OF_CONFIG = (
    "StudioLifecycleConfigArn", "StudioLifecycleConfigName", "CreationTime", "LastModifiedTime",
    "StudioLifecycleConfigAppType",
)  # fmt: skip


class Studio:
    """Domains and what belongs to them. `check_role(arn, source_identity)` refuses a role that Studio cannot take."""

    def __init__(self, resources: Resources, check_role: Callable[[str, str | None], None]) -> None:
        self._resources = resources
        self._check_role = check_role

    # --- domains ---------------------------------------------------------------------------------------------------

    def create_domain(self, request: Body) -> Body:
        """CreateDomain. It is in service at once: there is no network to be laid."""
        self._check_network(request)
        self._check_settings(request["DefaultUserSettings"], _identity(request, "default-settings"))
        with self._resources.lock:
            if any(record.body["DomainName"] == request["DomainName"] for record in self._resources.all("domain")):
                raise ResourceInUse(f"Domain with name {request['DomainName']} already exists.")
            id = f"d-{secrets.token_hex(6)}"
            url = f"https://{id}.studio.{self._resources.region}.sagemaker.aws"
            arn = self._resources.arn("domain", id)
            self._add("domain", id, request, {"DomainArn": arn, "DomainId": id, "Url": url, "Status": "InService"})
        return {"DomainArn": arn, "DomainId": id, "Url": url}

    def describe_domain(self, request: Body) -> Body:
        """DescribeDomain."""
        return self._domain(request).body

    def list_domains(self, request: Body) -> Body:
        """ListDomains."""
        found, token = listing(self._resources.all("domain"), request)
        return {"Domains": [_part(record.body, _OF_DOMAIN) for record in found], "NextToken": token}

    def update_domain(self, request: Body) -> Body:
        """UpdateDomain."""
        record = self._domain(request)
        changes = {name: value for name, value in request.items() if name != "DomainId"}
        if settings := changes.pop("DomainSettingsForUpdate", None):
            changes["DomainSettings"] = {**record.body.get("DomainSettings", {}), **settings}
        wanted = {**record.body, **changes}
        self._check_network(wanted)
        self._check_settings(wanted["DefaultUserSettings"], _identity(wanted, "default-settings"))
        self._change(record, changes)
        return {"DomainArn": record.arn}

    def delete_domain(self, request: Body) -> Body:
        """DeleteDomain. Its user profiles must be gone."""
        record = self._domain(request)
        with self._resources.lock:
            if any(profile.body["DomainId"] == record.name for profile in self._resources.all("user-profile")):
                raise ResourceInUse(f"Unable to delete Domain {record.name}: it has UserProfiles, delete them first.")
            self._resources.remove(record)
        return {}

    # --- user profiles ---------------------------------------------------------------------------------------------

    def create_user_profile(self, request: Body) -> Body:
        """CreateUserProfile."""
        domain, name = self._domain(request), request["UserProfileName"]
        self._check_settings(request.get("UserSettings") or {}, _identity(domain.body, name))
        with self._resources.lock:
            full = f"{domain.name}/{name}"
            if self._resources.find("user-profile", full) is not None:
                raise ResourceInUse(f"UserProfile with name {name} already exists in Domain {domain.name}.")
            arn = self._resources.arn("user-profile", full)
            self._add("user-profile", full, request, {"UserProfileArn": arn, "Status": "InService"})
        return {"UserProfileArn": arn}

    def describe_user_profile(self, request: Body) -> Body:
        """DescribeUserProfile."""
        return self._profile(request).body

    def list_user_profiles(self, request: Body) -> Body:
        """ListUserProfiles."""
        part, domain = request.get("UserProfileNameContains") or "", request.get("DomainIdEquals")
        wanted = [
            record
            for record in self._resources.all("user-profile")
            if domain in (None, record.body["DomainId"]) and part.lower() in record.body["UserProfileName"].lower()
        ]
        found, token = listing(wanted, request)
        return {"UserProfiles": [_part(record.body, _OF_PROFILE) for record in found], "NextToken": token}

    def update_user_profile(self, request: Body) -> Body:
        """UpdateUserProfile: the settings given replace those of the same name."""
        record, domain = self._profile(request), self._domain(request)
        settings = {**record.body.get("UserSettings", {}), **(request.get("UserSettings") or {})}
        self._check_settings(settings, _identity(domain.body, record.body["UserProfileName"]))
        self._change(record, {"UserSettings": settings})
        return {"UserProfileArn": record.arn}

    def delete_user_profile(self, request: Body) -> Body:
        """DeleteUserProfile."""
        with self._resources.lock:
            record, apps = self._profile(request), self._resources.all("app")
            running = [each.body for each in apps if each.body["Status"] == "InService"]
            mine = (record.body["DomainId"], record.body["UserProfileName"])
            if any((each["DomainId"], each.get("UserProfileName")) == mine for each in running):
                raise ResourceInUse(f"Unable to delete UserProfile {mine[1]} because it has Apps InService.")
            self._resources.remove(record)
        return {}

    def create_presigned_domain_url(self, request: Body) -> Body:
        """CreatePresignedDomainUrl: refused in words, as there is nothing behind such an address here."""
        self._profile(request)
        raise UnknownOperation(
            "Studio's apps run on AWS only. The local AWS keeps the domain, its profiles and its lifecycle "
            "configurations, but has no JupyterLab to open."
        )

    # --- lifecycle configurations ----------------------------------------------------------------------------------

    def create_studio_lifecycle_config(self, request: Body) -> Body:
        """CreateStudioLifecycleConfig."""
        kind, name = "studio-lifecycle-config", request["StudioLifecycleConfigName"]
        with self._resources.lock:
            if self._resources.find(kind, name) is not None:
                raise ResourceInUse(f"StudioLifecycleConfig with name {name} already exists.")
            arn = self._resources.arn(kind, name)
            self._add(kind, name, request, {"StudioLifecycleConfigArn": arn})
        return {"StudioLifecycleConfigArn": arn}

    def describe_studio_lifecycle_config(self, request: Body) -> Body:
        """DescribeStudioLifecycleConfig."""
        return self._config(request["StudioLifecycleConfigName"]).body

    def list_studio_lifecycle_configs(self, request: Body) -> Body:
        """ListStudioLifecycleConfigs."""
        found, token = listing(self._resources.all("studio-lifecycle-config"), request)
        return {"StudioLifecycleConfigs": [_part(record.body, _OF_CONFIG) for record in found], "NextToken": token}

    def delete_studio_lifecycle_config(self, request: Body) -> Body:
        """DeleteStudioLifecycleConfig. A domain that uses it keeps it."""
        with self._resources.lock:
            record = self._config(request["StudioLifecycleConfigName"])
            for domain in self._resources.all("domain"):
                if record.arn in _configs(domain.body["DefaultUserSettings"]):
                    raise ResourceInUse(f"StudioLifecycleConfig {record.name} is used by Domain {domain.name}.")
            self._resources.remove(record)
        return {}

    # --- small parts -----------------------------------------------------------------------------------------------

    def _check_network(self, wanted: Mapping[str, Any]) -> None:
        if not wanted.get("VpcId") or not wanted.get("SubnetIds"):
            raise ValidationException("VpcId and SubnetIds are required to create a Domain.")
        groups = wanted["DefaultUserSettings"].get("SecurityGroups")
        if wanted.get("AppNetworkAccessType") == "VpcOnly" and not groups:
            raise ValidationException("SecurityGroups are required when AppNetworkAccessType is VpcOnly.")

    def _check_settings(self, settings: Mapping[str, Any], identity: str | None) -> None:
        if settings.get("ExecutionRole"):
            self._check_role(settings["ExecutionRole"], identity)
        for arn in _configs(settings):
            self._config(arn)

    def _domain(self, request: Body) -> Record:
        return self._known("domain", request["DomainId"], f"Domain {request['DomainId']} does not exist.")

    def _profile(self, request: Body) -> Record:
        domain, name = request["DomainId"], request["UserProfileName"]
        return self._known("user-profile", f"{domain}/{name}", f"UserProfile {name} does not exist in {domain}.")

    def _config(self, name_or_arn: str) -> Record:
        return self._known(
            "studio-lifecycle-config", name_or_arn, f"StudioLifecycleConfig {name_or_arn} does not exist."
        )

    def _known(self, kind: str, name: str, missing: str) -> Record:
        record = self._resources.find(kind, name)
        if record is None:
            raise ResourceNotFound(missing)
        return record

    def _add(self, kind: str, name: str, request: Body, made: Body) -> None:
        asked = {key: value for key, value in request.items() if key != "Tags"}
        body = {**asked, **made, "CreationTime": now(), "LastModifiedTime": now()}
        self._resources.add(Record(kind, name, self._resources.arn(kind, name), body, tag_map(request.get("Tags"))))

    def _change(self, record: Record, changes: Body) -> None:
        with self._resources.lock:
            record.body = {**record.body, **changes, "LastModifiedTime": now()}


def _identity(domain: Mapping[str, Any], profile: str) -> str | None:
    """The SourceIdentity of a profile's sessions, when the domain asks for one."""
    wanted = (domain.get("DomainSettings") or {}).get("ExecutionRoleIdentityConfig") == "USER_PROFILE_NAME"
    return profile if wanted else None


def _configs(settings: Mapping[str, Any]) -> set[str]:
    """ARNs of the lifecycle configurations that JupyterLab starts with."""
    lab = settings.get("JupyterLabAppSettings") or {}
    default = (lab.get("DefaultResourceSpec") or {}).get("LifecycleConfigArn")
    return {*(lab.get("LifecycleConfigArns") or []), *([default] if default else [])}


def _part(body: Body, names: tuple[str, ...]) -> Body:
    return {name: body[name] for name in names if name in body}
