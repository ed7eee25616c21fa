import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

const runFile = promisify(execFile);
const JAVA_VERSION_MIN = 17;

/** @returns the path of a Java of at least version 17. @throws Error that says where it was looked for and what was found. */
export async function findJava(): Promise<string> {
  const home = process.env["JAVA_HOME"];
  const java = home === undefined || home === "" ? "java" : join(home, "bin", "java");
  let text: string;
  try {
    text = (await runFile(java, ["-version"], { timeout: 20_000 })).stderr;
  } catch (error) {
    throw new Error(`Java ${String(JAVA_VERSION_MIN)} is needed, but ${java} can't be run`, { cause: error });
  }
  const version = Number(/version "(?:1\.)?(\d+)/.exec(text)?.[1] ?? "0");
  if (version < JAVA_VERSION_MIN) {
    throw new Error(
      `Java ${String(JAVA_VERSION_MIN)} or newer is needed, but ${java} is ${text.split("\n")[0] ?? "unknown"}`,
    );
  }
  return java;
}

/** Quick to start rather than quick in the long run; Java would otherwise take a quarter of the memory. */
export function quickStartFlags(heapMb: number): string[] {
  return [`-Xmx${String(heapMb)}m`, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
}
