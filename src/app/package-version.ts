import { readFileSync } from "node:fs";

/** Which build this is, as its package says. */
export function packageVersion(): string {
  const content = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    readonly version: string;
  }; // our own file
  return content.version;
}
