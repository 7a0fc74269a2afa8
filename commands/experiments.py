"""Experiments: search the runs that MLflow has, look at one, put several side by side.

MLflow is read with the bot's own observer role: a SageMaker MLflow App knows no read-only right that could be given to
people. So AWS is asked first, in the person's session, whether they may see the environment's pipeline.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Annotated

from cyclopts import Parameter

from commands import experiment_report as say
from commands import mlflow_page
from commands.arguments import Between, Env
from commands.command import READERS, Context, Need, command
from commands.curve_chart import MOST
from commands.mlflow_page import handle
from commands.reply import Action, Audience, Code, Fact, Inline, Link, Mention, Menu, Outcome, Reply
from pipeline import executions, experiments
from pipeline.errors import BadInput, Unavailable
from pipeline.names import ENVIRONMENTS, Environment
from pipeline.tracking import Run
from pipeline.transport import sign_in

SEE = Need("sagemaker:DescribePipeline", "pipeline/{pipeline}")
NEWEST = "attributes.start_time DESC"
PAGES = 50
OPENS_FOR_S, LASTS_S = 300, 4 * 3600
"""Seconds within which a link into MLflow must be used, and after which MLflow asks for a new one."""
OTHER_CURVES = 6
EXAMPLE = (
    """experiments search "metrics.`test/map50` > 0.8 and params.epochs = '4'" --order-by 'metrics.`test/map50` DESC'"""
)
HOW: Sequence[Inline] = (
    "A search that works: ",
    Code(EXAMPLE),
    ". A name with a slash stands in backticks, a parameter's value in single quotes; only metrics are compared as "
    "numbers, and there is no OR.",
)

Runs = Annotated[list[str], Parameter(help="Runs, by the id of their pipeline execution or of MLflow's")]


@command(
    "experiments search",
    allowed=READERS,
    needs=[SEE],
    example="experiments search \"params.epochs = '4'\" --order-by 'metrics.map50 DESC'",
)
def search(
    ctx: Context,
    filter: Annotated[str, Parameter(help="In MLflow's language, in quotes; all runs if not given")] = "",
    *,
    order_by: Annotated[str, Parameter(help="What to sort by; the newest first if not given")] = NEWEST,
    limit: Annotated[int, Parameter(help="Runs on a page", validator=Between(1, 20))] = 10,
    page: Annotated[int, Parameter(help="Which page", validator=Between(1, PAGES))] = 1,
    env: Env = "dev",
) -> Reply:
    """Search the training runs of an environment by their metrics, parameters and tags."""

    def look(experiment: str) -> Reply:
        order = [part.strip() for part in order_by.split(",") if part.strip()]
        # MLflow pages by tokens that only go forward; asked from the start, a button goes back as well.
        try:
            found = ctx.tracking.search_runs([experiment], filter, order_by=order, limit=page * limit + 1)
        except BadInput as error:
            return _unreadable(error, env)
        shown = found[(page - 1) * limit : page * limit]
        if not shown:
            return _nothing(filter, page, env)
        first = (page - 1) * limit + 1
        return Reply(
            title=say.found(first, len(shown), env, more=len(found) > page * limit),
            text=_asked(filter, order_by),
            table=say.listing(shown, f"{filter} {order_by}"),
            actions=[*_turns(len(found), filter, order_by, limit, page, env), *_next(shown, env)],
            environment=env,
        )

    return _answered(ctx, env, look)


@command(
    "experiments show",
    allowed=READERS,
    needs=[SEE],
    audience=Audience.CHANNEL,
    example="experiments show 3vyqr5ck9w2x",
)
def show(
    ctx: Context,
    run: Annotated[str, Parameter(help="The run, by the id of its pipeline execution or of MLflow's")],
    *,
    params: Annotated[bool, Parameter(help="All parameters instead of the metrics")] = False,
    env: Env = "dev",
) -> Reply:
    """Show a run: its settings, its metrics and how it learned."""

    def look(experiment: str) -> Reply:
        found = _find(ctx, experiment, run, env)
        other = (
            Action("Metrics", _line("show", [found], env))
            if params
            else Action("All parameters", f"{_line('show', [found], env)} --params")
        )
        curves = experiments.curves(ctx.tracking, [found], experiments.CURVE)
        return Reply(
            title=say.headline(found, env),
            context=["asked by ", Mention(ctx.person.user)],
            text=found.tags.get("failure", ""),
            facts=say.facts(found),
            picture=say.picture([found], curves, experiments.CURVE),
            table=say.parameters(found) if params else say.metrics(found),
            actions=[other, *_execution(found, env), *mlflow_page.actions(ctx, [found], env)],
            environment=env,
        )

    return _answered(ctx, env, look)


@command(
    "experiments compare",
    allowed=READERS,
    needs=[SEE],
    audience=Audience.CHANNEL,
    example="experiments compare 3vyqr5ck9w2x 7bq0zk1m4d8s",
)
def compare(
    ctx: Context,
    runs: Runs,
    *,
    metric: Annotated[str, Parameter(help="Whose curves are drawn")] = experiments.CURVE,
    env: Env = "dev",
) -> Reply:
    """Compare runs of one experiment: the parameters that differ, the metrics with the best marked, the curves."""
    if not 2 <= len(runs) <= MOST:
        raise BadInput(f"Two to {MOST} runs can be compared.", "`experiments search` lists them.")

    def look(experiment: str) -> Reply:
        found = [_find(ctx, experiment, each, env) for each in runs]
        if len({run.id for run in found}) < len(found):
            raise BadInput("A run is named twice.", "Name each run once.")
        curves = experiments.curves(ctx.tracking, found, metric)
        return Reply(
            title=say.verdict(found),
            context=["asked by ", Mention(ctx.person.user), f" · experiment {experiment}"],
            text=say.caveats(found, curves, metric),
            picture=say.picture(found, curves, metric),
            table=say.comparison(found),
            actions=[*mlflow_page.actions(ctx, found, env), *_curves(found, metric, env), _shows(found, env)],
            environment=env,
        )

    return _answered(ctx, env, look)


@command(
    "experiments open",
    allowed={"data-scientist": ("dev",), "ml-engineer": ENVIRONMENTS},
    needs=[
        SEE,
        Need("sagemaker:CreatePresignedMlflowAppUrl", "mlflow-app/*"),
        Need("sagemaker:CreatePresignedMlflowTrackingServerUrl", "mlflow-tracking-server/groundcrew*"),
    ],
    example="experiments open 3vyqr5ck9w2x",
)
def open_(ctx: Context, runs: Runs, *, env: Env = "dev") -> Reply:
    """Open runs on MLflow's own pages; where AWS keeps MLflow, the link is a key and goes to you alone."""
    if "mlflow" in ctx.web_links:
        return _answered(
            ctx, env, lambda experiment: _linked(ctx, [_find(ctx, experiment, each, env) for each in runs])
        )
    sagemaker = ctx.client("sagemaker")
    executions.check(sagemaker, ctx.names, env)
    key = sign_in(sagemaker, ctx.tracking.uri, opens_for_s=OPENS_FOR_S, lasts_s=LASTS_S)
    ctx.whisper(Link(key, mlflow_page.LABEL))
    return Reply(
        title="MLflow is open for you",
        text=f"The link is in a message of its own, for your eyes only. It opens within {OPENS_FOR_S // 60} minutes, "
        "on MLflow's first page: AWS's link leads to no other. Choose the experiment there, and search for the runs.",
        facts=[
            Fact("Experiment", [Code(ctx.names.pipeline(env))]),
            Fact("Search there for", [Code(mlflow_page.search(runs))]),
            Fact("Session", f"{LASTS_S // 3600} hours"),
        ],
    )


