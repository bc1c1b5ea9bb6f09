"""What may be asked of reports; the API document is made from these."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from gamify.api.fields import Day, Text
from gamify.api.tier_schemas import one_of
from gamify.services import zones
from gamify.services.period import PRESETS
from gamify.services.reports.dimensions import LONGEST_KEY
from gamify.services.reports.roll_forward import BY_KEY, BY_REASON, BY_TIER, METADATA, TENANT
from gamify.services.reports.span import AGAINST, UNITS

SORTS = (TENANT, BY_TIER, BY_KEY, BY_REASON)


class Zone(fields.String):
    """The name of a time zone."""

    def __init__(self, what: str) -> None:
        described = {"description": what, "examples": ["Europe/Berlin"]}
        super().__init__(load_default=None, validate=self._check, metadata=described)

    @staticmethod
    def _check(value: str) -> None:
        if not zones.exists(value):
            raise ValidationError("Must be the name of a time zone, such as Europe/Berlin.")


class By(Text):
    """What a report is broken down by."""

    def __init__(self, what: str) -> None:
        described = {"description": what, "examples": ["metadata.channel"], "pattern": f"^({'|'.join(SORTS)}|metadata[.].+)$"}
        super().__init__(longest=len(METADATA) + LONGEST_KEY, load_default=TENANT, metadata=described)
        self.validators.append(self._check)

    @staticmethod
    def _check(value: str) -> None:
        if value not in SORTS and not (value.startswith(METADATA) and value != METADATA):
            raise ValidationError(f"Must be one of {', '.join(SORTS)}, or {METADATA}KEY with one of your dimensions for KEY.")


class SpanSchema(Schema):
    """Which days a report is about."""

    period = one_of(
        tuple(PRESETS), load_default=None, metadata={"description": "Days by their name, in place of `from` and `to`."}
    )
    since = Day(
        data_key="from",
        load_default=None,
        metadata={
            "description": "The first day; without `to` until today. The last 30 days, if nothing is said.",
            "examples": ["2026-02-01"],
        },
    )
    until = Day(
        data_key="to",
        load_default=None,
        metadata={"description": "The last day; without `from` it ends 30 days.", "examples": ["2026-02-28"]},
    )
    unit = one_of(
        UNITS,
        load_default=None,
        metadata={"description": "What the days are cut into: weeks begin on Monday. By default what makes few enough to read."},
    )
    zone = Zone("Whose days these are; the tenant's own by default.")
    compare = one_of(
        AGAINST,
        load_default=None,
        metadata={"description": "Adds the same of as many days right before these, or of the same days a year before."},
    )

    @validates_schema
    def check_days(self, values: dict[str, Any], **_: Any) -> None:
        """Refuse days that are said twice."""
        if values["period"] and (values["since"] or values["until"]):
            raise ValidationError("Must not be given together with from or to.", "period")


class RollForwardQuerySchema(SpanSchema):
    """A roll-forward."""

    by = By(
        "`tenant`: a row a period. `tier`: a row a tier, with who came and went. `key`, `reason` and `metadata.KEY` for one of "
        "your dimensions: what each has moved, the most first."
    )


class LiabilityQuerySchema(SpanSchema):
    """A liability, and its course over the days."""

    as_of = Day(
        load_default=None,
        metadata={
            "description": "At the end of this day, today by default; the days asked for are those of the course.",
            "examples": ["2026-01-31"],
        },
    )


class AgesQuerySchema(Schema):
    """The age of what is outstanding, and how far it is counted."""

    as_of = Day(
        load_default=None,
        metadata={
            "description": "At the end of this day, today by default; of a day that is not over, now.",
            "examples": ["2026-01-31"],
        },
    )
    zone = Zone("Whose day that is; the tenant's own by default.")
    cursor = Text(
        longest=4_000,
        load_default=None,
        metadata={"description": "`next_cursor` of the answer before, which knows the day and the zone too."},
    )


class OwnDaysSchema(SpanSchema):
    """What participants do."""

    zone = Zone("Only the tenant's own, for who is active is counted in its days.")
