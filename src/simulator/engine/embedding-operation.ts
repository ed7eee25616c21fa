/** Makes a direct operation of a provider's embedding call. The vectors are fixed by the texts, the model and the length asked for. */
import { hash } from "node:crypto";
import type { Usage } from "./bill-price.js";
import { digestOf } from "./chat-answer.js";
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

/** A request that passed all checks. */
export type EmbeddingCall = {
  readonly model: PricedModel;
  readonly askedModel: string;
  /** In order; an input of token numbers is its numbers joined by spaces. */
  readonly inputs: readonly string[];
  readonly inputTokens: number;
  readonly dimensions: number;
};

export type EmbeddingAnswer = {
  readonly call: EmbeddingCall;
  readonly model: PricedModel;
  readonly requestId: string;
  readonly vectors: readonly Float32Array[];
  readonly usage: Usage;
};

/** A provider's embedding call. */
export type EmbeddingApi<Call extends EmbeddingCall> = {
  readonly name: string;
  readonly path: string;
  check(request: DirectRequest, prices: PriceTable): { readonly call: Call } | { readonly refusal: Refusal };
  answerJson(answer: EmbeddingAnswer, call: Call): string;
  readonly usageField: string;
  /** undefined leaves the usage out. */
  lyingUsage(answer: EmbeddingAnswer, lie: UsageLie): unknown;
};

const DIGEST_BYTES = 32;

/**
 * The vector of one input: component i is the signed 16-bit number (little-endian) at bytes 2 (i mod 16) of sha256 over `model`, a
 * newline, the input, a newline and floor(i / 16), divided by 32768; the whole is scaled to length 1 and kept as 32-bit floats.
 */
export function vectorOf(model: string, input: string, dimensions: number): Float32Array {
  const vector = new Float32Array(dimensions);
  const perDigest = DIGEST_BYTES / 2;
  let squares = 0;
  for (let at = 0; at < dimensions; at += perDigest) {
    const bytes = hash("sha256", `${model}\n${input}\n${String(at / perDigest)}`, "buffer");
    for (let index = 0; index < perDigest && at + index < dimensions; index += 1) {
      const component = bytes.readInt16LE(index * 2) / 32_768;
      vector[at + index] = component;
      squares += component * component;
    }
  }
  const length = Math.sqrt(squares);
  for (let index = 0; index < dimensions; index += 1) vector[index] = (vector[index] ?? 0) / length;
  return vector;
}

export function embeddingOperation<Call extends EmbeddingCall>(api: EmbeddingApi<Call>): DirectOperation {
  return {
    name: api.name,
    path: api.path,
    check: (request, prices) => {
      const checked = api.check(request, prices);
      return "refusal" in checked ? checked : { call: new DirectEmbeddingCall(api, checked.call) };
    },
  };
}

class DirectEmbeddingCall<Call extends EmbeddingCall> implements DirectCall {
  readonly #api: EmbeddingApi<Call>;
  readonly #call: Call;
  readonly promptDigest: string;

  constructor(api: EmbeddingApi<Call>, call: Call) {
    this.#api = api;
    this.#call = call;
    this.promptDigest = digestOf(call.inputs.join("\n"));
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

  answer({ requestId }: AnswerContext): DirectAnswer {
    const { model, inputs, inputTokens, dimensions } = this.#call;
    return new DirectEmbeddingAnswer(this.#api, this.#call, {
      call: this.#call,
      model,
      requestId,
      vectors: inputs.map((input) => vectorOf(model.name, input, dimensions)),
      usage: { inputTokens, cachedInputTokens: 0, cacheWriteTokens: 0, outputTokens: 0 },
    });
  }
}

class DirectEmbeddingAnswer<Call extends EmbeddingCall> implements DirectAnswer {
  readonly #api: EmbeddingApi<Call>;
  readonly #call: Call;
  readonly #answer: EmbeddingAnswer;
  readonly reasoningTokens = 0;

  constructor(api: EmbeddingApi<Call>, call: Call, answer: EmbeddingAnswer) {
    this.#api = api;
    this.#call = call;
    this.#answer = answer;
  }

  get model(): PricedModel {
    return this.#answer.model;
  }

  get usage(): Usage {
    return this.#answer.usage;
  }

  bodyText(): string {
    return this.#api.answerJson(this.#answer, this.#call);
  }

  lyingBodyText(lie: UsageLie): string {
    const usage = this.#api.lyingUsage(this.#answer, lie);
    return JSON.stringify({ ...parsedObject(this.bodyText()), [this.#api.usageField]: usage });
  }

  answeredBy(model: PricedModel): DirectAnswer {
    return new DirectEmbeddingAnswer(this.#api, this.#call, { ...this.#answer, model });
  }

  /** No vectors at all. */
  emptied(): DirectAnswer {
    return new DirectEmbeddingAnswer(this.#api, this.#call, { ...this.#answer, vectors: [] });
  }

  /** An embedding model declines nothing. */
  declined(): DirectAnswer {
    return this;
  }
}
