"""The demo's ledger: a year in which people come, buy, redeem and fade away, made by the database in sets.

Everything is drawn by hashing a seed with the participant's number and the entry's: the same seed and the same `now` give
the same ledger, in whatever portions it is made, and a million participants need no more memory than a thousand.
"""

import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import psycopg

HOURS = 365 * 24
AT_ONCE = 5_000  # participants a statement

# How a day goes, hour by hour: coffee on the way to work, lunch, and an afternoon that fades.
DAY = (1, 1, 1, 1, 2, 8, 40, 95, 100, 70, 52, 48, 62, 66, 44, 42, 45, 40, 26, 15, 9, 6, 3, 2)
WEEK = (0.9, 0.88, 0.92, 0.97, 1.12, 1.38, 1.2)  # from Monday
CAMPAIGNS = {  # first day (month, day), how many, how much busier
    "Spring double points": ((3, 20), 4, 1.6),
    "Harbour festival": ((7, 11), 3, 1.9),
    "Back to work": ((9, 1), 5, 1.4),
    "Black Friday": ((11, 27), 2, 1.8),
    "Advent calendar": ((12, 1), 24, 1.15),
}


class Size(NamedTuple):
    """How many participants and entries there are to be, and the first random number."""

    participants: int
    entries: int
    seed: int


class Movers(NamedTuple):
    """Who moves points: the keys of the till, the web shop and the app, and somebody who does it by hand."""

    till: int
    shop: int
    app: int
    person: int | None


PREPARE = """
    -- 0 to 1, without both.
    CREATE FUNCTION pg_temp.chance(number bigint, salt bigint) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((hashint8extended(number, salt) & 4503599627370495)::float8 + 0.5::float8) / 4503599627370496::float8;

    -- Around 1; half of all are below.
    CREATE FUNCTION pg_temp.skewed(number bigint, salt bigint, sigma float8) RETURNS float8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN exp(sigma * sqrt(-2 * ln(pg_temp.chance(number, salt))) * cos(2 * pi() * pg_temp.chance(number, salt + 1)));

    -- Hours by their share of the year's business; `since` in microseconds.
    CREATE TEMP TABLE hours (hour int PRIMARY KEY, share_before float8, share float8, since bigint, campaign text) ON COMMIT DROP;

    -- People in the order in which they join; `joins` and `leaves` are shares of the year's business, too.
    CREATE TEMP TABLE people (
        number bigint PRIMARY KEY, external_id text, joins float8, leaves float8, entry_count bigint, period int, spends float8
    ) ON COMMIT DROP;

    CREATE TEMP TABLE kinds (kind int PRIMARY KEY, reason text, mover int, points int, channel text) ON COMMIT DROP;
    INSERT INTO kinds VALUES
        (0, 'Welcome bonus', 3, 50, NULL),
        (1, 'Purchase completed', 1, NULL, 'store'),
        (2, 'Online order', 2, NULL, 'web'),
        (3, 'Order ahead', 3, NULL, 'app'),
        (4, 'Review written', 2, 25, NULL),
        (5, 'Referred a friend', 3, 200, NULL),
        (6, 'Survey answered', 3, 40, NULL),
        (7, NULL, 1, NULL, NULL),
        (8, 'Goodwill: a late order', 4, 150, NULL);
"""

FILL_PEOPLE = """
    INSERT INTO people
    WITH drawn AS (
        SELECT number, (number * 2654435761) %% 4294967296 AS scrambled, joins,
               LEAST(1, joins - 0.55 * ln(pg_temp.chance(number, %(seed)s + 1))) AS leaves,
               pg_temp.skewed(number, %(seed)s + 2, 0.7) AS keenness
        FROM generate_series(1, %(participants)s::bigint) AS number,
             LATERAL (SELECT 0.97 * power((number - pg_temp.chance(number, %(seed)s)) / %(participants)s, 1.4) AS joins) AS start
    ), weighed AS (
        SELECT *, keenness * (leaves - joins) AS weight FROM drawn
    ), placed AS (
        SELECT *, sum(weight) OVER (ORDER BY number) / sum(weight) OVER () AS until FROM weighed
    )
    SELECT number,
           CASE
               WHEN number %% 8 = 3 THEN 'user_' || number
               WHEN number %% 8 < 3 THEN
                   (string_to_array(%(first_names)s, ' '))[ceil(24 * pg_temp.chance(number, %(seed)s + 13))] || '.'
                   || (string_to_array(%(last_names)s, ' '))[ceil(24 * pg_temp.chance(number, %(seed)s + 14))]
                   || number || '@mail.example'
               WHEN number %% 8 < 7 THEN 'cust_' || lpad(to_hex(scrambled), 8, '0')
               ELSE '6330-' || lpad((scrambled / 1000000)::text, 4, '0') || '-' || lpad((scrambled %% 1000000)::text, 6, '0')
           END,
           joins, leaves,
           1 + round((%(entries)s - %(participants)s) * until)
             - round((%(entries)s - %(participants)s) * lag(until, 1, 0::float8) OVER (ORDER BY number)),
           6 + floor(11 * pg_temp.chance(number, %(seed)s + 4)), 0.6 + 0.38 * pg_temp.chance(number, %(seed)s + 5)
    FROM placed
"""

