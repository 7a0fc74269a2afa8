"""Studio: the stack with its people, what a notebook's role may do, and a link that is kept nowhere."""

from __future__ import annotations

import argparse
import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cfnlint
import pytest
from slack_sdk.errors import SlackApiError
from sqlalchemy import Engine, text

from bot.runner import Case, Runner
from bot.slack import whisper as whispering
from bot.slack.whisper import whisper
from commands import studio as commands_studio
from commands.command import Context
from commands.reply import Link, Outcome
from iam.mapping import Access, load
from infra import studio
from infra.__main__ import _parser
from pipeline.errors import BadInput, Refused, Unavailable
from sandbox.aws.policy import decide
from sandbox.aws.sagemaker.errors import ResourceInUse, ResourceNotFound, UnknownOperation, ValidationException
from sandbox.aws.sagemaker.resources import Resources
from sandbox.aws.sagemaker.studio import Studio
from sandbox.aws.stacks.parameters import chosen
from sandbox.aws.stacks.plan import desired
from sandbox.aws.stacks.stack import Resource, Stack, Wanted
from sandbox.aws.stacks.template import parse as read
from sandbox.aws.statements import Request, Who, parse
from state import invocations
from state.invocations import Arrival
from tests.unit import test_bot_runner as runner_tests
from tests.unit import test_iam_roles as human
from tests.unit.fake_aws import FakeClient, refusal

ACCOUNT = human.ACCOUNT
ACCESS = Access(
    "an ML engineer",
    {("T0GC", "U0DS1"): "data-scientist", ("T0GC", "U0ML1"): "ml-engineer", ("T0GC", "U0STK"): "stakeholder"},
)
ME, OTHER = ("T0GC.U0DS1",), ("T0GC.U0DS2",)
URL = "https://d-1.studio.us-east-1.sagemaker.aws/auth?token=eyJ0b3BzZWNyZXQ"


# ---------------------------------------------------------------- the stack


def options(tmp_path: Path, *more: str) -> argparse.Namespace:
    access = tmp_path / "access.yaml"
    access.write_text("contact: me\nteams: {T0GC: {data-scientist: [U0DS1], ml-engineer: [U0ML1], stakeholder: [U0S]}}")
    return _parser().parse_args(
        ["studio", "--access", str(access), "--vpc", "vpc-1", "--subnets", "subnet-1,subnet-2", *more]
    )


