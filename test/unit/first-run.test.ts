import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { MAVEN_ARTIFACTS } from "../../src/stack/maven-artifacts.js";

const README = readFileSync("README.md", "utf8");

describe("the first run", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-test-"));
    mkdirSync(join(folder, "deploy"));
    copyFileSync("deploy/prepare.mjs", join(folder, "deploy", "prepare.mjs"));
    copyFileSync("package-lock.json", join(folder, "package-lock.json"));
    // Stands in for npm, and can install nothing.
    writeFileSync(join(folder, "npm"), '#!/bin/sh\necho "npm was called: $*"\nexit 1\n', { mode: 0o755 });
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test("says how large the packages are before npm begins, as README does", () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join("deploy", "prepare.mjs"), "demo"], {
      cwd: folder,
      env: { PATH: `${folder}:/usr/bin:/bin` },
      encoding: "utf8",
    });
    expect([status, stdout]).toEqual([1, ""]);
    const [announced = "", called, end] = stderr.split("\n");
    expect(announced).toMatch(/^installing packages \(npm ci\): about \d+ MB to download .*, \d+ MB in node_modules/);
    expect([called, end]).toEqual(["npm was called: ci", "npm ci failed; nothing was run"]);
    const [download, disk] = [...announced.matchAll(/(\d+) MB/g)].map(([, number]) => number);
    expect(README).toContain(`about ${download ?? ""} MB of npm packages (${disk ?? ""} MB in \`node_modules\``);
  });

  test("README says what Maven downloads, to ten megabytes", () => {
    const sumMb = Object.values(MAVEN_ARTIFACTS).reduce((sum, { downloadMb }) => sum + downloadMb, 0);
    expect(README).toContain(`about ${String(Math.round(sumMb / 10) * 10)} MB through Maven`);
  });
});
