import { execFile } from "node:child_process";
import { promisify } from "node:util";

const runFile = promisify(execFile);
/** An engine that does not answer this fast will not be waited for: the native way is there. */
const ENGINE_TIMEOUT_MS = 5_000;

/** @returns null when a Docker engine answers, else why not. */
export async function whyNoDocker(): Promise<string | null> {
  try {
    await runFile("docker", ["version", "--format", "{{.Server.Version}}"], { timeout: ENGINE_TIMEOUT_MS });
    return null;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "there is no docker on the path";
    return "no Docker engine answers";
  }
}

/** @returns the first of the images that is on this machine already, or null. Nothing is ever pulled. */
export async function findLocalImage(images: readonly string[]): Promise<string | null> {
  for (const image of images) {
    try {
      // In order of preference, so one after another.
      await runFile("docker", ["image", "inspect", image], { timeout: ENGINE_TIMEOUT_MS });
      return image;
    } catch {
      // Not here; the next may be.
    }
  }
  return null;
}
