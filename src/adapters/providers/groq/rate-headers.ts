import type { HttpHeaders } from "../http.js";
import { openaiLikeRateLimits } from "../openai-like/rate-headers.js";
import type { RateLimitReading } from "../rate-limit-reading.js";

/** Headers named as OpenAI's, of other limits: requests are counted by the day, tokens by the minute. Source: Groq's rate limit guide, read 2026-11-26. */
const NAMES: Readonly<Record<string, string>> = { requests: "requests-per-day", tokens: "tokens-per-minute" };

export function groqRateLimits(headers: HttpHeaders): readonly RateLimitReading[] {
  return openaiLikeRateLimits(headers).map((reading) => ({ ...reading, name: NAMES[reading.name] ?? reading.name }));
}
