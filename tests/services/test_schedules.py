"""Schedules: a saved report is made when it is due, once, and its recipients are told once, whatever happens in between."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from gamify import mail_server
from gamify.errors import Conflict, Invalid, NotFound
from gamify.models import Export, ReportSchedule, SavedReport, Tenant
from gamify.services import export_job, exports, schedule_mails, schedule_times, schedules, tenants, users
from gamify.services.audit import SYSTEM
from gamify.services.schedule_times import Rhythm
from gamify.services.schedules import Plan
from sqlalchemy import select, update

from tests.exporting import ANA, make
from tests.people import actions, new_user
from tests.smtp import Smtp

BERLIN, APIA = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia")
NAME = "Umsätze: 日本"
PAGE = "https://points.example/dashboard/exports"
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def days(rhythm, zone, since, count):
    """The next times, by the clocks of the zone."""
    found, at = [], since
    for _ in range(count):
        at = schedule_times.after(at, rhythm, zone)
        found.append(f"{at.astimezone(zone):%Y-%m-%d %H:%M}")
    return found


def test_a_day_is_a_day_when_clocks_change():
    spring, autumn = datetime(2026, 3, 27, 12, tzinfo=UTC), datetime(2026, 10, 23, 12, tzinfo=UTC)

    assert days(Rhythm("daily", 7), BERLIN, spring, 3) == ["2026-03-28 07:00", "2026-03-29 07:00", "2026-03-30 07:00"]
    assert days(Rhythm("daily", 2), BERLIN, spring, 3) == ["2026-03-28 02:00", "2026-03-29 03:00", "2026-03-30 02:00"]
    assert days(Rhythm("daily", 2), BERLIN, autumn, 3) == ["2026-10-24 02:00", "2026-10-25 02:00", "2026-10-26 02:00"]


def test_an_hour_that_is_there_twice_is_met_once():
    first = schedule_times.after(datetime(2026, 10, 24, 12, tzinfo=UTC), Rhythm("daily", 2), BERLIN)

    assert first == datetime(2026, 10, 25, 0, tzinfo=UTC)
    assert schedule_times.after(first, Rhythm("daily", 2), BERLIN) == datetime(2026, 10, 26, 1, tzinfo=UTC)


def test_weeks_and_months_have_their_days():
    since = datetime(2026, 1, 30, tzinfo=UTC)

    assert days(Rhythm("weekly", 0, weekday=6), BERLIN, since, 2) == ["2026-02-01 00:00", "2026-02-08 00:00"]
    assert days(Rhythm("monthly", 23, day=31), APIA, since, 3) == ["2026-01-31 23:00", "2026-02-28 23:00", "2026-03-31 23:00"]
    assert days(Rhythm("monthly", 5, day=29), BERLIN, datetime(2028, 2, 1, tzinfo=UTC), 1) == ["2028-02-29 05:00"]


@pytest.fixture
def people(here, tenant):
    """Two people of the tenant; a tenant in a zone of its own."""
    with here.database.transaction() as session:
        tenants.set_profile(session, tenant.slug, name="Shop\r\nBcc: x@y.example", time_zone="Europe/Berlin", actor=SYSTEM)
    return [new_user(here, tenant.slug, role="analyst").id, new_user(here, tenant.slug).id]


@pytest.fixture
def report_id(here, tenant):
    return save(here, tenant.id, query="period=yesterday")


def save(here, tenant_id, *, query, name=NAME):
    with here.database.transaction(tenant_id) as session:
        made = SavedReport(tenant_id=tenant_id, name=name, kind="roll-forward", query=query, saved_by="ana")
        session.add(made)
        session.flush()
        return made.id


def schedule(here, tenant_id, report_id, recipients, *, now=NOW, **asked):
    plan = Plan(report_id, "csv", **({"rhythm": "daily", "hour": 7} | asked), recipients=recipients)
    with here.database.transaction(tenant_id) as session:
        tenant = session.get_one(Tenant, tenant_id)
        return schedules.create(session, tenant, plan, page=PAGE, actor=ANA, now=now)


def state(here, made):
    with here.database.transaction(made.tenant_id) as session:
        return schedules.get(session, made.tenant_id, made.id)


def exports_of(here, tenant_id):
    with here.database.transaction(tenant_id) as session:
        return session.scalars(select(Export).where(Export.tenant_id == tenant_id).order_by(Export.id)).all()


def test_a_report_is_made_when_it_is_due_and_not_before(here, tenant, api, people, report_id, tmp_path):
    made = schedule(here, tenant.id, report_id, people)
    assert made.next_at == datetime(2026, 3, 11, 6, tzinfo=UTC)

    assert schedules.begin_due(here.database, tenant.id, now=made.next_at - timedelta(seconds=1)) == 0
    assert schedules.begin_due(here.database, tenant.id, now=made.next_at) == 1
    assert schedules.begin_due(here.database, tenant.id, now=made.next_at) == 0
    [export] = exports_of(here, tenant.id)

    assert (export.title, export.about, export.file_name) == (NAME, "10 Mar 2026", "Umsätze 日本 2026-03-10-to-2026-03-10.csv")
    assert (export.schedule_id, export.due_at, export.asked_by) == (made.id, made.next_at, ANA.name)
    assert make(here, tmp_path, export).exists()
    assert state(here, made).next_at == datetime(2026, 3, 12, 6, tzinfo=UTC)


def test_times_that_were_missed_are_made_up_for_once_as_of_the_last(here, tenant, people, report_id):
    made = schedule(here, tenant.id, report_id, people)

    schedules.begin_due(here.database, tenant.id, now=datetime(2026, 3, 31, 5, 59, tzinfo=UTC))

    [export] = exports_of(here, tenant.id)
    assert export.due_at == datetime(2026, 3, 31, 5, tzinfo=UTC)  # seven, by clocks that have changed meanwhile
    assert export.about == "30 Mar 2026"
    assert state(here, made).next_at == datetime(2026, 4, 1, 5, tzinfo=UTC)


def test_however_many_look_at_once_a_report_is_made_once(here, tenant, people, report_id):
    made = schedule(here, tenant.id, report_id, people)
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda _: schedules.begin_due(here.database, tenant.id, now=made.next_at), range(8)))

    assert sum(begun) == 1
    assert len(exports_of(here, tenant.id)) == 1


def test_a_suspended_tenant_waits(here, tenant, people, report_id):
    made = schedule(here, tenant.id, report_id, people)
    tenant.become("suspended")
    assert schedules.begin_due(here.database, tenant.id, now=made.next_at) == 0
    tenant.become("active")
    assert schedules.begin_due(here.database, tenant.id, now=made.next_at + timedelta(days=3)) == 1


@pytest.fixture
def smtp():
    with closing(Smtp()) as server:
        yield server


def due(here, tenant, made, folder):
    """The export of a schedule, made."""
    schedules.begin_due(here.database, tenant.id, now=state(here, made).next_at)
    export = exports_of(here, tenant.id)[-1]
    make(here, folder, export)
    return export


def send(here, export, server):
    at = mail_server.parse(server.url()) if server else None
    for _ in schedule_mails.send(here.database, at, export.tenant_id, export.id):
        pass


def test_each_recipient_gets_one_mail_with_a_link_and_nothing_of_what_is_in_the_file(
    here, tenant, api, people, report_id, smtp, tmp_path
):
    api.award("secret-participant", 4711)
    made = schedule(here, tenant.id, report_id, people)
    export = due(here, tenant, made, tmp_path)
    for _ in range(3):  # as a job that is begun again
        send(here, export, smtp)

    with here.database.transaction() as session:
        emails = {user.email for user in users.of_tenant(session, tenant.id)}
    assert {mail["To"] for mail in smtp.mails} == emails
    assert len(smtp.mails) == 2
    assert len({mail["Message-ID"] for mail in smtp.mails}) == 2
    for mail in smtp.mails:
        text = mail.get_content()
        assert mail["Subject"] == f"{NAME}: 10 Mar 2026"
        assert f"{PAGE}/{export.id}/file" in text
        assert "Bcc" not in mail
        assert "secret-participant" not in text
        assert "4711" not in text
    assert state(here, made).last_sent_at is not None


def test_the_mail_of_a_sandbox_says_so_and_leads_there(here, tenant, people, smtp, tmp_path):
    made = schedule(here, tenant.sandbox_id, save(here, tenant.sandbox_id, query=""), people[:1])
    with here.database.transaction(tenant.sandbox_id) as session:
        session.execute(update(ReportSchedule).values(page=f"{PAGE}?mode=test"))
    schedules.begin_due(here.database, tenant.sandbox_id, now=made.next_at)
    [export] = exports_of(here, tenant.sandbox_id)
    make(here, tmp_path, export)
    send(here, export, smtp)

    [mail] = smtp.mails
    assert "(sandbox)" in mail.get_content()
    assert f"{PAGE}/{export.id}/file?mode=test\n" in mail.get_content().replace("\r", "")


def test_whoever_was_not_told_is_told_by_the_next_try_and_nobody_twice(here, tenant, people, report_id, smtp, tmp_path, owner):
    made = schedule(here, tenant.id, report_id, people)
    export = due(here, tenant, made, tmp_path)
    here_mails = schedule_mails.send(here.database, mail_server.parse(smtp.url()), tenant.id, export.id)
    next(here_mails)
    here_mails.close()  # its worker is killed
    assert len(smtp.mails) == 1

    smtp.refusing = True
    send(here, export, smtp)
    assert len(smtp.mails) == 1
    assert exports_of(here, tenant.id)[-1].mail_tries == 1
    query = "SELECT scheduled_at > now() FROM procrastinate_jobs WHERE task_name = 'mail_export' AND scheduled_at IS NOT NULL"
    assert owner.execute(f"{query} AND (args ->> 'export_id')::bigint = %s", [export.id]).fetchall() == [(True,)]
    smtp.refusing = False
    send(here, export, smtp)

    assert len({mail["To"] for mail in smtp.mails}) == len(smtp.mails) == 2


def test_people_who_are_gone_get_nothing(here, tenant, people, report_id, smtp, tmp_path):
    made = schedule(here, tenant.id, report_id, people)
    with here.database.transaction() as session:
        users.remove(session, users.get(session, tenant.id, people[0]), actor=SYSTEM, now=NOW)
    send(here, due(here, tenant, made, tmp_path), smtp)

    assert len(smtp.mails) == 1


def test_without_a_mail_server_the_file_is_there_all_the_same(here, tenant, people, report_id, tmp_path):
    made = schedule(here, tenant.id, report_id, people)
    export = due(here, tenant, made, tmp_path)
    send(here, export, None)

    assert exports_of(here, tenant.id)[-1].state == "done"
    assert state(here, made).last_sent_at is None


def test_three_failures_in_a_row_pause_it_and_somebody_lets_it_go_on(here, tenant, people, tmp_path):
    report_id = save(here, tenant.id, query="by=metadata.gone")
    made = schedule(here, tenant.id, report_id, people)
    for n in range(3):
        assert state(here, made).paused_at is None, n
        schedules.begin_due(here.database, tenant.id, now=state(here, made).next_at)
    paused = state(here, made)

    assert paused.paused_at
    assert paused.error.startswith("by: Must be one of")
    assert schedules.begin_due(here.database, tenant.id, now=paused.next_at + timedelta(days=9)) == 0
    assert actions(here, tenant.id, NAME) == ["schedule.create", "schedule.pause"]
    with here.database.transaction(tenant.id) as session:
        live = session.get_one(Tenant, tenant.id)
        schedules.resume(session, live, made.id, actor=ANA, now=paused.next_at + timedelta(days=9))
        with pytest.raises(Conflict):
            schedules.resume(session, live, made.id, actor=ANA, now=NOW)
    on = state(here, made)
    assert (on.paused_at, on.failure_count, on.error) == (None, 0, None)
    assert on.next_at > paused.next_at + timedelta(days=9)


def test_a_mail_server_that_refuses_for_long_is_a_failure_and_a_success_forgets_it(
    here, tenant, people, report_id, smtp, tmp_path
):
    made = schedule(here, tenant.id, report_id, people)
    smtp.refusing = True
    export = due(here, tenant, made, tmp_path)
    for _ in range(schedule_mails.MOST_TRIES):
        send(here, export, smtp)
    assert (state(here, made).failure_count, state(here, made).error) == (1, schedule_mails.REFUSED)

    smtp.refusing = False
    send(here, due(here, tenant, made, tmp_path), smtp)
    assert (state(here, made).failure_count, state(here, made).error) == (0, None)


def test_a_file_that_cannot_be_made_is_a_failure(here, tenant, people, report_id, tmp_path):
    made = schedule(here, tenant.id, report_id, people)
    schedules.begin_due(here.database, tenant.id, now=made.next_at)
    [export] = exports_of(here, tenant.id)
    (tmp_path / "folder").write_text("no folder")
    with pytest.raises(OSError, match="folder"):
        list(export_job.make(here.database, tmp_path / "folder", tenant.id, export.id))

    assert state(here, made).failure_count == 1


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"rhythm": "yearly"}, "rhythm"),
        ({"hour": 24}, "hour"),
        ({"rhythm": "weekly"}, "weekday"),
        ({"rhythm": "weekly", "weekday": 7}, "weekday"),
        ({"rhythm": "monthly", "day": 0}, "day"),
        ({"rhythm": "monthly", "day": 32}, "day"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_the_field(here, tenant, people, report_id, asked, field):
    with pytest.raises(Invalid) as refused:
        schedule(here, tenant.id, report_id, people, **asked)

    assert [error.field for error in refused.value.errors] == [field]


def test_recipients_are_people_of_the_tenant_and_the_report_is_its_own(here, tenant, people, report_id):
    stranger = new_user(here).id
    for recipients, report, field in (
        ([], report_id, "recipients"),
        ([stranger], report_id, "recipients"),
        (people, 0, "report"),
    ):
        with pytest.raises(Invalid, match=field):
            schedule(here, tenant.id, report, recipients)
    with pytest.raises(Invalid, match="report"):
        schedule(here, tenant.sandbox_id, report_id, people)


def test_a_schedule_goes_with_its_report(here, tenant, people, report_id):
    made = schedule(here, tenant.id, report_id, people)
    with here.database.transaction(tenant.id) as session:
        session.delete(session.get_one(SavedReport, (tenant.id, report_id)))

    with pytest.raises(NotFound):
        state(here, made)


def test_a_change_counts_from_now_on(here, tenant, people, report_id):
    made = schedule(here, tenant.id, report_id, people)
    plan = Plan(report_id, "xlsx", "weekly", 9, people[:1], weekday=4)
    with here.database.transaction(tenant.id) as session:
        schedules.change(session, session.get_one(Tenant, tenant.id), made.id, plan, page=PAGE, actor=ANA, now=NOW)
    found = state(here, made)

    assert (found.format, found.rhythm, found.weekday, found.day, found.recipients) == ("xlsx", "weekly", 4, None, people[:1])
    assert found.next_at == datetime(2026, 3, 13, 8, tzinfo=UTC)


def test_an_export_of_a_removed_schedule_tells_nobody(here, tenant, people, report_id, smtp, tmp_path):
    made = schedule(here, tenant.id, report_id, people)
    export = due(here, tenant, made, tmp_path)
    with here.database.transaction(tenant.id) as session:
        schedules.remove(session, tenant.id, made.id, actor=ANA)
    send(here, export, smtp)

    assert smtp.mails == []
    with here.database.transaction(tenant.id) as session:
        assert exports.get(session, tenant.id, export.id).state == "done"