# Everybody's entries are spread evenly, but for chance, over the business done between their joining and leaving. Every
# `period`th spends: as much as brings what is spent in all to a share of what is earned, so no balance is ever below zero.
# The two entries after that may take back the one before them. Nothing in a row depends on chance in another.
FILL_PORTION = """
    WITH visit AS MATERIALIZED (
        SELECT p.*, seq, number << 20 | seq AS entry_number,
               pg_temp.chance(number << 20 | seq / period, %(seed)s + 6) AS luck,
               pg_temp.chance(number << 20 | seq, %(seed)s + 12) AS whim,
               joins + (leaves - joins) * (seq - pg_temp.chance(number << 20 | seq, %(seed)s + 7)) / p.entry_count AS place,
               round((11 * pg_temp.skewed(number << 20 | seq, %(seed)s + 10, 0.6))::numeric, 2) AS price
        FROM people AS p
        CROSS JOIN LATERAL generate_series(1, p.entry_count) AS seq
        WHERE p.number > %(after)s AND p.number <= %(until)s
    ), dated AS MATERIALIZED (
        SELECT visit.*, campaign, k.reason, k.mover, k.points, k.channel,
               since + (3.6e9 * (place - share_before) / share)::bigint + seq AS us,
               CASE
                   WHEN seq %% period = 0 THEN 'redeem'
                   WHEN seq %% period = 1 AND seq > period AND luck < 0.015 THEN 'return'
                   WHEN seq %% period = 2 AND luck > 0.97 THEN 'refund'
                   ELSE 'award'
               END AS role
        FROM visit
        JOIN hours AS h ON h.hour = width_bucket(place, %(shares)s::float8[])
        JOIN kinds AS k ON k.kind = CASE
            WHEN seq = 1 THEN 0 ELSE width_bucket(pg_temp.chance(entry_number, %(seed)s + 9), %(kind_shares)s::float8[]) END
    ), worth AS MATERIALIZED (
        -- The id is as the function entry_id makes it, but for chance: 48 bits of milliseconds, 12 of their fraction, 62 others.
        SELECT *, (lpad(to_hex(us / 1000), 12, '0') || '7' || lpad(to_hex(us %% 1000 * 4096 / 1000), 3, '0')
                   || to_hex(hashint8extended(entry_number, %(seed)s + 8) & 4611686018427387903 | (-9223372036854775808)))::uuid
                  AS id_of,
               CASE WHEN points IS NULL
                   THEN GREATEST(25, LEAST(1500, (price * 5)::int) * CASE WHEN campaign IS NULL THEN 1 ELSE 2 END)
                   ELSE points END AS value
        FROM dated
    ), earning AS (
        SELECT *, CASE role WHEN 'award' THEN value WHEN 'refund' THEN -lag(value) OVER past ELSE 0 END AS earned,
               lag(id_of) OVER past AS id_before
        FROM worth WINDOW past AS (PARTITION BY number ORDER BY seq)
    ), totalled AS (
        SELECT *, sum(earned) OVER past AS earned_after
        FROM earning WINDOW past AS (PARTITION BY number ORDER BY seq)
    ), redeeming AS (
        SELECT *, CASE role WHEN 'redeem' THEN 25 * (floor(spends * earned_after / 25)
                   - floor(spends * lag(earned_after, period, 0::bigint) OVER past / 25))::int END AS price_in_points
        FROM totalled WINDOW past AS (PARTITION BY number ORDER BY seq)
    ), spending AS (
        SELECT *, CASE role WHEN 'redeem' THEN price_in_points
                   WHEN 'return' THEN -lag(price_in_points) OVER past ELSE 0 END AS spent
        FROM redeeming WINDOW past AS (PARTITION BY number ORDER BY seq)
    ), entry AS MATERIALIZED (
        SELECT *, sum(spent) OVER past AS spent_after, to_timestamp(us / 1e6) AS at
        FROM spending WINDOW past AS (PARTITION BY number ORDER BY seq)
    ), person AS (
        INSERT INTO participants
            (tenant_id, external_id, balance, total_earned, total_spent, entry_count, tier, last_entry_at, created_at)
        SELECT %(tenant_id)s, external_id, sum(earned - spent), sum(earned), sum(spent), count(*),
               width_bucket(sum(earned), %(thresholds)s::bigint[]), max(at), min(at)
        FROM entry GROUP BY number, external_id ORDER BY number
        RETURNING id, external_id
    ), recorded AS (
        INSERT INTO ledger_entries (
            tenant_id, participant_id, seq, id, type, points, balance_after, total_earned_after, total_spent_after,
            ladder_version, tier_before, tier_after, reason, metadata, idempotency_key, api_key_id, user_id, request_id,
            created_at, reverses)
        SELECT %(tenant_id)s, person.id, seq, id_of,
               CASE role WHEN 'award' THEN 'award' WHEN 'redeem' THEN 'deduct' WHEN 'refund' THEN 'award_reversal'
                   ELSE 'deduct_reversal' END,
               earned - spent, earned_after - spent_after, earned_after, spent_after, %(ladder)s,
               width_bucket(earned_after - earned, %(thresholds)s::bigint[]),
               width_bucket(earned_after, %(thresholds)s::bigint[]),
               CASE role
                   WHEN 'refund' THEN CASE WHEN whim > 0.5 THEN 'Order cancelled' ELSE 'Beans returned' END
                   WHEN 'return' THEN 'Out of stock'
                   WHEN 'redeem' THEN CASE WHEN spent < 100 THEN 'Reward: Extra shot' WHEN spent < 250 THEN 'Reward: Free coffee'
                       WHEN spent < 450 THEN 'Reward: Breakfast for two' WHEN spent < 900 THEN 'Reward: Bag of beans'
                       ELSE 'Reward: Barista course' END
                   ELSE CASE WHEN campaign IS NOT NULL AND channel IS NOT NULL THEN campaign ELSE reason END
               END,
               CASE
                   WHEN role = 'award' AND channel IS NOT NULL THEN
                       '{"order_id":"ord_' || number || '-' || seq || '","amount_usd":' || price || ',"product":"'
                       || (%(products)s::text[])[ceil(8 * whim)] || '"'
                       || CASE channel WHEN 'store' THEN ',"store":"' || (%(stores)s::text[])[1 + (whim * 1000)::int %% 5] || '"'
                           ELSE ',"channel":"' || channel || '"' END
                       || CASE WHEN campaign IS NULL THEN '' ELSE ',"campaign":"' || campaign || '","factor":2' END || '}'
                   WHEN role = 'redeem' THEN '{"voucher":"' || upper(to_hex(entry_number %% 16777216)) || '"}'
               END::json,
               CASE WHEN is_keyed THEN 'order_' || number || '-' || seq END,
               CASE WHEN is_by_hand THEN NULL ELSE (%(keys)s::bigint[])[CASE role WHEN 'redeem' THEN 1 + (seq %% 2)::int * 2
                   WHEN 'award' THEN mover ELSE 1 END] END,
               CASE WHEN is_by_hand THEN %(person)s::bigint END,
               to_hex(hashint8extended(entry_number, %(seed)s + 11) | (-9223372036854775808)) || to_hex(us * 4096),
               at, CASE WHEN role IN ('refund', 'return') THEN id_before END
        FROM entry
        CROSS JOIN LATERAL (
            SELECT role = 'award' AND mover = 4 OR role = 'refund' AND whim > 0.6 AS is_by_hand,
                   role = 'award' AND channel = 'web' AND us >= %(keyed_since)s AS is_keyed
        ) AS said
        JOIN person USING (external_id)
        RETURNING id, idempotency_key, created_at
    )
    INSERT INTO idempotency_keys (tenant_id, key, fingerprint, entry_id, created_at)
    SELECT %(tenant_id)s, idempotency_key, sha256(convert_to(idempotency_key, 'UTF8')), id, created_at
    FROM recorded WHERE idempotency_key IS NOT NULL
"""

