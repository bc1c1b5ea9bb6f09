"""How pages write numbers and times."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask
from gamify.services.participants import NEVER
from markupsafe import Markup, escape

from dashboard.assets import address, icon
from dashboard.guard import now
from dashboard.tenancy import zone

MINUS = "−"  # noqa: RUF001  # as wide as the plus
STEPS = ((60, 1, "s"), (3_600, 60, "min"), (86_400, 3_600, "h"), (30 * 86_400, 86_400, "d"))
COMPACT = ((1_000_000_000_000, "T"), (1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K"))
LEAST_COMPACT = 10_000
JUST_NOW = 10  # seconds
HOURS = 24  # of a day


def init_app(app: Flask) -> None:
    """Give templates these filters."""
    for write in (number, signed, compact, percent, money, plain, moment, exact, day, ago, duration):
        app.jinja_env.filters[write.__name__] = write
    app.jinja_env.globals |= {"icon": icon, "asset": address, "zone": zone}


def number(value: float | None) -> str:
    """1234567 → 1,234,567."""
    return "–" if value is None else f"{value:,}".replace("-", MINUS)  # noqa: RUF001  # nothing there


def signed(value: float) -> str:
    """100 → +100, -50 → −50."""  # noqa: RUF002  # a minus
    return number(value) if value <= 0 else f"+{value:,}"


def compact(value: int) -> str:
    """1284002 → 1.28M; up to 9,999 in full."""
    if abs(value) < LEAST_COMPACT:
        return number(value)
    size, unit = next((size, unit) for size, unit in COMPACT if abs(value) >= size)
    return f"{float(f'{value / size:.3g}'):g}{unit}".replace("-", MINUS)


def percent(share: float | None, digits: int = 1) -> str:
    """0.124 → 12.4%; nothing to compare with → –."""  # noqa: RUF002  # nothing there
    return "–" if share is None else f"{share * 100:.{digits}f}%".replace("-", MINUS)  # noqa: RUF001  # nothing there


def money(amount: Decimal | None, currency: str = "") -> str:
    """1234.5 → EUR 1,234.50; of a currency that is named beside it, without its code."""
    if amount is None:
        return "–"  # noqa: RUF001  # nothing there
    return f"{currency} {amount:,.2f}".strip().replace("-", MINUS)


def plain(amount: Decimal) -> str:
    """0.0100000000 → 0.01."""
    return f"{amount.normalize():,f}"


def moment(at: datetime | None) -> Markup | str:
    """A time as people speak of it, with its exact time in the tenant's zone to be seen on it; who has not moved: never."""
    if at == NEVER:
        return "never"
    return "–" if at is None else _time(at, ago(at), title=_exact(at), is_relative=True)  # noqa: RUF001  # nothing there


def exact(at: datetime | None, seconds: bool = False) -> Markup | str:  # noqa: FBT001, FBT002  # templates call it
    """A time to the minute (or second) in the tenant's zone."""
    return "–" if at is None else _time(at, _exact(at, seconds=seconds), title=f"{_exact(at, seconds=True)} {_zone_name(at)}")  # noqa: RUF001  # nothing there


def day(at: datetime) -> str:
    """The day in the tenant's zone: 14 Feb 2026."""
    return f"{at.astimezone(zone()):%-d %b %Y}"


def ago(at: datetime) -> str:
    """How long ago or ahead: 3 min ago, in 5 d; beyond a month, the day."""
    seconds = (now() - at).total_seconds()
    distance = abs(seconds)
    if distance < JUST_NOW:
        return "just now"
    for limit, size, unit in STEPS:
        if distance < limit:
            text = f"{int(distance // size)} {unit}"
            return f"{text} ago" if seconds > 0 else f"in {text}"
    return day(at)


def duration(seconds: float) -> str:
    """75 → 1 min; what is less than a second is 1 s."""
    size, unit = next(((size, unit) for limit, size, unit in STEPS if seconds < limit), STEPS[-1][1:])
    return f"{max(int(seconds // size), 1)} {unit}"


def days(count: float) -> str:
    """84.52 → 84.5 days; less than one in hours."""
    size, unit = (1, "days") if count >= 1 else (HOURS, "hours")
    return f"{count * size:,.1f} {unit}"


def _exact(at: datetime, *, seconds: bool = False) -> str:
    return f"{at.astimezone(zone()):%Y-%m-%d %H:%M{':%S' if seconds else ''}}"


def _zone_name(at: datetime) -> str:
    found: ZoneInfo = zone()
    return f"{found.key} ({at.astimezone(found):%z})"


def _time(at: datetime, text: str, *, title: str, is_relative: bool = False) -> Markup:
    values: dict[str, Any] = {"at": at.astimezone(UTC).isoformat(), "title": title, "text": text}
    attribute = Markup(" data-relative") if is_relative else ""
    return Markup('<time datetime="{at}" title="{title}"{attribute}>{text}</time>').format(
        **{name: escape(value) for name, value in values.items()}, attribute=attribute
    )
