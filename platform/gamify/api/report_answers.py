"""What is answered of reports; the API document and the columns of files are made from these."""

from typing import Any

from marshmallow import Schema, fields

from gamify.api.tier_schemas import one_of
from gamify.services.reports.rises import MOST as MOST_RISES
from gamify.services.reports.span import UNITS


def _day(name: str, **kwargs: Any) -> fields.Date:
    return fields.Date(data_key=name, metadata={"examples": ["2026-02-01"]}, **kwargs)


def _count(what: str | None = None, **kwargs: Any) -> fields.Integer:
    return fields.Integer(metadata={"description": what} if what else {}, **{"required": True, **kwargs})


def _money(what: str, **kwargs: Any) -> fields.String:
    metadata = {"description": f"{what} Null without a cost.", "examples": ["1234.5"]}
    return fields.String(required=True, allow_none=True, metadata=metadata, **kwargs)


def _currency() -> fields.String:
    return fields.String(
        required=True, allow_none=True, metadata={"description": "A code of three letters.", "examples": ["EUR"]}
    )


def _rate(what: str) -> fields.Float:
    return fields.Float(required=True, allow_none=True, metadata={"description": f"{what} Null where there is nothing to share."})


def _rows(schema: type[Schema], what: str | None = None) -> fields.List[Any]:
    return fields.List(fields.Nested(schema), required=True, metadata={"description": what} if what else {})


def _compared(schema: type[Schema]) -> fields.Nested:
    what = "The same of the days to compare with; null unless asked for."
    return fields.Nested(schema, required=True, allow_none=True, metadata={"description": what})


class TierNameSchema(Schema):
    """A tier; code and name of null are for those without one."""

    code = fields.String(required=True, allow_none=True, metadata={"examples": ["gold"]})
    name = fields.String(required=True, allow_none=True, metadata={"examples": ["Gold Tier"]})


class DaysSchema(Schema):
    """Days from one to another, which may be the same."""

    since = _day("from", required=True)
    until = _day("to", required=True)


class AskedSchema(DaysSchema):
    """What a report is about."""

    unit = one_of(UNITS, required=True)
    zone = fields.String(required=True, metadata={"description": "Whose days these are.", "examples": ["Europe/Berlin"]})


class MovementsSchema(Schema):
    """Points that have moved, all of them positive."""

    awarded = _count("Points of awards.")
    reversed = _count("Points of awards that were taken back.")
    deducted = _count("Points of deducts.")
    given_back = _count("Points of deducts that were given back.")
    award_count = _count("Awards.")
    entry_count = _count("Transactions of every type.")


class _BeforeSchema(Schema):
    since = _day("from")
    until = _day("to")
    tier = fields.Nested(TierNameSchema, metadata={"description": "By tier."})
    name = fields.String(
        allow_none=True,
        metadata={"description": "By key, reason or metadata: which. Null for those without one.", "examples": ["Purchase"]},
    )
    prefix = fields.String(allow_none=True, metadata={"description": "Of a key.", "examples": ["gk_live_5VnYq0aB"]})
    rest = fields.Boolean(metadata={"description": "Whether these are all together that are not shown by themselves."})
    opening = _count("Points before.", required=False)


class _AfterSchema(Schema):
    moved_in = _count("Points that participants have brought with them.", required=False)
    moved_out = _count("Points that participants have taken with them.", required=False)
    closing = _count("Points after.", required=False)
    participants_before = _count(required=False)
    came = _count("Participants, new ones too.", required=False)
    went = _count("Participants.", required=False)
    participants_after = _count(required=False)


class RollForwardRowSchema(_AfterSchema, MovementsSchema, _BeforeSchema):
    """A line: opening + awarded - reversed - deducted + given_back = closing; of a tier also + moved_in - moved_out.

    Which members there are depends on what it is broken down by.
    """


class _RollForwardSchema(Schema):
    rows = _rows(RollForwardRowSchema)
    totals = fields.Nested(RollForwardRowSchema, required=True)


class RollForwardPartSchema(_RollForwardSchema, DaysSchema):
    """A roll-forward of some days."""


class RollForwardSchema(_RollForwardSchema, AskedSchema):
    """A roll-forward."""

    by = fields.String(required=True, metadata={"description": "What it is broken down by.", "examples": ["tenant"]})
    compared = _compared(RollForwardPartSchema)


class LiabilityFiguresSchema(Schema):
    """What is outstanding at the end of a day, and what follows from it."""

    as_of = _day("as_of", required=True)
    points = _count("Points outstanding.")
    cost = _money("What a point costs on that day.")
    amount = _money("What the points cost: points * cost.")
    currency = _currency()
    earned = _count("Points of all awards until then, less those taken back.")
    redeemed = _count("Points of all deducts until then, less those given back.")
    matured = _count("Of what is earned, what was earned more than 365 days before.")
    redemption_rate = _rate("redeemed / earned, a share of 1.")
    breakage_rate = _rate("max(0, matured - redeemed) / matured, a share of 1: who redeems spends the oldest points first.")
    breakage = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Points that are not expected to be redeemed: points * breakage_rate, rounded down."},
    )
    breakage_amount = _money("What those cost.")


class LiabilityTierSchema(Schema):
    """What participants of a tier hold at the end of that day."""

    tier = fields.Nested(TierNameSchema, required=True)
    participants = _count()
    points = _count()
    amount = _money("What the points cost.")
    currency = _currency()


class CourseSchema(DaysSchema):
    """What is outstanding at the end of a period, and what it costs on its last day."""

    points = _count()
    amount = _money("What the points cost.")
    currency = _currency()


