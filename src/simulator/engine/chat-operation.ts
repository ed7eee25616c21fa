/** Makes a direct operation of a provider's chat call: the provider checks and writes, the answer itself is the same everywhere. */
import type { Usage } from "./bill-price.js";
import { composeAnswer, digestOf } from "./chat-answer.js";
import type { ChatAnswer, ChatCall } from "./chat-call.js";
import type {
  AnswerContext,
  DirectAnswer,
  DirectCall,
  DirectOperation,
  DirectRequest,
  UsageLie,
} from "./direct-operation.js";
import { parsedObject } from "./field-checks.js";
import type { PricedModel, PriceTable } from "./price-table.js";
import type { Refusal } from "./refusal.js";

/** A provider's chat call. */
export type ChatApi = {
  readonly name: string;
  readonly path: string;
  /** Checks everything that follows the key. */
  check(request: DirectRequest, prices: PriceTable): { readonly call: ChatCall } | { readonly refusal: Refusal };
  /** The answer's body as JSON text, put together by hand: it is on every call's way. */
  answerJson(answer: ChatAnswer): string;
  /** The name under which the answer's usage stands at its top level. */
  readonly usageField: string;
  /** undefined leaves the usage out. */
  lyingUsage(answer: ChatAnswer, lie: UsageLie): unknown;
  /** Changes an answer by a rule of the provider's own. */
  adjusted?(answer: ChatAnswer, call: ChatCall): ChatAnswer;
  /** How the model declines, where that is more than a text and a reason; default: the text is kept as what it says instead. */
  declined?(answer: ChatAnswer): ChatAnswer;
};

export function chatOperation(api: ChatApi): DirectOperation {
  return {
    name: api.name,
    path: api.path,
    check: (request, prices) => {
      const checked = api.check(request, prices);
      return "refusal" in checked ? checked : { call: new DirectChatCall(api, checked.call) };
    },
  };
}

class DirectChatCall implements DirectCall {
  readonly #api: ChatApi;
  readonly #call: ChatCall;
  readonly promptDigest: string;

  constructor(api: ChatApi, call: ChatCall) {
    this.#api = api;
    this.#call = call;
    this.promptDigest = digestOf(call.texts.join("\n"));
  }

  get model(): PricedModel {
    return this.#call.model;
  }

  get askedModel(): string {
    return this.#call.askedModel;
  }

  get inputTokens(): number {
    return this.#call.inputTokens;
  }

  get outputTokensMax(): number {
    return this.#call.outputTokensMax * this.#call.choices;
  }

  answer(context: AnswerContext): DirectAnswer {
    const digests = { prompt: this.promptDigest, body: context.bodyDigest };
    const answer = composeAnswer(this.#call, digests, context);
    return new DirectChatAnswer(this.#api, this.#api.adjusted?.(answer, this.#call) ?? answer);
  }
}

class DirectChatAnswer implements DirectAnswer {
  readonly #api: ChatApi;
  readonly #answer: ChatAnswer;

  constructor(api: ChatApi, answer: ChatAnswer) {
    this.#api = api;
    this.#answer = answer;
  }

  get model(): PricedModel {
    return this.#answer.model;
  }

  get usage(): Usage {
    return this.#answer.usage;
  }

  get reasoningTokens(): number {
    return this.#answer.reasoningTokens;
  }

  bodyText(): string {
    return this.#api.answerJson(this.#answer);
  }

  lyingBodyText(lie: UsageLie): string {
    const usage = this.#api.lyingUsage(this.#answer, lie);
    return JSON.stringify({ ...parsedObject(this.bodyText()), [this.#api.usageField]: usage });
  }

  answeredBy(model: PricedModel): DirectAnswer {
    return this.#changed({ model });
  }

  emptied(): DirectAnswer {
    const usage = { ...this.usage, outputTokens: 1 };
    return this.#changed({ text: "", toolCalls: [], usage, reasoningTokens: 0, finish: "stop" });
  }

  declined(): DirectAnswer {
    const own = this.#api.declined?.(this.#answer);
    if (own !== undefined) return this.#changed(own);
    return this.#changed({
      text: `declined ${this.#answer.text}`,
      toolCalls: [],
      finish: "refusal",
      stopSequence: null,
    });
  }

  #changed(change: Partial<ChatAnswer>): DirectAnswer {
    return new DirectChatAnswer(this.#api, { ...this.#answer, ...change });
  }
}
