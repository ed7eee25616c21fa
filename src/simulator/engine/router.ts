/** Finds the call that a method and a path name, among all providers' direct calls and operations. */
import type { DirectOperation } from "./direct-operation.js";
import type { EngineParts, Operation } from "./operation.js";
import type { ProviderApi } from "./provider-api.js";

export type Route = {
  readonly provider: ProviderApi;
  readonly method: string;
  readonly call:
    | { readonly kind: "direct"; readonly direct: DirectOperation }
    | { readonly kind: "operation"; readonly operation: Operation };
};

export type Found =
  | { readonly kind: "route"; readonly route: Route; readonly params: Readonly<Record<string, string>> }
  /** The path is known, with other methods. */
  | { readonly kind: "other_method"; readonly provider: ProviderApi; readonly methods: readonly string[] }
  | { readonly kind: "unknown" };

/** Everything at one path pattern. */
type Place = {
  /** What the path begins with: cheaper to compare than the pattern. */
  readonly beginning: string;
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly routes: Route[];
};

const NO_PARAMS: Readonly<Record<string, string>> = {};

/** "/v1/files/{file}/content" as an expression; what is in braces stands for at least one character other than "/". */
function patternOf(path: string): { pattern: RegExp; names: readonly string[] } {
  const names: string[] = [];
  const source = path
    .split(/(\{\w+\})/)
    .map((piece) => {
      if (!piece.startsWith("{")) return piece.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
      names.push(piece.slice(1, -1));
      return "([^/]+?)";
    })
    .join("");
  return { pattern: new RegExp(`^${source}$`), names };
}

function decoded(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export class Router {
  readonly #plain = new Map<string, Place>();
  readonly #patterned: Place[] = [];

  constructor(providers: readonly ProviderApi[], parts: EngineParts) {
    for (const provider of providers) {
      for (const direct of provider.direct)
        this.#add(direct.path, { provider, method: "POST", call: { kind: "direct", direct } });
      for (const operation of provider.operations(parts))
        this.#add(operation.path, { provider, method: operation.method, call: { kind: "operation", operation } });
    }
  }

  find(method: string, path: string): Found {
    const plain = this.#plain.get(path);
    if (plain !== undefined) return chosen(plain, method, NO_PARAMS);
    for (const place of this.#patterned) {
      const match = path.startsWith(place.beginning) ? place.pattern.exec(path) : null;
      if (match === null) continue;
      const params: Record<string, string> = {};
      for (const [at, name] of place.names.entries()) params[name] = decoded(match[at + 1] ?? "");
      return chosen(place, method, params);
    }
    return { kind: "unknown" };
  }

  #add(path: string, route: Route): void {
    const isPlain = !path.includes("{");
    const { pattern, names } = patternOf(path);
    const known = isPlain
      ? this.#plain.get(path)
      : this.#patterned.find((place) => place.pattern.source === pattern.source);
    if (known !== undefined) {
      known.routes.push(route);
      return;
    }
    const place: Place = { beginning: path.split("{", 1)[0] ?? "", pattern, names, routes: [route] };
    if (isPlain) this.#plain.set(path, place);
    else this.#patterned.push(place);
  }
}

function chosen(place: Place, method: string, params: Readonly<Record<string, string>>): Found {
  const route = place.routes.find((one) => one.method === method);
  if (route !== undefined) return { kind: "route", route, params };
  const [first] = place.routes;
  if (first === undefined) return { kind: "unknown" };
  return { kind: "other_method", provider: first.provider, methods: place.routes.map((one) => one.method) };
}