WORDS = {
    "first_names": (
        "ada ben carla david elif farid grace hana ivan julia kofi lena marco nadia oscar priya "
        "quinn rosa sami tara uma victor wanda yusuf"
    ),
    "last_names": (
        "adams baker costa diaz evans fischer garcia hughes ito jensen khan lopez meyer novak "
        "okafor patel quist rossi silva tanaka ueda vargas wright young"
    ),
    "products": ["Flat white", "Beans 500 g", "Cold brew", "Breakfast", "Gift box", "Espresso", "Oat latte", "Banana bread"],
    "stores": ["Harbourside", "Old Town", "Station", "Market Hall", "Pier 9"],
}
KIND_SHARES = [0.0, 0.5, 0.7, 0.88, 0.92, 0.94, 0.965, 0.99]  # from which chance on each kind but the first begins


def fill(
    connection: psycopg.Connection[Any],
    size: Size,
    *,
    tenant_id: int,
    ladder: tuple[int, list[int]],
    movers: Movers,
    now: datetime,
    zone: ZoneInfo,
    progress: Callable[[int], None],
) -> None:
    """Write a year of ledger up to `now`, in the caller's transaction. `progress` is told of entries as they are written."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0; SET LOCAL work_mem = '64MB'")
        cursor.execute(PREPARE)
        hours = list(calendar(now, zone))
        with cursor.copy("COPY hours FROM STDIN") as copy:
            for row in hours:
                copy.write_row(row)
        cursor.execute(FILL_PEOPLE, size._asdict() | WORDS)
        cursor.execute("ANALYZE people, hours, kinds")
        version, thresholds = ladder
        values = WORDS | {
            "seed": size.seed, "shares": [row[1] for row in hours], "kind_shares": KIND_SHARES, "tenant_id": tenant_id,
            "ladder": version, "thresholds": thresholds, "keys": [movers.till, movers.shop, movers.app], "person": movers.person,
            "keyed_since": int((now - timedelta(days=30)).timestamp() * 1e6),
        }  # fmt: skip
        for after in range(0, size.participants, AT_ONCE):
            portion = {"after": after, "until": after + AT_ONCE}
            cursor.execute(FILL_PORTION, values | portion)
            counted = "SELECT COALESCE(sum(entry_count), 0)::bigint FROM people WHERE number > %(after)s AND number <= %(until)s"
            found = cursor.execute(counted, portion).fetchone()
            progress(found[0] if found else 0)
        # Of this connection, which may live longer than the transaction.
        cursor.execute("DROP TABLE hours, people, kinds")
        cursor.execute("DROP FUNCTION pg_temp.skewed, pg_temp.chance")


def calendar(now: datetime, zone: ZoneInfo) -> Iterator[tuple[int, float, float, int, str | None]]:
    """Yield the hours of the year before `now`: (number, share of business before, share, start in microseconds, campaign)."""
    start = now - timedelta(hours=HOURS, seconds=1)
    starts = [start + timedelta(hours=n) for n in range(HOURS)]
    weighed = [_weight(at.astimezone(zone)) for at in starts]
    for late in range(1, 3):  # somebody is always just having a coffee
        weighed[-late] = max(weighed[-late][0], DAY[8]), weighed[-late][1]
    total = math.fsum(weight for weight, _ in weighed)
    before = [0.0, *accumulate(weight / total for weight, _ in weighed)]
    for number, (at, (weight, campaign)) in enumerate(zip(starts, weighed, strict=True)):
        yield number + 1, before[number], weight / total, int(at.timestamp() * 1e6), campaign


def _weight(at: datetime) -> tuple[float, str | None]:
    """How busy an hour is, by the season, the day of the week, the hour and what is on."""
    season = 1 + 0.22 * math.cos(2 * math.pi * (at.timetuple().tm_yday - 5) / 365)
    weight = DAY[at.hour] * WEEK[at.weekday()] * season
    for name, ((month, day), days, factor) in CAMPAIGNS.items():
        if 0 <= (at.date() - date(at.year, month, day)).days < days:
            return weight * factor, name
    return weight, None