def resolved(body: str, parameters: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Properties of every resource by its logical id, references between them by their ARNs."""
    template = read(body)
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    wanted = Wanted(template, chosen(template.parameters, given, {}), {}, None)
    stack = Stack("groundcrew-studio", "id", ACCOUNT, "us-east-1", wanted)
    found = {}
    for logical, declared in template.resources.items():
        properties = desired(stack, wanted, logical)
        name = properties.get("RoleName") or properties.get("ManagedPolicyName") or logical
        kind = "role" if "RoleName" in properties else "policy"
        arn = f"arn:aws:iam::{ACCOUNT}:{kind}/{name}"
        attributes = {"Arn": arn, "DomainId": "d-1", "StudioLifecycleConfigArn": "arn:config"}
        stack.resources[logical] = Resource(
            logical, declared.type, arn, properties, True, declared.needs, "Delete", attributes
        )
        found[logical] = properties
    return found


def test_each_person_with_notebooks_gets_a_profile_and_nobody_else(tmp_path: Path) -> None:
    (file,) = studio.stacks(options(tmp_path))
    found = resolved(file.request()["TemplateBody"], file.parameters)
    profiles = {name: item for name, item in found.items() if name.startswith("Profile")}
    assert set(profiles) == {"ProfileT0GCU0DS1", "ProfileT0GCU0ML1"}
    mine = profiles["ProfileT0GCU0DS1"]
    assert mine["UserProfileName"] == "T0GC-U0DS1"
    assert mine["UserSettings"]["ExecutionRole"].endswith("role/groundcrew-studio-data-scientist")
    assert {"Key": "SlackUser", "Value": "T0GC.U0DS1"} in mine["Tags"]
    other = profiles["ProfileT0GCU0ML1"]["UserSettings"]["ExecutionRole"]
    assert other.endswith("role/groundcrew-studio-ml-engineer")


def test_the_domain_names_the_person_behind_a_notebook_and_stops_what_is_idle(tmp_path: Path) -> None:
    (file,) = studio.stacks(options(tmp_path, "--network", "VpcOnly", "--security-groups", "sg-1"))
    found = resolved(file.request()["TemplateBody"], file.parameters)
    domain = found["Domain"]
    assert domain["DomainSettings"]["ExecutionRoleIdentityConfig"] == "USER_PROFILE_NAME"
    assert (domain["AuthMode"], domain["AppNetworkAccessType"]) == ("IAM", "VpcOnly")
    assert domain["SubnetIds"] == ["subnet-1", "subnet-2"]
    assert domain["DefaultUserSettings"]["SecurityGroups"] == ["sg-1"]
    idle = domain["DefaultUserSettings"]["JupyterLabAppSettings"]["AppLifecycleManagement"]["IdleSettings"]
    assert (idle["LifecycleManagement"], idle["IdleTimeoutInMinutes"]) == ("ENABLED", 60)
    script = base64.b64decode(found["InstallLibraries"]["StudioLifecycleConfigContent"]).decode()
    assert script.startswith("#!/bin/bash\n")
    lock = (studio.LOCK).read_text()
    for name in studio.LIBRARIES:
        (requirement,) = [word for word in script.split() if word.startswith(f"{name}==")]
        assert f"\n{requirement}\n" in lock
    assert "$HOME/groundcrew-libraries.log" in script  # bash's own variables are left to bash


def test_the_stack_with_its_people_is_clean_to_cfn_lint(tmp_path: Path) -> None:
    body = studio.stacks(options(tmp_path))[0].request()["TemplateBody"]
    assert cfnlint.lint(body, regions=["us-east-1"]) == []


def test_another_script_or_library_has_another_name() -> None:
    names = {studio.revision(*pair) for pair in (("a", "x==1"), ("b", "x==1"), ("a", "x==2"))}
    assert len(names) == 3
    assert studio.revision("a", "x==1") in names


def test_a_library_that_is_not_locked_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="sagemaker-mlflow"):
        studio.locked("\n".join(f"{name}==1.0" for name in studio.LIBRARIES if name != "sagemaker-mlflow"))


def test_what_the_command_line_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--access, --vpc, --subnets"):
        studio.stacks(_parser().parse_args(["studio"]))
    assert studio.stacks(_parser().parse_args(["studio", "--step", "down"]))[0].name == "groundcrew-studio"


def test_more_people_than_a_template_holds_are_refused() -> None:
    many = Access("me", {("T0GC", f"U{number:09}"): "data-scientist" for number in range(300)})
    file = studio.StudioFile("groundcrew-studio", studio.TEMPLATE, profiles=studio.profiles(many))
    with pytest.raises(Refused, match="too many people"):
        file.request()


def test_the_example_access_file_fits() -> None:
    assert studio.profiles(load(Path(studio.TEMPLATE).parents[1] / "iam" / "access.yaml")).count("UserProfileName") == 2


# ---------------------------------------------------------------- what a notebook may do


@cache
def policies(role: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The documents of a notebook's role: those about our things, and the one about its own workspace."""
    parameters = {"VpcId": "vpc-1", "SubnetIds": "subnet-1", "Libraries": "x", "Revision": "0" * 8}
    found = resolved(studio.TEMPLATE.read_text(), parameters)
    properties = next(item for item in found.values() if item.get("RoleName") == f"groundcrew-{role}")
    ours = [policy["PolicyDocument"] for policy in properties["Policies"]]
    ours += [human.roles()[arn]["PolicyDocument"] for arn in properties["ManagedPolicyArns"] if arn in human.roles()]
    assert properties["PermissionsBoundary"] == f"arn:aws:iam::{ACCOUNT}:policy/groundcrew-boundary"
    return ours, [found["Workspace"]["PolicyDocument"]]


def may(role: str, action: str, resource: str, **context: tuple[str, ...]) -> bool:
    ours, workspace = policies(role)
    arn = f"arn:aws:iam::{ACCOUNT}:role/groundcrew-{role}"
    who = Who(ACCOUNT, f"arn:aws:sts::{ACCOUNT}:assumed-role/groundcrew-{role}/SageMaker", role_arn=arn)
    boundary = human.roles()[f"arn:aws:iam::{ACCOUNT}:policy/groundcrew-boundary"]["PolicyDocument"]
    asked = Request(action, resource, dict(context), who)
    identity = tuple(parse(document) for document in [*ours, *workspace])
    return decide(asked, identity=identity, boundary=(parse(boundary),)).allowed


def speaks_of(action: str, resource: str) -> bool:
    """Whether AWS knows the action on that type of resource (a statement lists several of each)."""
    spec = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    service, _, name = action.partition(":")
    kinds = json.loads(spec.read_text())[service]["Actions"][name.lower()].get("Resources", [])
    if service == "s3":
        return ("object" in kinds) == ("/" in resource)
    kind = "*" if resource == "*" else resource.split(":", 5)[5].partition("/")[0]
    # An execution's ARN begins like its pipeline's.
    return kind in [each.removesuffix("-execution") for each in kinds] if kind != "*" else True


@pytest.mark.parametrize("role", ["data-scientist", "ml-engineer"])
def test_a_notebook_is_no_wider_than_its_owner(role: str) -> None:
    checked = 0
    for document in policies(f"studio-{role}")[0]:
        for statement in document["Statement"]:
            actions, resources = (
                [value] if isinstance(value, str) else value for value in (statement["Action"], statement["Resource"])
            )
            context = {"s3:prefix": ("dev/models/",)} if "Condition" in statement else {}
            for action in actions:
                for resource in (each for each in resources if speaks_of(action, each)):
                    target = resource if resource == "*" else resource.replace("*", "x")
                    assert human.ask(role, action, target, **context).allowed, (action, target)
                    checked += 1
    assert checked > 10


@pytest.mark.parametrize("role", ["studio-data-scientist", "studio-ml-engineer"])
def test_a_notebook_changes_nothing_of_ours(role: str) -> None:
    for document in policies(role)[0]:
        for statement in document["Statement"]:
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            verbs = {action.partition(":")[2] for action in actions}
            assert all(verb.startswith(("Get", "List", "Describe", "Invoke", "Filter")) for verb in verbs), verbs


def space(kind: str, *, of: str = "T0GC-U0DS1", by: str = "T0GC-U0DS1", sharing: str = "Private") -> dict[str, Any]:
    return {
        "resource": human.sagemaker(f"{kind}/d-1/mine"),
        "sagemaker:domainid": ("d-1",),
        "sagemaker:userprofilename": (by,),
        "sagemaker:owneruserprofilearn": (human.sagemaker(f"user-profile/d-1/{of}"),),
        "sagemaker:spacesharingtype": (sharing,),
    }


def test_a_notebook_reaches_its_own_workspace_only() -> None:
    role = "studio-data-scientist"
    assert may(role, "sagemaker:CreateSpace", **space("space"))
    assert may(role, "sagemaker:CreateApp", **space("app"))
    assert not may(role, "sagemaker:DeleteApp", **space("app", of="T0GC-U0DS2"))
    assert not may(role, "sagemaker:CreateSpace", **space("space", sharing="Shared"))
    profile = human.sagemaker("user-profile/d-1/T0GC-U0DS1")
    assert not may(role, "sagemaker:AddTags", profile, **{"sagemaker:taggingaction": ("CreateSpace",)})
    assert not may(role, "sagemaker:UpdateDomain", human.sagemaker("domain/d-1"))


def test_a_data_scientist_s_notebook_stays_in_dev() -> None:
    role, bucket = "studio-data-scientist", f"arn:aws:s3:::{human.BUCKET}"
    assert may(role, "s3:GetObject", "arn:aws:s3:::lucaskle-ab3-project-pv/survey/images/a.jpg")
    assert may(role, "s3:GetObject", f"{bucket}/dev/models/a/model.tar.gz")
    assert not may(role, "s3:GetObject", f"{bucket}/prod/models/a/model.tar.gz")
    assert not may(role, "s3:PutObject", f"{bucket}/dev/code/a/source.tar.gz")
    assert not may(role, "sagemaker:InvokeEndpoint", human.sagemaker("endpoint/groundcrew-prod-detector"))


@pytest.mark.parametrize(
    ("role", "who", "tag", "allowed"),
    [
        ("data-scientist", ME, ME, True),
        ("ml-engineer", ME, ME, True),
        ("data-scientist", ME, OTHER, False),
        ("data-scientist", ME, None, False),
        ("data-scientist", None, ME, False),
        ("stakeholder", ME, ME, False),
    ],
)
def test_only_one_s_own_profile_is_opened(role: str, who: Any, tag: Any, allowed: bool) -> None:
    keys = {"aws:sourceidentity": who, "sagemaker:resourcetag/slackuser": tag}
    context = {key: value for key, value in keys.items() if value is not None}
    profile = human.sagemaker("user-profile/d-1/T0GC-U0DS1")
    assert human.ask(role, "sagemaker:CreatePresignedDomainUrl", profile, **context).allowed is allowed


# ---------------------------------------------------------------- the account's memory of it


@pytest.fixture
def account() -> Studio:
    def check(role: str, source_identity: str | None) -> None:
        if not role.endswith("notebook") or source_identity is None:
            raise ValidationException(f"{role} cannot be assumed")

    return Studio(Resources(ACCOUNT, "us-east-1", threading.RLock()), check)


def domain(**more: Any) -> dict[str, Any]:
    return {
        "DomainName": "groundcrew-studio",
        "AuthMode": "IAM",
        "VpcId": "vpc-1",
        "SubnetIds": ["subnet-1"],
        "DomainSettings": {"ExecutionRoleIdentityConfig": "USER_PROFILE_NAME"},
        "DefaultUserSettings": {"ExecutionRole": "arn:notebook"},
        **more,
    }


def test_a_domain_and_its_profiles_live_and_end_together(account: Studio) -> None:
    id = account.create_domain(domain())["DomainId"]
    profile = {"DomainId": id, "UserProfileName": "T0GC-U0DS1"}
    account.create_user_profile({**profile, "UserSettings": {"ExecutionRole": "arn:notebook"}})
    assert [item["UserProfileName"] for item in account.list_user_profiles({})["UserProfiles"]] == ["T0GC-U0DS1"]
    assert account.list_user_profiles({"DomainIdEquals": "d-other"})["UserProfiles"] == []
    account.update_user_profile({**profile, "UserSettings": {"StudioWebPortal": "DISABLED"}})
    assert account.describe_user_profile(profile)["UserSettings"]["ExecutionRole"] == "arn:notebook"
    with pytest.raises(ResourceInUse, match="delete them first"):
        account.delete_domain({"DomainId": id})
    account.delete_user_profile(profile)
    account.delete_domain({"DomainId": id})
    assert account.list_domains({})["Domains"] == []


def test_what_cannot_be_is_refused(account: Studio) -> None:
    with pytest.raises(ValidationException, match="VpcId and SubnetIds"):
        account.create_domain(domain(SubnetIds=[]))
    with pytest.raises(ValidationException, match="SecurityGroups are required"):
        account.create_domain(domain(AppNetworkAccessType="VpcOnly"))
    with pytest.raises(ValidationException, match="cannot be assumed"):
        account.create_domain(domain(DefaultUserSettings={"ExecutionRole": "arn:other"}))
    id = account.create_domain(domain())["DomainId"]
    with pytest.raises(ResourceInUse):
        account.create_domain(domain())
    with pytest.raises(ResourceNotFound):
        account.create_user_profile({"DomainId": "d-none", "UserProfileName": "x"})
    lab = {"JupyterLabAppSettings": {"LifecycleConfigArns": ["arn:none"]}}
    with pytest.raises(ResourceNotFound, match="StudioLifecycleConfig"):
        account.create_user_profile({"DomainId": id, "UserProfileName": "x", "UserSettings": lab})


def test_there_is_nothing_to_open_here_and_it_says_so(account: Studio) -> None:
    id = account.create_domain(domain())["DomainId"]
    with pytest.raises(ResourceNotFound):
        account.create_presigned_domain_url({"DomainId": id, "UserProfileName": "x"})
    account.create_user_profile({"DomainId": id, "UserProfileName": "x"})
    with pytest.raises(UnknownOperation, match="run on AWS only"):
        account.create_presigned_domain_url({"DomainId": id, "UserProfileName": "x"})


def test_a_lifecycle_configuration_in_use_stays(account: Studio) -> None:
    name = {"StudioLifecycleConfigName": "libraries"}
    content = {"StudioLifecycleConfigContent": "eA==", "StudioLifecycleConfigAppType": "JupyterLab"}
    arn = account.create_studio_lifecycle_config({**name, **content})["StudioLifecycleConfigArn"]
    lab = {"ExecutionRole": "arn:notebook", "JupyterLabAppSettings": {"LifecycleConfigArns": [arn]}}
    id = account.create_domain(domain(DefaultUserSettings=lab))["DomainId"]
    with pytest.raises(ResourceInUse, match="is used by"):
        account.delete_studio_lifecycle_config(name)
    account.delete_domain({"DomainId": id})
    account.delete_studio_lifecycle_config(name)
    assert account.list_studio_lifecycle_configs({})["StudioLifecycleConfigs"] == []


# ---------------------------------------------------------------- `studio open`

DOMAINS = {
    "Domains": [{"DomainName": "else", "DomainId": "d-0"}, {"DomainName": "groundcrew-studio", "DomainId": "d-1"}]
}
PROFILES = {"UserProfiles": [{"UserProfileName": "T0GC-U0DS1"}]}


class Place(runner_tests.Place):
    """The runner's workplace with a SageMaker, and an ear for what is whispered."""

    def __init__(self, engine: Engine, **answers: Any) -> None:
        super().__init__(engine)
        self.sagemaker = FakeClient(**answers)
        self.heard: list[Link] = []

    def context(self, case: Case, tags: Mapping[str, str]) -> Context:
        mine = super().context(case, tags)
        return replace(mine, client=lambda service: self.sagemaker, whisper=self.heard.append)


def open_studio(place: Place) -> Any:
    arrival = Arrival("command", "d1", "T0GC", "U0DS1", "studio open", channel="C0DEV", response_url="http://r")
    with place.engine.begin() as connection:
        invocations.accept(connection, arrival)
    claimed = invocations.claim(place.engine, "worker")
    assert claimed is not None
    return Runner(place, "worker").run(claimed)


def stored(engine: Engine) -> str:
    """Everything in the database."""
    with engine.begin() as connection:
        names = connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars()
        return "\n".join(
            row
            for name in list(names)
            for row in connection.execute(text(f'SELECT row_to_json(t)::text FROM "{name}" t')).scalars()
        )


def test_the_link_is_said_once_and_stored_nowhere(engine: Engine) -> None:
    answers = {"list_domains": DOMAINS, "list_user_profiles": PROFILES}
    place = Place(engine, **answers, create_presigned_domain_url={"AuthorizedUrl": URL})
    reply = open_studio(place)
    assert [link.url for link in place.heard] == [URL]
    assert reply.outcome is Outcome.OK
    (request,) = place.sagemaker.requests("create_presigned_domain_url")
    assert (request["DomainId"], request["UserProfileName"]) == ("d-1", "T0GC-U0DS1")
    assert request["ExpiresInSeconds"] == commands_studio.OPENS_FOR_S
    kept = stored(engine)
    assert "Your notebooks are open for you" in kept
    assert "token=" not in kept + repr(reply)
    assert "topsecret" not in kept and URL.rpartition("=")[2] not in kept


def test_where_studio_is_not_set_up_it_says_so_and_how(engine: Engine) -> None:
    here = Place(engine, list_domains={"Domains": []})
    reply = open_studio(here)
    assert reply.outcome is Outcome.ERROR
    assert "needs AWS" in str(reply.text) and "python -m infra studio" in str(reply.text)


@pytest.mark.parametrize(
    ("answers", "outcome", "says"),
    [
        (
            {"list_user_profiles": {"UserProfiles": [{"UserProfileName": "T0GC-U0DS11"}]}},
            Outcome.ERROR,
            "Studio profile",
        ),
        (
            {
                "list_user_profiles": PROFILES,
                "create_presigned_domain_url": refusal("UnknownOperationException", "Studio's apps run on AWS only."),
            },
            Outcome.ERROR,
            "run on AWS only",
        ),
        (
            {
                "list_user_profiles": PROFILES,
                "create_presigned_domain_url": refusal("AccessDeniedException", "is not authorized"),
            },
            Outcome.DENIED,
            "is not authorized",
        ),
    ],
)
def test_a_closed_door_is_explained(engine: Engine, answers: Any, outcome: Outcome, says: str) -> None:
    place = Place(engine, list_domains=DOMAINS, **answers)
    reply = open_studio(place)
    assert reply.outcome is outcome
    assert says in f"{reply.title} {reply.text} {reply.quote}"
    assert place.heard == []


# ---------------------------------------------------------------- whispering


class Hook:
    """Stands for slack-sdk's WebhookClient; remembers what was sent."""

    status = 200
    sent: list[tuple[str, dict[str, Any]]] = []  # noqa: RUF012  (emptied by the fixture)

    def __init__(self, url: str, **how: Any) -> None:
        self.url = url

    def send_dict(self, body: dict[str, Any]) -> Any:
        self.sent.append((self.url, body))
        return argparse.Namespace(status_code=self.status, body=json.dumps(body))


class Slack:
    """Stands for the Web API client."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.posted = error, []  # type: ignore[var-annotated]

    def chat_postEphemeral(self, **request: Any) -> None:
        if self.error:
            raise self.error
        self.posted.append(request)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> type[Hook]:
    monkeypatch.setattr(whispering, "WebhookClient", Hook)
    monkeypatch.setattr(Hook, "sent", [])
    return Hook


def asked(**how: Any) -> Any:
    return argparse.Namespace(**{"response_url": None, "channel": None, "user_id": "U0DS1", **how})


LINK = Link(URL, "Open my notebooks")


def test_a_whisper_goes_to_the_one_who_asked_for_their_eyes_only(hook: type[Hook]) -> None:
    slack = Slack()
    whisper(slack, asked(response_url="http://r", channel="C0DEV"), LINK)  # type: ignore[arg-type]
    ((url, body),) = hook.sent
    assert (url, body["response_type"], body["replace_original"]) == ("http://r", "ephemeral", False)
    assert URL in body["blocks"][0]["text"]["text"]
    assert URL not in body["text"]  # what a notification shows on a locked screen
    assert slack.posted == []
    whisper(slack, asked(channel="C0DEV"), LINK)  # type: ignore[arg-type]
    assert (slack.posted[0]["channel"], slack.posted[0]["user"]) == ("C0DEV", "U0DS1")


def test_what_slack_does_not_take_is_not_claimed_and_names_no_link(
    hook: type[Hook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hook, "status", 404)
    refused = SlackApiError(f"about {URL}", {"error": "channel_not_found"})  # type: ignore[no-untyped-call]
    for slack, where in ((Slack(), {"response_url": "http://r"}), (Slack(refused), {"channel": "C0DEV"})):
        with pytest.raises(Unavailable) as caught:
            whisper(slack, asked(**where), LINK)  # type: ignore[arg-type]
        assert URL not in f"{caught.value.message} {caught.value.__cause__}"
        assert caught.value.__cause__ is None


def test_a_terminal_is_nobody_to_whisper_to(hook: type[Hook]) -> None:
    with pytest.raises(Refused, match="for one person alone"):
        whisper(Slack(), asked(), LINK)  # type: ignore[arg-type]
