"""Compares what a network answered with what it recorded: every request that touched health data, and no other of those paths, has its
audit event. Reads HAR files of the requests, and `locum audit list` on standard input.

    locum audit list --data FOLDER | audited.py spin.toml HAR...
"""

import json
import re
import sys
import tomllib


def health_routes(manifest):
    """Patterns of the paths whose answers show health data, as the manifest declares them."""
    with open(manifest, "rb") as file:
        components = tomllib.load(file)["component"].values()
    routes = [r for c in components for r in c.get("tool", {}).get("locum", {}).get("health", [])]
    assert len(routes) > 10, routes
    return [re.compile(re.sub(r":\w+", "[^/]+", route) + "$") for route in routes]


def touched(files, routes):
    """Ids of requests that were answered with health data, and of all that reached such a path."""
    shown, reached = set(), set()
    for file in files:
        with open(file, encoding="utf-8") as text:
            entries = json.load(text)["log"]["entries"]
        for entry in entries:
            path = entry["request"]["url"].split("?")[0].split("/", 3)[3]
            # A browser's question beforehand, which the host answers by itself.
            if entry["request"]["method"] == "OPTIONS":
                continue
            if not any(route.match("/" + path) for route in routes):
                continue
            headers = {h["name"].lower(): h["value"] for h in entry["response"]["headers"]}
            request = headers.get("x-request-id")
            if request is None:
                continue
            reached.add(request)
            if 200 <= entry["response"]["status"] < 300:
                shown.add(request)
    return shown, reached


def main():
    routes = health_routes(sys.argv[1])
    shown, reached = touched(sys.argv[2:], routes)
    recorded = set()
    for line in sys.stdin:
        event = json.loads(line)
        if event["request"] in reached and event["outcome"] < 300:
            recorded.add(event["request"])
    print(f"{len(shown)} requests touched health data, {len(recorded)} of them are recorded, of {len(reached)} to such paths")
    if not shown:
        sys.exit("nothing touched health data: this says nothing")
    if shown != recorded:
        sys.exit(f"not recorded: {sorted(shown - recorded)[:5]}; recorded, not shown: {sorted(recorded - shown)[:5]}")


if __name__ == "__main__":
    main()
