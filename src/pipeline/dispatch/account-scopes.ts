import type { Tier } from "../../domain/job/job.js";
import {
  isByKind,
  limitGroups,
  scopeOf,
  scopesOf,
  type AccountLimits,
  type LimitScope,
} from "../../domain/limit/limits.js";
import { FORMAT_FAMILIES, type FormatFamily } from "../../domain/route/format-family.js";
import type { LimitNote } from "../../ports/limit-store.js";
import { HeldScope } from "./limit-scope.js";

type OfTier = Readonly<Record<Tier, HeldScope | null>>;
type OfEndpoint = Readonly<Record<FormatFamily, OfTier>>;

/** A model that has no limits of its own, for no model is called so. */
const OTHERS = "";
/** A scope that nobody asked for so long is asked for nothing ahead. */
const IDLE_MS = 60_000;

/** The scopes of an account with limits. All are made at once, so a call only looks its own up. */
export class AccountScopes {
  /** Each once; null: nothing limits some of its calls. */
  readonly all: readonly (HeldScope | null)[];
  readonly #byModel = new Map<string, OfEndpoint>();
  readonly #others: OfEndpoint;
  /** Whether endpoints or tiers have limits of their own: then there are many scopes of which few are used. */
  readonly #hasKinds: boolean;

  /** @returns null: the account has none. */
  static of(account: string, limits: AccountLimits): AccountScopes | null {
    return scopesOf(account, limits).length === 0 ? null : new AccountScopes(account, limits);
  }

  private constructor(account: string, limits: AccountLimits) {
    this.#hasKinds = isByKind(limits);
    const made = new Map<string, HeldScope>();
    this.#others = ofModel(account, limits, OTHERS, made);
    for (const { subject } of limitGroups(account, limits))
      if (subject.model !== null) this.#byModel.set(subject.model, ofModel(account, limits, subject.model, made));
    this.all = [...new Set([this.#others, ...this.#byModel.values()].flatMap(scopesIn))];
  }

  /** Null: nothing limits such a call but places. */
  of(model: string, endpoint: FormatFamily, tier: Tier): HeldScope | null {
    return (this.#byModel.get(model) ?? this.#others)[endpoint][tier];
  }

  /** Those that calls of a model can have, each once. */
  ofModel(model: string): readonly (HeldScope | null)[] {
    return scopesIn(this.#byModel.get(model) ?? this.#others);
  }

  /**
   * Those for which grants may be asked ahead of calls. Every scope's grants come out of the account's limits, so many that lie idle would
   * keep those back that are used.
   */
  inUse(nowMs: number): readonly (HeldScope | null)[] {
    if (!this.#hasKinds) return this.all;
    const used = this.all.filter((held) => held === null || nowMs - held.askedAtMs < IDLE_MS);
    return used.length === 0 ? this.all : used;
  }
}

function ofModel(account: string, limits: AccountLimits, model: string, made: Map<string, HeldScope>): OfEndpoint {
  // A provider's word is about the account or the model: whichever of these scopes asks next passes it on.
  const notes = new Map<string, LimitNote>();
  const heldFor = (scope: LimitScope | null): HeldScope | null => {
    if (scope === null) return null;
    const held = made.get(scope.name) ?? new HeldScope(scope, notes);
    made.set(scope.name, held);
    return held;
  };
  const ofEndpoint = (endpoint: FormatFamily): OfTier => {
    const of = (tier: Tier) => heldFor(scopeOf(account, limits, { model, endpoint, tier }));
    return { free: of("free"), standard: of("standard"), premium: of("premium") };
  };
  return { chat: ofEndpoint("chat"), embeddings: ofEndpoint("embeddings") };
}

function scopesIn(scopes: OfEndpoint): readonly (HeldScope | null)[] {
  return [...new Set(FORMAT_FAMILIES.flatMap((endpoint) => Object.values<HeldScope | null>(scopes[endpoint])))];
}
