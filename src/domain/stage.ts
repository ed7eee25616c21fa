/** The stages of the pipeline: in folders, headers, metrics and `--role` alike (contract.md). */
export type Stage = "intake" | "dispatch" | "finish" | "relay" | "batch" | "replay";

/** Where a job ended by what its last attempt came to: a line of a batch, or a call. */
export function stageOfLast(history: readonly { readonly mode: "direct" | "batch" }[]): Stage {
  return history.at(-1)?.mode === "batch" ? "batch" : "dispatch";
}
