// Rows of a table: how long pictures stood still in each kind of fault, from what the browser test `moves` wrote down.
import { readFileSync } from "node:fs";
import { quantile } from "./browser/figures.js";

const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
const faults = {
  drain: ["the node is drained", "goal ≤ 1 s"],
  kill: ["the node is killed (SIGKILL)", "goals ≤ 3 s, ≤ 5 s p95"],
};

console.log("| how long the other side's picture stood still, at both pages | rounds | median | p95 | worst |");
console.log("|---|---|---|---|---|");
for (const [fault, rounds] of Object.entries(JSON.parse(readFileSync(process.argv[2], "utf8")))) {
  const [what, goals] = faults[fault];
  for (const [where, key] of [["decoded", "decodedMs"], ["shown", "shownMs"]]) {
    const all = rounds.flat().map((still) => still[key]);
    const [median, p95, worst] = [0.5, 0.95, 1].map((share) => seconds(quantile(all, share)));
    console.log(`| ${what}, ${where} (${goals}) | ${rounds.length} | ${median} | ${p95} | ${worst} |`);
  }
}