def _linked(ctx: Context, found: Sequence[Run]) -> Reply:
    named = ", ".join(run.name for run in found)
    return Reply(title=f"{named} in MLflow", text=[Link(mlflow_page.url(ctx, found), mlflow_page.LABEL)])


def _answered(ctx: Context, env: Environment, look: Callable[[str], Reply]) -> Reply:
    """What `look` finds in the environment's experiment, if AWS lets the person see its pipeline and MLflow answers."""
    executions.check(ctx.client("sagemaker"), ctx.names, env)
    try:
        return look(ctx.names.pipeline(env))
    except Unavailable as error:
        return Reply(
            title="MLflow cannot be asked now",
            outcome=Outcome.ERROR,
            text=f"{error.message} {error.advice}\nRuns go on without it. What is registered has its metrics in the "
            "registry.",
            actions=[Action("Models", f"registry list --env {env}"), Action("Runs", f"pipeline list --env {env}")],
            environment=env,
        )


def _find(ctx: Context, experiment: str, text: str, env: Environment) -> Run:
    elsewhere = [ctx.names.pipeline(other) for other in ENVIRONMENTS if other != env]
    return experiments.find(ctx.tracking, experiment, text, elsewhere)


def _asked(filter: str, order_by: str) -> list[Inline]:
    """What was searched for, in words."""
    fits: list[Inline] = ["Fit ", Code(filter), ", "] if filter else []
    return [*fits, *(["newest first"] if order_by == NEWEST else ["sorted by ", Code(order_by)])]


