/**
 * What the demo's jobs use of the gateway. The one place to switch a feature on when the gateway has it.
 * Without `anthropic`, tasks 3 and 4 travel as `openai.chat` of the same tenant, so the count of distinct requests stays.
 * Without `avro`, every job is JSON.
 */
export interface DemoScope {
  readonly anthropic: boolean;
  readonly avro: boolean;
}

export const DEMO_SCOPE: DemoScope = { anthropic: true, avro: true };
