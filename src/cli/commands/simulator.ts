import { fileURLToPath } from "node:url";
import type { CommandContext, CommandGroup } from "../command-context.js";
import { EXIT } from "../exit-code.js";
import { wholeNumber } from "../option-values.js";

interface SimulatorFlags {
  readonly host: string;
  readonly port: number;
  readonly bill: string;
  readonly pricing: string;
  readonly seed: number;
  readonly latencyMs: number;
  readonly jitterMs: number;
  readonly state?: string;
  readonly timeScale: number;
  readonly keys?: string;
  readonly models?: string;
  readonly faults?: string;
  readonly limits?: string;
  readonly batchTimes?: string;
}

const PRICING_FILE = fileURLToPath(new URL("../../../schemas/pricing.json", import.meta.url));
const PORT_MAX = 65_535;
const LATENCY_MAX_MS = 3_600_000;
const TIME_SCALE_MAX = 1_000_000;

export const addSimulatorCommand: CommandGroup = (program, context) => {
  program
    .command("simulator")
    .description("run the mock providers until SIGTERM")
    .requiredOption("--bill <file>", "file that every billed call is appended to")
    .option("--pricing <file>", "price list", PRICING_FILE)
    .option("--host <host>", "address to listen on", "127.0.0.1")
    .option("--port <port>", "port; 0 takes a free one", wholeNumber(0, PORT_MAX), 0)
    .option(
      "--seed <number>",
      "shifts the answers' length and the latencies",
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
      1,
    )
    .option("--latency-ms <ms>", "time of an answer", wholeNumber(0, LATENCY_MAX_MS), 0)
    .option("--jitter-ms <ms>", "spread around it", wholeNumber(0, LATENCY_MAX_MS), 0)
    .option("--state <folder>", "where files and batches are kept (default: the bill's name and .state)")
    .option("--time-scale <factor>", "how many times as fast batches live", wholeNumber(1, TIME_SCALE_MAX), 1)
    .option("--keys <json>", "API key to account label; other keys are refused (JSON: a file or the text)")
    .option("--models <json>", "models of OpenAI-compatible servers with their prices")
    .option("--faults <json>", "fault rules")
    .option("--limits <json>", "rate limits and quotas to enforce")
    .option("--batch-times <json>", "how long the stretches of a batch's life take")
    .action(
      context.action(async (flags: SimulatorFlags) => {
        const { startSimulator } = await import("../../simulator/simulator.js");
        const { setUpOwnProcess } = await import("../../simulator/own-process.js");
        setUpOwnProcess();
        const { readJsonOptions } = await import("../../simulator/option-files.js");
        const simulator = await startSimulator({
          host: flags.host,
          port: flags.port,
          billFile: flags.bill,
          pricingFile: flags.pricing,
          seed: flags.seed,
          latencyMs: flags.latencyMs,
          jitterMs: flags.jitterMs,
          timeScale: flags.timeScale,
          ...(flags.state === undefined ? {} : { stateFolder: flags.state }),
          ...readJsonOptions(flags),
        });
        context.show(
          {
            listening: simulator.url,
            openaiBaseUrl: simulator.openaiBaseUrl,
            anthropicBaseUrl: simulator.anthropicBaseUrl,
            geminiBaseUrl: simulator.geminiBaseUrl,
            vllmBaseUrl: simulator.vllmBaseUrl,
            llamaCppBaseUrl: simulator.llamaCppBaseUrl,
            ollamaBaseUrl: simulator.ollamaBaseUrl,
          },
          () => [
            `OPENAI_BASE_URL=${simulator.openaiBaseUrl}`,
            `ANTHROPIC_BASE_URL=${simulator.anthropicBaseUrl}`,
            `GEMINI_BASE_URL=${simulator.geminiBaseUrl}`,
            `vLLM: ${simulator.vllmBaseUrl}`,
            `llama.cpp: ${simulator.llamaCppBaseUrl}`,
            `Ollama: ${simulator.ollamaBaseUrl}`,
          ],
        );
        await aborted(context);
        await simulator.close();
        return EXIT.done;
      }),
    );
};

async function aborted({ signal }: CommandContext): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener("abort", () => {
      resolve();
    });
  });
}