def _unreadable(error: BadInput, env: Environment) -> Reply:
    """A filter or an order that MLflow rejects: its words, and a line that works."""
    return Reply(
        title="MLflow cannot read that search",
        outcome=Outcome.ERROR,
        text=HOW,
        quote=error.message.partition(": ")[2],
        actions=[Action("All runs", f"experiments search --env {env}")],
        environment=env,
    )


def _nothing(filter: str, page: int, env: Environment) -> Reply:
    if page > 1:
        return Reply(title=f"There is no page {page}", text="Fewer runs fit.", environment=env)
    if filter:
        return Reply(
            title=f"No run in {env} fits",
            text=["Asked for: ", Code(filter), ".\n", *HOW],
            actions=[Action("All runs", f"experiments search --env {env}")],
            environment=env,
        )
    return Reply(
        title=f"No run in {env} was tracked yet",
        actions=[Action("Start one", f"pipeline run --env {env}", style="primary")],
        environment=env,
    )


def _turns(count: int, filter: str, order_by: str, limit: int, page: int, env: Environment) -> list[Action]:
    """Buttons to the page before and the page after, where there is one."""

    def to(number: int) -> str:
        words = ["experiments", "search", filter] if filter else ["experiments", "search"]
        options = ["--order-by", order_by, "--limit", str(limit), "--page", str(number), "--env", env]
        return shlex.join([*words, *options])

    back = [Action("Previous page", to(page - 1))] if page > 1 else []
    return [*back, *([Action("Next page", to(page + 1))] if count > page * limit and page < PAGES else [])]


def _next(shown: Sequence[Run], env: Environment) -> list[Action | Menu]:
    top = shown[:3]
    compare = [Action(f"Compare the first {len(top)}", _line("compare", top, env))] if len(top) > 1 else []
    return [*compare, _shows(shown, env)]


def _shows(runs: Sequence[Run], env: Environment) -> Menu:
    return Menu("Show a run…", [Action(run.name, _line("show", [run], env)) for run in runs])


def _execution(run: Run, env: Environment) -> list[Action]:
    if "/execution/" not in run.tags.get("execution", ""):
        return []
    return [Action("The pipeline run", f"pipeline show {run.tags['execution'].rpartition('/')[2]} --env {env}")]


def _curves(runs: Sequence[Run], metric: str, env: Environment) -> list[Menu]:
    others = [name for name in experiments.drawable(runs) if name != metric][:OTHER_CURVES]
    options = [Action(name, f"{_line('compare', runs, env)} --metric {shlex.quote(name)}") for name in others]
    return [Menu("Another curve…", options)] if options else []


def _line(verb: str, runs: Sequence[Run], env: Environment) -> str:
    return f"experiments {verb} {' '.join(handle(run) for run in runs)} --env {env}"
