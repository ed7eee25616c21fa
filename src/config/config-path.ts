/** Where something stands in the config: keys and list positions from the top. */
export type ConfigPath = readonly (string | number)[];

/** `models.cheap.candidates[0].provider`. */
export function pathText(path: ConfigPath): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${String(part)}]`;
    return text === "" ? part : `${text}.${part}`;
  }, "");
}

/** Whether `path` is what `pattern` describes; `*` in the pattern stands for any one key or position. */
export function matchesPattern(path: ConfigPath, pattern: string): boolean {
  const parts = pattern.split(".");
  return parts.length === path.length && parts.every((part, index) => part === "*" || part === String(path[index]));
}

export function isWithin(path: ConfigPath, ancestor: ConfigPath): boolean {
  return ancestor.length <= path.length && ancestor.every((part, index) => part === path[index]);
}

export function valueAt(value: unknown, path: ConfigPath): unknown {
  let current = value;
  for (const part of path) {
    if (typeof current !== "object" || current === null || !Object.hasOwn(current, part)) return undefined;
    current = (current as Readonly<Record<string | number, unknown>>)[part]; // any object may be read by key
  }
  return current;
}
