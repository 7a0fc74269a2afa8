"""Studio's spaces and apps: that they exist and what they run on, so that they cost. There is no JupyterLab behind."""

from __future__ import annotations

from typing import Any

from sandbox.aws.sagemaker.errors import ResourceInUse, ResourceNotFound, ValidationException
from sandbox.aws.sagemaker.resources import Body, Record, Resources, listing, now, tag_map

APP, SPACE = "app", "space"
RUNNING = "InService"
_OF_SPACE = ("DomainId", "SpaceName", "Status", "CreationTime", "LastModifiedTime")
_OF_APP = ("DomainId", "UserProfileName", "SpaceName", "AppType", "AppName", "Status", "CreationTime", "ResourceSpec")
_DEFAULT = {"InstanceType": "ml.t3.medium"}


class Apps:
    """Spaces and the apps in them or in a user profile."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    # --- spaces ----------------------------------------------------------------------------------------------------

    def create_space(self, request: Body) -> Body:
        """CreateSpace."""
        domain, name = request["DomainId"], request["SpaceName"]
        self._known("domain", domain, f"Domain {domain} does not exist.")
        full = f"{domain}/{name}"
        with self._resources.lock:
            if self._resources.find(SPACE, full) is not None:
                raise ResourceInUse(f"Space with name {name} already exists in Domain {domain}.")
            arn = self._resources.arn(SPACE, full)
            self._add(SPACE, full, request, {"SpaceArn": arn, "Status": RUNNING})
        return {"SpaceArn": arn}

    def describe_space(self, request: Body) -> Body:
        """DescribeSpace."""
        return self._space(request).body

    def list_spaces(self, request: Body) -> Body:
        """ListSpaces."""
        part, domain = request.get("SpaceNameContains") or "", request.get("DomainIdEquals")
        wanted = [
            record
            for record in self._resources.all(SPACE)
            if domain in (None, record.body["DomainId"]) and part.lower() in record.body["SpaceName"].lower()
        ]
        found, token = listing(wanted, request)
        return {"Spaces": [_part(record.body, _OF_SPACE) for record in found], "NextToken": token}

    def delete_space(self, request: Body) -> Body:
        """DeleteSpace. Its apps must be gone."""
        with self._resources.lock:
            space = self._space(request)
            if any(app.body.get("SpaceName") == space.body["SpaceName"] for app in self._running(request["DomainId"])):
                raise ResourceInUse(f"Unable to delete Space {request['SpaceName']}: it has Apps InService.")
            self._resources.remove(space)
        return {}

    # --- apps ------------------------------------------------------------------------------------------------------

    def create_app(self, request: Body) -> Body:
        """CreateApp: it runs at once, and until it is deleted."""
        if request["AppType"] in ("JupyterLab", "CodeEditor") and "SpaceName" not in request:
            raise ValidationException(f"An app of type {request['AppType']} runs in a space: SpaceName is missing.")
        self._owner(request)
        full = _full(request)
        with self._resources.lock:
            had = self._resources.find(APP, full)
            if had is not None and had.body["Status"] == RUNNING:
                raise ResourceInUse(f"App {request['AppName']} of type {request['AppType']} already exists.")
            if had is not None:
                self._resources.remove(had)
            arn = self._resources.arn(APP, full)
            made = {"AppArn": arn, "Status": RUNNING, "ResourceSpec": {**_DEFAULT, **request.get("ResourceSpec", {})}}
            self._add(APP, full, request, made)
        return {"AppArn": arn}

    def describe_app(self, request: Body) -> Body:
        """DescribeApp; one that was deleted is remembered as such."""
        body = self._app(request).body
        return {**body, "LastUserActivityTimestamp": body["CreationTime"], "LastHealthCheckTimestamp": now()}

    def list_apps(self, request: Body) -> Body:
        """ListApps, also those that were deleted."""
        wanted = [
            record
            for record in self._resources.all(APP)
            if request.get("DomainIdEquals") in (None, record.body["DomainId"])
            and request.get("UserProfileNameEquals") in (None, record.body.get("UserProfileName"))
            and request.get("SpaceNameEquals") in (None, record.body.get("SpaceName"))
        ]
        found, token = listing(wanted, request)
        return {"Apps": [_part(record.body, _OF_APP) for record in found], "NextToken": token}

    def delete_app(self, request: Body) -> Body:
        """DeleteApp."""
        with self._resources.lock:
            app = self._app(request)
            if app.body["Status"] != RUNNING:
                raise ResourceNotFound(f"App {request['AppName']} does not exist.")
            app.body = {**app.body, "Status": "Deleted"}
        return {}

    # --- small parts -----------------------------------------------------------------------------------------------

    def _owner(self, request: Body) -> None:
        if ("SpaceName" in request) == ("UserProfileName" in request):
            raise ValidationException("Exactly one of UserProfileName and SpaceName must be given.")
        if "SpaceName" in request:
            self._space(request)
            return
        full = f"{request['DomainId']}/{request['UserProfileName']}"
        self._known("user-profile", full, f"UserProfile {request['UserProfileName']} does not exist.")

    def _running(self, domain: str) -> list[Record]:
        apps = self._resources.all(APP)
        return [app for app in apps if app.body["DomainId"] == domain and app.body["Status"] == RUNNING]

    def _space(self, request: Body) -> Record:
        full = f"{request['DomainId']}/{request['SpaceName']}"
        return self._known(SPACE, full, f"Space {request['SpaceName']} does not exist.")

    def _app(self, request: Body) -> Record:
        return self._known(APP, _full(request), f"App {request['AppName']} does not exist.")

    def _known(self, kind: str, name: str, missing: str) -> Record:
        record = self._resources.find(kind, name)
        if record is None:
            raise ResourceNotFound(missing)
        return record

    def _add(self, kind: str, name: str, request: Body, made: Body) -> None:
        asked = {key: value for key, value in request.items() if key != "Tags"}
        body = {**asked, **made, "CreationTime": now(), "LastModifiedTime": now()}
        self._resources.add(Record(kind, name, self._resources.arn(kind, name), body, tag_map(request.get("Tags"))))


def _full(request: Body) -> str:
    owner = request.get("SpaceName") or request.get("UserProfileName")
    return f"{request['DomainId']}/{owner}/{request['AppType']}/{request['AppName']}"


def _part(body: Body, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: body[name] for name in names if name in body}
