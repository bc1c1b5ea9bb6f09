"""`gamify jobs`."""

import json

from tests.cli.asserting import fails, prints
from tests.harness import new_tenant


def failed(jobs, **arguments):
    job_id = jobs.defer("example_mistake", **arguments)
    jobs.ask("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %s RETURNING id", job_id)
    jobs.ask("INSERT INTO job_errors (job_id, error) VALUES (%s, 'KeyError at x.py:1 in f') RETURNING job_id", job_id)
    return job_id


def test_list_shows_the_newest_first_with_the_error_of_what_has_failed(jobs, quiet):
    first, second = failed(jobs), jobs.defer("example_mark", name="x")

    lines = prints(quiet, "jobs", "list").splitlines()
    assert [line.split("\t")[:3] for line in lines] == [
        [str(second), "todo", "example_mark"],
        [str(first), "failed", "example_mistake"],
    ]
    (line,) = prints(quiet, "jobs", "list", "--failed").splitlines()
    assert line.endswith("\tKeyError at x.py:1 in f")


def test_list_can_be_of_one_tenant_and_for_programs(jobs, quiet):
    tenant = new_tenant(jobs.here)
    jobs.defer("example_mark", name="other")
    mine = [jobs.defer("example_mark", tenant_id=each) for each in (tenant.id, tenant.sandbox_id)]

    told = json.loads(prints(quiet, "jobs", "list", "--tenant", tenant.slug, "--status", "todo", "--json"))

    assert [each["id"] for each in told["jobs"]] == mine[::-1]
    assert told["jobs"][0]["args"] == {"tenant_id": tenant.sandbox_id}
    assert "no-such" in fails(quiet, "jobs", "list", "--tenant", "no-such")


def test_retry_queues_one_or_all_that_have_failed(jobs, quiet):
    first, second, third = (failed(jobs, n=n) for n in range(3))

    prints(quiet, "jobs", "retry", str(first))
    assert [jobs.status(each) for each in (first, second, third)] == ["todo", "failed", "failed"]
    assert "2" in prints(quiet, "jobs", "retry", "--failed")
    assert jobs.status(third) == "todo"
    assert "todo" in fails(quiet, "jobs", "retry", str(first))
    assert "987654" in fails(quiet, "jobs", "retry", "987654")
    fails(quiet, "jobs", "retry", code=2)
    fails(quiet, "jobs", "retry", "1", "--failed", code=2)


def test_prune_deletes_what_is_over_and_nothing_else(jobs, quiet):
    old, queued = failed(jobs), jobs.defer("example_mark", name="x")
    jobs.ask("UPDATE procrastinate_events SET at = at - interval '10 days' RETURNING 1")

    assert "Deleted: 0." in prints(quiet, "jobs", "prune", "--older-than", "11")
    assert "Deleted: 1." in prints(quiet, "jobs", "prune")
    assert jobs.ask("SELECT id FROM procrastinate_jobs") == [(queued,)]
    assert jobs.ask("SELECT count(*) FROM job_errors WHERE job_id = %s", old) == [(0,)]
