/** The HTTP status of each code of google.rpc, which errors inside an operation or a line use in its place. Source: google.rpc.Code, 2026. */
const STATUS_OF_CODE: ReadonlyMap<number, number> = new Map([
  [1, 499],
  [2, 500],
  [3, 400],
  [4, 504],
  [5, 404],
  [6, 409],
  [7, 403],
  [8, 429],
  [9, 400],
  [10, 409],
  [11, 400],
  [12, 501],
  [13, 500],
  [14, 503],
  [15, 500],
  [16, 401],
]);

/** The provider's status for work that was cancelled. */
export const CANCELLED_STATUS = 499;

/** A code of either kind as an HTTP status; 0 for what is neither. */
export function statusOfCode(code: unknown): number {
  if (typeof code !== "number") return 0;
  return code >= 100 ? code : (STATUS_OF_CODE.get(code) ?? 0);
}
