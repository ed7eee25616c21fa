const MESSAGE = "The request is nested too deeply.";

/** What is wrong with a request that made its checks or its answer overrun the stack; any other error is thrown on. */
export function tooDeepOr(error: unknown): string {
  if (error instanceof RangeError) return MESSAGE;
  throw error;
}
