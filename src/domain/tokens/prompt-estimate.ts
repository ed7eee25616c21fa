/** Where a request would be sent; each model counts in its own way. */
export interface ModelAt {
  readonly account: string;
  readonly model: string;
}

/** How a model's own counts relate to the estimates of its prompts: a mean in which later answers weigh more. */
export interface TokenCorrection {
  readonly ratio: number;
  readonly answers: number;
}

/** From here on an answer weighs a fiftieth, so that the mean follows a model that begins to count otherwise. */
const ANSWERS_REMEMBERED = 50;
/** Further off than this an estimate or a count is broken: no tokenizer in use differs fourfold from another. */
const RATIO_MAX = 4;

/** @param estimated above 0. @param actual what the provider counted. */
export function learnCorrection(
  before: TokenCorrection | undefined,
  estimated: number,
  actual: number,
): TokenCorrection {
  const found = Math.min(RATIO_MAX, Math.max(1 / RATIO_MAX, actual / estimated));
  if (before === undefined) return { ratio: found, answers: 1 };
  const answers = Math.min(before.answers + 1, ANSWERS_REMEMBERED);
  return { ratio: before.ratio + (found - before.ratio) / answers, answers };
}

/** Of what one tokenizer counts, no other in use counts less than so many parts over real text. */
const SURELY = 0.75;

/** What every model counts at least, as good as surely. The same each time: it decides which routes a plan has, and stored attempts name those by place. */
export function atLeastTokens(counted: number): number {
  return Math.floor(counted * SURELY);
}