class _LiabilitySchema(Schema):
    figures = fields.Nested(LiabilityFiguresSchema, required=True)
    tiers = _rows(LiabilityTierSchema)
    course = _rows(CourseSchema)


class LiabilityPartSchema(_LiabilitySchema, DaysSchema):
    """A liability, and its course over some days."""


class LiabilitySchema(_LiabilitySchema, AskedSchema):
    """What the points cost that are not redeemed yet, and the course of it."""

    compared = _compared(LiabilityPartSchema)


class AgeSchema(Schema):
    """What is left of points of an age; whoever redeems spends their oldest points first."""

    older_than_days = _count("Days.")
    up_to_days = fields.Integer(required=True, allow_none=True, metadata={"description": "Days; null: without end."})
    points = _count()
    amount = _money("What the points cost.")


class AgesSchema(Schema):
    """How old the points are that are outstanding, of the participants who are counted so far."""

    as_of = _day("as_of", required=True)
    zone = fields.String(required=True, metadata={"description": "Whose day that is.", "examples": ["Europe/Berlin"]})
    at = fields.DateTime(
        required=True,
        metadata={
            "description": "The instant that every part is of: the end of the day or, if it was not over, when you began.",
            "examples": ["2026-02-14T23:00:00Z"],
        },
    )
    outstanding = _count("Points of every age.")
    cost = _money("What a point costs on that day.")
    currency = _currency()
    participants_done = _count("Who is counted, this answer's and those before.")
    next_cursor = fields.String(required=True, allow_none=True, metadata={"description": "Null when everybody is counted."})
    ages = _rows(AgeSchema, "The youngest first.")


class TierStandingSchema(Schema):
    """Who is on a tier, and what they hold."""

    tier = fields.Nested(TierNameSchema, required=True)
    participants = _count()
    points = _count()


class DistributionSchema(DaysSchema):
    """Who is on which tier at the end of a period."""

    tiers = _rows(TierStandingSchema)


class TierFlowSchema(Schema):
    """Who came from one tier to another."""

    since = fields.Nested(
        TierNameSchema, data_key="from", required=True, allow_none=True, metadata={"description": "Null: they are new."}
    )
    until = fields.Nested(TierNameSchema, data_key="to", required=True)
    is_new = fields.Boolean(required=True)
    participants = _count("Whoever went there several times counts each time.")
    points = _count("That they took with them.")


class RiseSchema(Schema):
    """Rises from one tier to another by a transaction: days for which participants had been on the first."""

    since = fields.Nested(TierNameSchema, data_key="from", required=True)
    until = fields.Nested(TierNameSchema, data_key="to", required=True)
    number = _count("Rises.")
    lower_quartile = fields.Float(required=True, metadata={"description": "Days that a quarter of them took at most."})
    median = fields.Float(required=True, metadata={"description": "Days that half of them took at most."})
    upper_quartile = fields.Float(required=True, metadata={"description": "Days that three quarters of them took at most."})


class RisesSchema(Schema):
    """How long it took to come to the next tier."""

    is_sample = fields.Boolean(
        required=True, metadata={"description": f"Whether only the newest {MOST_RISES} of these days have been looked at."}
    )
    between = _rows(RiseSchema)


class _TiersSchema(Schema):
    before = _rows(TierStandingSchema, "Who was on which tier before the first period.")
    distribution = _rows(DistributionSchema)
    flows = _rows(TierFlowSchema)
    rises = fields.Nested(RisesSchema, required=True)


class TiersPartSchema(_TiersSchema, DaysSchema):
    """Tiers in some days."""


class TiersReportSchema(_TiersSchema, AskedSchema):
    """Who is on which tier, who has moved, and how long it took."""

    compared = _compared(TiersPartSchema)


class ActiveSchema(DaysSchema):
    """Participants with a transaction in a period."""

    participants = _count()


class ComingBackSchema(Schema):
    """Who of a cohort came back in a month."""

    active_in = _day("active_in", required=True)
    participants = _count()


class CohortSchema(Schema):
    """Those whose first transaction was in a month."""

    month = _day("month", required=True)
    size = _count("Participants.")
    active = _rows(ComingBackSchema, "Month by month, from their first one on.")


class BarSchema(Schema):
    """How many there are of a size."""

    least = _count("From so many points on.")
    above = fields.Integer(required=True, allow_none=True, metadata={"description": "Below so many points; null: without end."})
    number = _count()
    points = _count("What they come to together.")


class _NamedSchema(Schema):
    name = fields.String(
        required=True, allow_none=True, metadata={"description": "Null for those without one.", "examples": ["Purchase"]}
    )
    rest = fields.Boolean(
        required=True, metadata={"description": "Whether these are all together that are not shown by themselves."}
    )


class GroupSchema(MovementsSchema, _NamedSchema):
    """What has moved with one reason."""


class KeyGroupSchema(GroupSchema):
    """What one key has moved; people and no key are one group without a name."""

    prefix = fields.String(required=True, allow_none=True, metadata={"examples": ["gk_live_5VnYq0aB"]})


class _ActivitySchema(Schema):
    active = _rows(ActiveSchema)
    cohorts = _rows(CohortSchema)
    award_sizes = _rows(BarSchema, "Awards by their points.")
    reasons = _rows(GroupSchema, "The most points first.")
    keys = _rows(KeyGroupSchema, "The most points first.")


class ActivityPartSchema(_ActivitySchema, DaysSchema):
    """What participants did in some days."""


class ActivitySchema(_ActivitySchema, AskedSchema):
    """What participants do."""

    balances = _rows(BarSchema, "Participants by their balance, as it is now.")
    compared = _compared(ActivityPartSchema)
