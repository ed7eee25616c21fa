/** Commands on a machine whose clock is wrong. */
import { afterEach, expect, jest, test } from "@jest/globals";
import { withOperator } from "../../src/app/operator/open-operator.js";
import { OperatorFixture } from "./operator-fixture.js";

let ledger: OperatorFixture;
afterEach(async () => {
  jest.restoreAllMocks();
  await ledger.close();
});

test("a command goes by the database's clock, whatever its machine's says", async () => {
  ledger = await OperatorFixture.open();
  const machineMs = Date.now.bind(Date);
  jest.spyOn(Date, "now").mockImplementation(() => machineMs() + 26 * 3_600_000);
  const toldMs = await withOperator(ledger.config, ({ nowMs }) => Promise.resolve(nowMs()));
  const [row] = await ledger.rows("SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now");
  expect(Math.abs(Number(row?.["now"]) - toldMs)).toBeLessThan(60_000);
});
