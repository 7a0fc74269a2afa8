"""The policy evaluator: documents and a request in, a decision out. It knows no moto, no HTTP and no clock.

A request is allowed when nothing denies it and every layer that applies allows it: identity policies (or a resource
policy that names the caller), then the permissions boundary, then the session policy (IAM user guide, "Policy
evaluation logic"). A decision carries the layer and the statement that made it, so that a denial can say why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from sandbox.aws.statements import Request, Statement, Who

Policies = Iterable[tuple[Statement, ...]]


class Layer(Enum):
    """Which kind of policy decided; the value is AWS's wording in an AccessDenied message."""

    IDENTITY = "identity-based policy"
    RESOURCE = "resource-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"


@dataclass(frozen=True)
class Decision:
    """Allowed or not, and by which layer; `statement` names the statement where one decided."""

    allowed: bool
    layer: Layer
    explicit: bool
    statement: str | None = None

    def why_denied(self, action: str) -> str:
        """The reason in the words AWS ends its AccessDenied messages with."""
        if self.explicit:
            return f"with an explicit deny in {_article(self.layer.value)}"
        return f"because no {self.layer.value} allows the {action} action"


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


class Grant(Enum):
    """How closely a resource policy's Allow names the caller; it decides what else must allow."""

    EXACT = 3  # the user or the very session: identity, boundary and session policies need not allow
    ROLE = 2  # the session's role: identity policies need not allow
    ANYONE = 1  # "*"
    ACCOUNT = 0  # the account: its own identity policies decide


def names(statement: Statement, who: Who) -> Grant | None:
    """How the statement's principals name the caller, most precise first; None when they do not."""
    found = [grant for kind, name in statement.principals or () if (grant := _grant(kind, name, who)) is not None]
    if statement.not_principals:
        return None if found else Grant.ANYONE
    return max(found, key=lambda grant: grant.value, default=None)


def _grant(kind: str, name: str, who: Who) -> Grant | None:
    if kind == "Service":
        return Grant.EXACT if who.service is not None and name == who.service else None
    if kind != "AWS" or who.service is not None:
        return None
    if name == "*":
        return Grant.ANYONE
    if name == who.arn:
        return Grant.EXACT
    if name == who.role_arn:
        return Grant.ROLE
    return Grant.ACCOUNT if name in (who.account, f"arn:aws:iam::{who.account}:root") else None


def decide(
    request: Request,
    *,
    identity: Policies = (),
    boundary: Policies | None = None,
    session: Policies | None = None,
    resource: Policies = (),
) -> Decision:
    """Decide a request of a principal of the same account. `None` means: this layer does not apply."""
    resource_statements = [(s, grant) for doc in resource for s in doc if (grant := names(s, request.who)) is not None]
    layers = {
        Layer.IDENTITY: _flat(identity),
        Layer.RESOURCE: [statement for statement, _ in resource_statements],
        Layer.BOUNDARY: _flat(boundary or ()),
        Layer.SESSION: _flat(session or ()),
    }
    allows: dict[Layer, str] = {}
    for layer, statements in layers.items():
        for statement in statements:
            if statement.applies(request):
                if not statement.allows:
                    return Decision(False, layer, True, statement.name)
                allows.setdefault(layer, statement.name)
    grants = [grant for s, grant in resource_statements if s.allows and s.applies(request)]
    grant = max(grants, key=lambda grant: grant.value, default=Grant.ACCOUNT)
    if grant is Grant.EXACT:
        return Decision(True, Layer.RESOURCE, True, allows[Layer.RESOURCE])
    granted_by = Layer.IDENTITY if Layer.IDENTITY in allows else Layer.RESOURCE
    if granted_by is Layer.RESOURCE and grant is Grant.ACCOUNT:
        return Decision(False, Layer.IDENTITY, False)
    for layer, policies in ((Layer.BOUNDARY, boundary), (Layer.SESSION, session)):
        if policies is not None and layer not in allows:
            return Decision(False, layer, False)
    return Decision(True, granted_by, True, allows[granted_by])


def decide_trust(
    request: Request,
    *,
    trust: tuple[Statement, ...],
    identity: Policies = (),
    boundary: Policies | None = None,
    session: Policies | None = None,
) -> Decision:
    """Decide taking a role: its trust policy must allow, and so must the caller's own policies.

    Only a trust statement that names the caller itself (not its account, not everybody) replaces the identity policy.
    """
    named = [(statement, grant) for statement in trust if (grant := names(statement, request.who)) is not None]
    hits = [(statement, grant) for statement, grant in named if statement.applies(request)]
    for statement, _ in hits:
        if not statement.allows:
            return Decision(False, Layer.RESOURCE, True, statement.name)
    if not hits:
        denied = decide(request, identity=identity, boundary=boundary, session=session)
        return denied if denied.explicit and not denied.allowed else Decision(False, Layer.RESOURCE, False)
    direct = tuple(statement for statement, grant in hits if grant in (Grant.EXACT, Grant.ROLE))
    return decide(request, identity=identity, boundary=boundary, session=session, resource=(direct,))


def _flat(policies: Policies) -> list[Statement]:
    return [statement for document in policies for statement in document]
