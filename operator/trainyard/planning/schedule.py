"""When a cron schedule is due next.

Separate because planning has no clock, and the library takes fewer spellings than the API does.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


@lru_cache(maxsize=1024)
def due_after(schedule: str, time_zone: str | None, moment: int) -> float:
    """Seconds since the epoch of the first time after `moment`. Raises ValueError, with a sentence, for a schedule that
    is never due or a time zone that is not known.
    """
    try:
        zone = ZoneInfo(time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"the time zone {time_zone} is not known; Europe/Berlin and UTC are examples."
        ) from error
    spelt = _MACROS.get(schedule, schedule).replace("?", "*")
    try:
        due = next(CronSim(spelt, datetime.fromtimestamp(moment, tz=UTC).astimezone(zone)))
    except (CronSimError, StopIteration) as error:
        why = f" ({error})" if str(error) else ", as there is no such day"
        raise ValueError(f"the schedule {schedule} is never due{why}.") from error
    return due.timestamp()
