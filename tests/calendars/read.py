"""What the Python library icalendar reads in files: one JSON object a file. Usage: read.py ZONE FILE..."""

import json
import sys
from zoneinfo import ZoneInfo

from icalendar import Calendar

zone = ZoneInfo(sys.argv[1])
for name in sys.argv[2:]:
    with open(name, "rb") as file:
        calendar = Calendar.from_ical(file.read())
    (event,) = calendar.walk("VEVENT")
    start, end = event["DTSTART"].dt, event["DTEND"].dt
    print(json.dumps({
        "method": str(calendar.get("METHOD", "")),
        "uid": str(event["UID"]),
        "sequence": int(event["SEQUENCE"]),
        "status": str(event["STATUS"]),
        "start": int(start.timestamp()),
        "end": int(end.timestamp()),
        "local": start.astimezone(zone).strftime("%Y-%m-%d %H:%M"),
    }))
