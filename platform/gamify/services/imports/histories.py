"""Writing histories: a share of the lines a transaction, with rollups that are exact at its end."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from gamify.services import rollup_late, rollups
from gamify.services.imports import staging
from gamify.services.rollups import LOCKED_FOR

AT_ONCE = 2_000  # lines a transaction: awards to these participants wait for it

PEOPLE = text("""
    SELECT history_people(:tenant_id, ARRAY(
        SELECT DISTINCT participant FROM import_lines WHERE share = :share AND standing = 'new'
    ))
""")
WRITE = text("""
    SELECT history_write(:tenant_id, ARRAY(
        SELECT ROW(p.id, l.at, l.points, l.reason, l.metadata, l.key, l.fingerprint)::history_line
        FROM import_lines AS l
        JOIN participants AS p ON p.tenant_id = :tenant_id AND p.external_id = l.participant
        WHERE l.share = :share AND l.standing = 'new' AND p.id = ANY (CAST(:people AS bigint[]))
        ORDER BY l.line
    ))
""")
WRITTEN = text("""
    SELECT count(*) FROM import_lines AS l JOIN participants AS p ON p.tenant_id = :tenant_id AND p.external_id = l.participant
    WHERE l.share = :share AND l.standing = 'new' AND p.id = ANY (CAST(:people AS bigint[]))
""")
# Who was awarded something between the look and the lock.
MISSED = text("""
    UPDATE import_lines AS l SET standing = 'occupied'
    FROM participants AS p
    WHERE p.tenant_id = :tenant_id AND p.external_id = l.participant AND l.share = :share AND l.standing = 'new'
          AND p.id <> ALL (CAST(:people AS bigint[]))
""")


def write(session: Session, tenant_id: int, share: int) -> int:
    """Write a share of the lines; return how many. Whoever has got entries meanwhile is left out."""
    rollups.hold(session, tenant_id)
    session.execute(text(f"SET LOCAL lock_timeout = {LOCKED_FOR}"))  # `hold` has set it back
    staging.compare_share(session, tenant_id, share, is_history=True)
    staging.leave_out(session, share)
    values = {"tenant_id": tenant_id, "share": share}
    people = session.scalars(PEOPLE, values).all()
    session.execute(MISSED, values | {"people": people})
    if not people:
        return 0
    rollup_late.withdraw(session, tenant_id, people)
    session.execute(WRITE, values | {"people": people})
    rollup_late.add(session, tenant_id, people)
    count: int = session.scalars(WRITTEN, values | {"people": people}).one()
    return count
