import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { parseBill } from "../../demo/reader/bill-row.js";
import type { BillRow } from "./evidence.js";

/**
 * Reads the simulator's bill line by line.
 * @throws Error naming the line when one is no row: a bill that can't be read proves nothing.
 */
export async function readBill(file: string): Promise<readonly BillRow[]> {
  const rows: BillRow[] = [];
  const lines = createInterface({ input: createReadStream(file, "utf8"), crlfDelay: Number.POSITIVE_INFINITY });
  let number = 0;
  for await (const line of lines) {
    number += 1;
    if (line === "") continue;
    const [row] = parseBill(line).rows;
    if (row === undefined) throw new Error(`${file}, line ${String(number)}: expected a row of a bill`);
    rows.push(row);
  }
  return rows;
}
