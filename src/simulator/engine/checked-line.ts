import type { BatchApi, BatchLine } from "./batch-api.js";
import type { DirectOperation } from "./direct-operation.js";
import type { PriceTable } from "./price-table.js";
import { tooDeepOr } from "./too-deep.js";

/** The checks of a line's call. A line that overruns them is refused by itself, and the batch goes on. */
export function checkedLine(
  api: BatchApi,
  { operation, request }: BatchLine,
  prices: PriceTable,
): ReturnType<DirectOperation["check"]> {
  try {
    return operation.check(request, prices);
  } catch (error) {
    return { refusal: api.refusalFor(400, tooDeepOr(error)) };
  }
}
