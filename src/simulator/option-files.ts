/** The simulator's options that come as JSON: in a file, or as the text itself when it begins with a bracket. */
import { readFileSync } from "node:fs";
import { parseBatchTimes } from "./engine/batch-times.js";
import { parseFaultRules } from "./engine/fault-rules.js";
import { isObject } from "./engine/field-checks.js";
import type { JsonObject } from "./engine/field-checks.js";
import { parseLimits } from "./engine/limits.js";
import type { SelfHostedModel } from "./engine/price-table.js";
import type { SimulatorOptions } from "./simulator.js";

/** Each a file or JSON text, as a command line gives them. */
export type JsonOptions = {
  /** API key to account label. */
  readonly keys?: string;
  /** Model name to `{"inputPerMTok","outputPerMTok","cachedInputPerMTok"?,"contextWindow"?,"dimensions"?}`. */
  readonly models?: string;
  readonly faults?: string;
  readonly limits?: string;
  readonly batchTimes?: string;
};

/** @throws Error naming the option that is wrong, and how. */
export function readJsonOptions(
  stated: JsonOptions,
): Pick<SimulatorOptions, "keys" | "models" | "faults" | "limits" | "batchTimes"> {
  const { keys, models, faults, limits, batchTimes } = stated;
  return {
    ...(keys === undefined ? {} : { keys: readKeys(keys) }),
    ...(models === undefined ? {} : { models: readModels(models) }),
    ...(faults === undefined ? {} : { faults: parseFaultRules(readJson(faults)) }),
    ...(limits === undefined ? {} : { limits: parseLimits(readJson(limits)) }),
    ...(batchTimes === undefined ? {} : { batchTimes: parseBatchTimes(readJson(batchTimes)) }),
  };
}

function readJson(stated: string): unknown {
  const isText = /^\s*[[{]/.test(stated);
  try {
    return JSON.parse(isText ? stated : readFileSync(stated, "utf8"));
  } catch (error) {
    throw new Error(`${stated} can't be read as JSON`, { cause: error });
  }
}

function readObject(stated: string): JsonObject {
  const value = readJson(stated);
  if (!isObject(value)) throw new Error(`expected ${stated} to hold a JSON object`);
  return value;
}

function readKeys(stated: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(readObject(stated)).map(([key, label]) => {
      if (typeof label !== "string") throw new Error(`expected the labels in ${stated} to be strings`);
      return [key, label];
    }),
  );
}

function readModels(stated: string): Readonly<Record<string, SelfHostedModel>> {
  return Object.fromEntries(Object.entries(readObject(stated)).map(([name, model]) => [name, readModel(name, model)]));
}

function readModel(name: string, model: unknown): SelfHostedModel {
  if (!isObject(model) || typeof model["inputPerMTok"] !== "string" || typeof model["outputPerMTok"] !== "string")
    throw new Error(`expected the model ${name} to state inputPerMTok and outputPerMTok as strings`);
  const { inputPerMTok, outputPerMTok, cachedInputPerMTok, contextWindow, dimensions } = model;
  return {
    inputPerMTok,
    outputPerMTok,
    ...(typeof cachedInputPerMTok === "string" ? { cachedInputPerMTok } : {}),
    ...(typeof contextWindow === "number" ? { contextWindow } : {}),
    ...(typeof dimensions === "number" ? { dimensions } : {}),
  };
}
