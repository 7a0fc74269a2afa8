"""A batch of events made durable in one transaction: each once, subjects moved, alerts opened, joined and cleared.

Intake transactions run one after another (an advisory lock), in few statements whatever the size of the batch. Which
subjects are firing depends only on the set of events seen so far, not on their order: a subject fires when its latest
failure is not older than what cleared it, and for executions a success of the family clears as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, func, null, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from state import grouping
from state.alerts import AlertRow, State, row_of, wake
from state.database import CHANNEL_LIVE, LOCK_INTAKE
from state.grouping import News
from state.subjects import Subject, later
from state.tables import alerts, events, live, subjects

KEEP = timedelta(days=15)
"""A repetition is recognised for so long: a day more than a queue keeps a message at most."""

Grouped = Mapping[str, Sequence[News]]
"""Events by the id of the alert they belong to."""


def record(connection: Connection, batch: Iterable[News]) -> Sequence[str]:
    """Give a batch its whole effect. Returns the fingerprints that were new; repetitions change nothing."""
    alone = text("SELECT pg_advisory_xact_lock(:key), now()")
    now: datetime = connection.execute(alone, {"key": LOCK_INTAKE}).one()[1]
    fresh = _remember(connection, batch)
    if not fresh:
        return []
    board = _board(connection, fresh)
    moved = _move(connection, fresh)
    followed = _wake_live(connection, fresh, moved)
    families = _cleared_families(connection, fresh)
    untold = [news for news in fresh if not _names(news) & followed]
    firing = [news for news in untold if news.effect == "fires" and not _over(moved[news.arn], families, news.at)]
    joins = _join(board, _by(firing, "family"), "firing", now)
    burning = {row.family for row in board.values() if row.state == "firing"}
    told = [news for news in untold if news.effect == "tells"]
    telling = [news for news in told if news.place.channel is not None or news.family in burning]
    for id, news in _join(board, _by(telling, "arn"), "info", now).items():
        joins[id] = [*joins.get(id, ()), *news]
    _put_on(connection, joins)
    clears = _clear(
        connection, board, _by([news for news in fresh if news.effect == "clears"], "family"), families, now
    )
    _store(connection, [board[id] for id in joins.keys() | clears.keys()])
    _write_history(connection, [*joins.items(), *clears.items()])
    return [news.fingerprint for news in fresh]


def opening(connection: Connection, batch: Iterable[News]) -> set[str]:
    """Fingerprints of those that would open an alert if they were recorded now, as far as that can be told before."""
    some = {news.fingerprint: news for news in batch if news.effect in ("fires", "tells")}
    known = set(connection.scalars(select(events.c.fingerprint).where(events.c.fingerprint.in_(some))))
    families = {news.family for news in some.values()}
    open_now = select(alerts.c.family).where(alerts.c.state == "firing", alerts.c.family.in_(families))
    grouped = set(connection.scalars(open_now))
    return {
        key for key, news in some.items() if key not in known and (news.effect == "tells" or news.family not in grouped)
    }


def firing(connection: Connection, subject: str) -> str | None:
    """The state of a subject that is on an alert now, None when it is on none."""
    on = (subjects.c.arn == subject.lower()) & subjects.c.alert.is_not(None)
    state: str | None = connection.scalar(select(subjects.c.state).where(on))
    return state


def forget(connection: Connection, limit: int = 1_000) -> int:
    """Delete events too old to be repeated, `limit` at most; what they did stays. Returns how many."""
    old = select(events.c.fingerprint).where(events.c.received_at < func.now() - KEEP)
    gone = delete(events).where(events.c.fingerprint.in_(old.order_by(events.c.received_at).limit(limit)))
    return connection.execute(gone).rowcount


def _remember(connection: Connection, batch: Iterable[News]) -> list[News]:
    """Store the fingerprints. Returns what was not stored yet, in the order in which it happened."""
    each = {news.fingerprint: news for news in batch}
    if not each:
        return []
    columns = ("fingerprint", "kind", "subject", "state", "title", "at")
    rows = [{name: getattr(news, name) for name in columns} for news in each.values()]
    stored = connection.scalars(insert(events).on_conflict_do_nothing().returning(events.c.fingerprint), rows)
    return sorted((each[key] for key in stored), key=lambda news: news.when)


def _board(connection: Connection, fresh: Sequence[News]) -> dict[str, AlertRow]:
    """The alerts that this batch may touch, locked: firing, resolved lately, told lately. Alerts before subjects."""
    window = max(news.place.window for news in fresh)
    lately = or_(alerts.c.resolved_at > func.now() - window, alerts.c.group_until > func.now())
    touched = alerts.c.family.in_({news.family for news in fresh}) & ((alerts.c.state == "firing") | lately)
    query = select(alerts).where(touched).order_by(alerts.c.id).with_for_update()
    return {row.id: row_of(row) for row in connection.execute(query)}


def _move(connection: Connection, fresh: Sequence[News]) -> Mapping[str, Subject]:
    """Move the subjects of the batch; by their ARN."""
    before = _subjects(connection, subjects.c.arn.in_({news.arn for news in fresh}))
    after = dict(before)
    for news in fresh:
        known = after.get(news.arn) or Subject(news.arn, news.family, None, news.at, news.state)
        after[news.arn] = known.after(news.state, news.at, news.effect, ended=news.ended, reopens=news.reopens)
    changed = [subject for arn, subject in after.items() if subject != before.get(arn)]
    if changed:
        rows = [asdict(each) | {"at": each.at, "state": each.state, "ended": each.ended} for each in changed]
        new = insert(subjects)
        moves = {name: new.excluded[name] for name in rows[0] if name not in ("arn", "family", "alert")}
        values = moves | {"changed_at": func.now()}
        connection.execute(new.on_conflict_do_update(index_elements=["arn"], set_=values), rows)
    return after


def _wake_live(connection: Connection, fresh: Sequence[News], moved: Mapping[str, Subject]) -> set[str]:
    """Let live messages of what the batch is about be drawn at once. Returns the names under which it is followed.

    What had ended and goes on, wherever somebody retried it, is followed again.
    """
    begins = {news.followed.lower() for news in fresh if news.followed}
    names = begins | {news.arn for news in fresh}
    arn = func.lower(live.c.arn)
    rows = connection.execute(
        select(live.c.id, arn.label("arn"), live.c.ended).where(arn.in_(names) | live.c.ended.is_(False))
    ).all()
    found: set[str] = set()
    due: list[int] = []
    for row in rows:
        # What has ended is followed no more, but its message shows what became of an execution.
        hits = {row.arn} & names
        if not row.ended:
            hits |= {name for name in begins if row.arn.startswith(name)}
        found |= hits
        subject = moved.get(row.arn)
        reopened = subject is not None and subject.reopened_at is not None and not subject.ended
        if hits and (not row.ended or reopened):
            due.append(row.id)
    if due:
        again = {"next_look": func.now(), "ended": False, "errors": 0}
        connection.execute(update(live).where(live.c.id.in_(due)).values(again))
        connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL_LIVE})
    return found


def _names(news: News) -> set[str]:
    """What a live message about it follows, or the beginning of that."""
    return {name for name in (news.arn, news.followed.lower()) if name}


def _cleared_families(connection: Connection, fresh: Sequence[News]) -> Mapping[str, datetime]:
    """When each family of executions last had a success."""
    names = {news.family for news in fresh if news.topic == "execution"}
    well = subjects.c.family.in_(names) & subjects.c.succeeded_at.is_not(None)
    last = select(subjects.c.family, func.max(subjects.c.succeeded_at)).where(well)
    return dict(connection.execute(last.group_by(subjects.c.family)).all())


def _over(subject: Subject, families: Mapping[str, datetime], fired_at: datetime | None) -> bool:
    """Whether a failure of then was cleared later."""
    cleared = later(subject.cleared_at, families.get(subject.family))
    return fired_at is None or (cleared is not None and fired_at < cleared)


def _by(news: Iterable[News], name: str) -> Mapping[str, list[News]]:
    groups: dict[str, list[News]] = defaultdict(list)
    for each in news:
        groups[getattr(each, name)].append(each)
    return groups


def _join(board: dict[str, AlertRow], groups: Grouped, state: State, now: datetime) -> dict[str, list[News]]:
    """Put each group on its alert, on the board: the one that stands for it, or a new one."""
    joins = {}
    for news in groups.values():
        row = _home(board.values(), news[0], state, now)
        after = grouping.joined(row, news, now) if row else grouping.opened(news, state, now)
        board[after.id] = after
        joins[after.id] = list(news)
    return joins


def _home(rows: Iterable[AlertRow], news: News, state: State, now: datetime) -> AlertRow | None:
    """The alert that what happened belongs to: a firing one of the family, or one that was resolved lately.

    What is only told belongs to a firing one too; otherwise to what was told of the same thing lately.
    """
    family = [row for row in rows if row.family == news.family and row.state != "info"]
    if state == "info":
        fires = next((row for row in family if row.state == "firing"), None)
        same = (row for row in rows if row.state == "info" and row.subject.lower() == news.arn)
        return fires or next((row for row in same if row.group_until > now), None)
    lately = [row for row in family if row.resolved_at is not None and row.resolved_at > now - news.place.window]
    newest = max(lately, key=lambda row: (row.resolved_at, row.id), default=None)
    return next((row for row in family if row.state == "firing"), newest)


def _put_on(connection: Connection, joins: Grouped) -> None:
    """Note on which alert the firing subjects are now."""
    rows = {news.arn: id for id, group in joins.items() for news in group if news.effect == "fires"}
    if rows:
        change = update(subjects).where(subjects.c.arn == bindparam("key")).values(alert=bindparam("id"))
        connection.execute(change, [{"key": arn, "id": id} for arn, id in rows.items()])


def _clear(
    connection: Connection, board: dict[str, AlertRow], clears: Grouped, families: Mapping[str, datetime], now: datetime
) -> Grouped:
    """Take off their alerts, on the board, the subjects that fire no longer; what has none left is resolved."""
    touched = {row.id: row for row in board.values() if row.state == "firing" and row.family in clears}
    if not touched:
        return {}
    on = _subjects(connection, subjects.c.alert.in_(touched)).values()
    off = {subject for subject in on if _over(subject, families, subject.fired_at)}
    left = {subject.alert for subject in on if subject not in off}
    found = {}
    for id, row in touched.items():
        if id in left and not any(subject.alert == id for subject in off):
            continue
        last = clears[row.family][-1]
        board[id] = grouping.eased(row) if id in left else grouping.resolved(row, last, now)
        found[id] = clears[row.family]
    if off:
        gone = subjects.c.arn.in_([subject.arn for subject in off])
        connection.execute(update(subjects).where(gone).values(alert=null()))
    return found


def _subjects(connection: Connection, where: object) -> dict[str, Subject]:
    query = select(*(subjects.c[each.name] for each in fields(Subject))).where(where)  # type: ignore[arg-type]
    rows = connection.execute(query.order_by(subjects.c.arn).with_for_update())
    return {row.arn: Subject(**row._mapping) for row in rows}


def _store(connection: Connection, rows: Sequence[AlertRow]) -> None:
    if rows:
        new = insert(alerts)
        # What was found out about a failure is not written here: whoever finds it out knows what it belongs to.
        ours = [{name: value for name, value in asdict(row).items() if name != "evidence"} for row in rows]
        values = {name: new.excluded[name] for name in ours[0] if name != "id"}
        connection.execute(new.on_conflict_do_update(index_elements=["id"], set_=values), ours)
        wake(connection)


def _write_history(connection: Connection, groups: Iterable[tuple[str, Sequence[News]]]) -> None:
    rows = [{"key": news.fingerprint, "id": id} for id, group in groups for news in group]
    if rows:
        change = update(events).where(events.c.fingerprint == bindparam("key")).values(alert=bindparam("id"))
        connection.execute(change, rows)
