"""Compares what a network answered with what it recorded: every request that touched health data, and no other of those paths, has its
audit event; and so has every request of somebody whose role may not. Reads HAR files of the requests, and `locum audit list` on
standard input.

    locum audit list --data FOLDER | audited.py spin.toml HAR...
"""

import base64
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


def answered(files):
    """Path, status, request id and problem of each answer."""
    for file in files:
        with open(file, encoding="utf-8") as text:
            entries = json.load(text)["log"]["entries"]
        for entry in entries:
            path = "/" + entry["request"]["url"].split("?")[0].split("/", 3)[3]
            headers = {h["name"].lower(): h["value"] for h in entry["response"]["headers"]}
            # A browser's question beforehand the host answers by itself.
            if entry["request"]["method"] != "OPTIONS" and "x-request-id" in headers:
                yield path, entry["response"]["status"], headers["x-request-id"], problem(entry["response"]["content"])


def problem(content):
    text = content.get("text") or ""
    if content.get("encoding") == "base64":
        text = base64.b64decode(text).decode(errors="replace")
    found = re.search(r'"type": ?"urn:locum:problem:([a-z0-9-]+)"', text)
    # What FHIR resources are refused for stands in an outcome, which may be one of a batch.
    found = found or re.search(r'"code": ?"(role-not-allowed|not-given)", ?"system": ?"urn:locum:problem"', text)
    return found and found[1]


def compare(what, shown, recorded):
    print(f"{len(shown)} requests {what}, {len(shown & recorded)} of them are recorded")
    if not shown:
        sys.exit(f"none {what}: this says nothing")
    if shown != recorded:
        sys.exit(f"not recorded: {sorted(shown - recorded)[:5]}; recorded, not so: {sorted(recorded - shown)[:5]}")


def main():
    routes = health_routes(sys.argv[1])
    shown, reached, refused, missing = set(), set(), set(), set()
    for path, status, request, said in answered(sys.argv[2:]):
        if any(route.match(path) for route in routes):
            reached.add(request)
            if 200 <= status < 300:
                shown.add(request)
        if said in ("role-not-allowed", "not-given"):
            refused.add(request)
        if status == 404:
            missing.add(request)
    events = [json.loads(line) for line in sys.stdin]
    compare("touched health data", shown, {e["request"] for e in events if e["request"] in reached and e["outcome"] < 300})
    # Who asks for an id that this clinic does not have is recorded in the same way.
    told = {e["request"] for e in events if e["code"] == "operation-refused"}
    compare("were refused by role", refused, told - missing)
    print(f"{len(reached)} requests to paths of health data, {len(told & missing)} for what is not there")


if __name__ == "__main__":
    main()
