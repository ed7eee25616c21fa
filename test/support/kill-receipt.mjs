/**
 * Judges the line that `npm run demo -- --kill … --json` ends with, by its numbers alone: the demo's own `holds` is one of them, so a demo
 * that calls everything held does not pass by that.
 *
 *   npm run demo -- --jobs N --kill K --doubt retry --json | node test/support/kill-receipt.mjs --jobs N --kills K
 *
 * Exit 1 when a promise is broken, each told in a line on stderr.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/**
 * @param line the last line of the demo's stdout
 * @param asked `jobs` and `kills` as the demo was told
 * @returns what is not as promised, in words; empty when all holds
 */
export function brokenIn(line, { jobs, kills }) {
  let receipt;
  try {
    receipt = JSON.parse(line);
  } catch {
    return [`expected the demo's JSON line, got ${JSON.stringify(line)}`];
  }
  const exactly = { jobs, results: jobs, lost: 0, duplicates: 0, failed: 0, findings: 0, kills, holds: true };
  const broken = Object.entries(exactly).flatMap(([name, wanted]) =>
    receipt[name] === wanted ? [] : [`${name} is ${JSON.stringify(receipt[name])}, expected ${String(wanted)}`],
  );
  const { costNanoUsd, inDoubtBilledNanoUsd, billNanoUsd, inDoubt, callsInAirAtKills } = receipt;
  if (!sumsUp(costNanoUsd, inDoubtBilledNanoUsd, billNanoUsd)) {
    broken.push(`cost ${costNanoUsd} and ${inDoubtBilledNanoUsd} in doubt are not the bill, ${billNanoUsd}`);
  }
  // A run in which no kill met a call shows nothing.
  if (!(callsInAirAtKills > 0)) broken.push(`${callsInAirAtKills} calls in the air at kills, expected some`);
  if (!(inDoubt <= callsInAirAtKills)) {
    broken.push(`${inDoubt} attempts in doubt, more than the ${callsInAirAtKills} calls in the air at kills`);
  }
  return broken;
}

/** Money is decimal text; a bill of nothing would equal a ledger of nothing. */
function sumsUp(cost, inDoubtBilled, bill) {
  const amounts = [cost, inDoubtBilled, bill];
  if (!amounts.every((amount) => typeof amount === "string" && /^\d+$/.test(amount))) return false;
  return BigInt(bill) > 0n && BigInt(cost) + BigInt(inDoubtBilled) === BigInt(bill);
}

async function main() {
  const { values } = parseArgs({ options: { jobs: { type: "string" }, kills: { type: "string" } } });
  const asked = { jobs: Number(values.jobs), kills: Number(values.kills) };
  if (!(asked.jobs > 0 && asked.kills > 0)) {
    process.stderr.write("usage: … | node test/support/kill-receipt.mjs --jobs N --kills K\n");
    return 2;
  }
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const part of process.stdin) text += part;
  const broken = brokenIn(text.trimEnd().split("\n").at(-1), asked);
  for (const line of broken) process.stderr.write(`demo with kills: ${line}\n`);
  return broken.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
