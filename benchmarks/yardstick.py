"""The same award as a good team would write it in a day: FastAPI, SQLAlchemy's ORM, SELECT … FOR UPDATE.

Same tables, same checks (key, scope, limits, validation, idempotency key, row-level security), same database. Served by
two uvicorn workers: `uvicorn benchmarks.yardstick:app --workers 2`.
"""

import hashlib
import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import redis
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse
from gamify.db import sqlalchemy_url
from gamify.models import ApiKey, IdempotencyKey, KeyDigest, Ladder, LedgerEntry, Participant, Tenant, Tier
from gamify.services.api_keys import digest, is_well_formed
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import create_engine, event, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

engine = create_engine(sqlalchemy_url(os.environ["DATABASE_URL"]), pool_size=20, max_overflow=0)
sessions = sessionmaker(engine, expire_on_commit=False)
limits = redis.Redis.from_url(os.environ["REDIS_URL"])
app = FastAPI()


@event.listens_for(engine, "connect")
def put_on_role(connection: Any, _record: Any) -> None:
    connection.autocommit = True
    connection.execute("SET ROLE gamify_app")
    connection.autocommit = False


class Award(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    participant_id: str = Field(min_length=1, max_length=255)
    amount: int = Field(ge=1, le=1_000_000)
    reason: str | None = Field(None, max_length=500)
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = Field(None, pattern=r"^[A-Za-z0-9_:.-]{1,255}$")


def session_of_caller(x_api_key: Annotated[str, Header()] = "") -> Any:
    if not is_well_formed(x_api_key):
        raise HTTPException(401)
    with sessions() as session, session.begin():
        found = session.get(KeyDigest, digest(x_api_key, os.environ["API_KEY_PEPPER"]))
        if found is None:
            raise HTTPException(401)
        session.execute(text(f"SET LOCAL app.tenant_id = '{found.tenant_id}'"))
        key = session.get_one(ApiKey, (found.tenant_id, found.api_key_id))
        tenant = session.get_one(Tenant, found.tenant_id)
        if key.revoked_at or "points:write" not in key.scopes or tenant.status != "active":
            raise HTTPException(403)
        pipeline = limits.pipeline()
        minute = int(datetime.now(UTC).timestamp() // 60)
        for name in (f"yard:key:{key.id}:{minute}", f"yard:tenant:{tenant.id}:{minute}"):
            pipeline.incr(name).expire(name, 60)
        of_key, _, of_tenant, _ = pipeline.execute()
        if of_key > key.rate_limit or of_tenant > tenant.rate_limit:
            raise HTTPException(429)
        session.info["tenant_id"], session.info["api_key_id"] = tenant.id, key.id
        yield session


@app.post("/api/v1/gamify/points/award")
def award(body: Award, session: Annotated[Session, Depends(session_of_caller)]) -> JSONResponse:
    tenant_id = session.info["tenant_id"]
    print_of = hashlib.sha256(body.model_dump_json().encode()).digest()[:16]
    if body.idempotency_key:
        known = session.get(IdempotencyKey, (tenant_id, body.idempotency_key))
        if known is not None:
            if known.fingerprint != print_of:
                raise HTTPException(422)
            entry = session.scalars(
                select(LedgerEntry).where(LedgerEntry.tenant_id == tenant_id, LedgerEntry.id == known.entry_id)
            ).one()
            return answer(session, entry, body.participant_id)
    whose = (Participant.tenant_id == tenant_id, Participant.external_id == body.participant_id)
    holder = session.scalars(select(Participant).where(*whose).with_for_update()).one_or_none()
    now = datetime.now(UTC)
    if holder is None:
        zeros = dict.fromkeys(("balance", "total_earned", "total_spent", "entry_count"), 0)
        holder = Participant(tenant_id=tenant_id, external_id=body.participant_id, tier=0, last_entry_at=now, **zeros)
        session.add(holder)
    ladder = session.scalars(select(Ladder).where(Ladder.tenant_id == tenant_id).order_by(Ladder.version.desc()).limit(1)).one()
    holder.balance += body.amount
    holder.total_earned += body.amount
    holder.entry_count += 1
    holder.last_entry_at = max(now, holder.last_entry_at + timedelta(microseconds=1))
    tier_before, holder.tier = holder.tier, sum(threshold <= holder.total_earned for threshold in ladder.thresholds)
    session.flush()
    entry = LedgerEntry(
        tenant_id=tenant_id,
        participant_id=holder.id,
        seq=holder.entry_count,
        id=uuid.uuid4(),
        type="award",
        points=body.amount,
        balance_after=holder.balance,
        total_earned_after=holder.total_earned,
        total_spent_after=holder.total_spent,
        ladder_version=ladder.version,
        tier_before=tier_before,
        tier_after=holder.tier,
        reason=body.reason,
        metadata_=body.metadata,
        idempotency_key=body.idempotency_key,
        api_key_id=session.info["api_key_id"],
        created_at=holder.last_entry_at,
    )
    session.add(entry)
    if body.idempotency_key:
        session.add(IdempotencyKey(tenant_id=tenant_id, key=body.idempotency_key, fingerprint=print_of, entry_id=entry.id))
    try:
        session.flush()
    except IntegrityError as error:
        raise HTTPException(409) from error
    return answer(session, entry, body.participant_id)


def answer(session: Session, entry: LedgerEntry, participant_id: str) -> JSONResponse:
    upgrade = None
    if entry.tier_after > entry.tier_before:
        tier = session.get_one(Tier, (entry.tenant_id, entry.ladder_version, entry.tier_after))
        upgrade = {"code": tier.code, "name": tier.name, "level": tier.level}
    return JSONResponse(
        {
            "transaction_id": str(entry.id),
            "participant_id": participant_id,
            "amount": entry.points,
            "new_balance": entry.balance_after,
            "tier_upgrade": upgrade,
        }
    )
