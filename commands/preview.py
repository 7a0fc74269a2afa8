"""What deploying would change, shown and not done: `deployment create … --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from commands.command import Context
from commands.reply import Action, Code, Fact, Reply, Table
from pipeline import deployment, preview
from pipeline.deployment import Stack
from pipeline.names import Environment
from pipeline.preview import Change
from pipeline.registry import Package

VERBS = {"Add": "added", "Modify": "changed", "Remove": "removed", "Import": "imported", "Dynamic": "perhaps changed"}


def shown(
    ctx: Context,
    env: Environment,
    existing: Stack | None,
    package: Package,
    given: Mapping[str, str],
    *,
    template_url: str,
    line: str,
) -> Reply:
    """CloudFormation's change set of a deployment, as a table; `line` does it."""
    found = preview.changes(
        ctx.client("cloudformation"),
        ctx.names,
        env,
        existing,
        template_url=template_url,
        parameters=deployment.prepared(existing, env, given),
        token=ctx.token,
    )
    name = ctx.names.stack(env)
    facts = [Fact("Model", f"v{package.version}"), Fact("Instance", given["InstanceType"])]
    if not found:
        return Reply(
            title=f"Nothing would change: {name} serves v{package.version} like that already",
            facts=facts,
            environment=env,
        )
    return Reply(
        title=f"Deploying detector v{package.version} to {env} would {_sentence(found)}",
        context=["nothing was changed · stack ", Code(name)],
        facts=facts,
        table=Table(("What", "Resource", "Properties", "Made anew"), [_row(each) for each in found], "The change set"),
        actions=[Action("Deploy…", line, style="primary")],
        environment=env,
    )


def _sentence(found: Sequence[Change]) -> str:
    counts = {action: sum(each.action == action for each in found) for action in VERBS}
    words = {"Add": "add", "Modify": "change", "Remove": "remove", "Import": "import", "Dynamic": "perhaps change"}
    parts = [f"{words[action]} {count}" for action, count in counts.items() if count]
    return f"{' and '.join(parts)} of its resources"


def _row(change: Change) -> tuple[str, str, str, str]:
    properties = ", ".join(change.properties[:6]) + ("…" if len(change.properties) > 6 else "")
    return VERBS[change.action], f"{change.name} · {change.kind}", properties, "yes" if change.replaced else ""
