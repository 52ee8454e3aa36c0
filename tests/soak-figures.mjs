// Rows of a table: each figure of each kind of drill, over all reports in a folder.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
const files = readdirSync(folder).filter((name) => name.endsWith(".json") && name !== "keys.json");
const kinds = new Map();
for (const name of files.sort()) {
  const report = JSON.parse(readFileSync(join(folder, name), "utf8"));
  const title = `${report.drill} of ${report.target}`;
  kinds.set(title, [...(kinds.get(title) ?? []), report]);
}

// Whatever never came is the worst of all.
const ascending = (a, b) => (a ?? Infinity) - (b ?? Infinity);
const median = (values) => values.toSorted(ascending)[Math.floor((values.length - 1) / 2)];
const shown = (value, unit) => (value == null ? "never" : unit ? `${value.toFixed(2)} ${unit}` : String(value));

for (const [kind, reports] of kinds) {
  const rounds = reports.flatMap((report) => report.rounds);
  const names = new Set(reports.flatMap((report) => report.lines.map((line) => line.name)));
  for (const name of names) {
    const lines = reports.flatMap((report) => report.lines.filter((line) => line.name === name));
    const key = name.startsWith("records") ? "records" : name;
    const measured = rounds.map((round) => round.seconds?.[key]).filter((value) => value !== undefined);
    // What is not a figure of a round has one a report.
    const all = measured.length > 0 ? measured : lines.map((line) => line.median);
    const worst = lines.map((line) => line.worst).toSorted(ascending).at(-1);
    const { title, unit, limit } = lines[0];
    const broken = lines.every((line) => line.passed) ? "" : " **broken**";
    const most = limit === null ? "" : `${limit} ${unit}${broken}`;
    const count = rounds.length > 0 ? `, ${rounds.length}` : "";
    console.log(`| ${kind}${count} | ${title} | ${shown(median(all), unit)} | ${shown(worst, unit)} | ${most} |`);
  }
}
