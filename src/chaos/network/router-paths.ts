import { NetworkProxy, type PathTraffic } from "./network-proxy.js";

/** What a router talks to besides the brokers. */
export const PATH_NAMES = ["simulator", "postgres", "redis", "registry"] as const;
export type PathName = (typeof PATH_NAMES)[number];

export type ServerPorts = Readonly<Record<PathName, number>>;

/** The paths of one router, so that what happens on them is known to be its own. */
export class RouterPaths {
  readonly router: string;
  readonly #proxies: Readonly<Record<PathName, NetworkProxy>>;

  private constructor(router: string, proxies: Readonly<Record<PathName, NetworkProxy>>) {
    this.router = router;
    this.#proxies = proxies;
  }

  static async open(router: string, ports: ServerPorts): Promise<RouterPaths> {
    const open = (path: PathName): Promise<NetworkProxy> =>
      NetworkProxy.open({
        name: `${router}/${path}`,
        targetPort: ports[path],
        ...(path === "simulator" ? { isCall: isPaidCall } : {}),
      });
    const [simulator, postgres, redis, registry] = await Promise.all(PATH_NAMES.map(open));
    if (simulator === undefined || postgres === undefined || redis === undefined || registry === undefined)
      throw new Error("expected a proxy for each path");
    return new RouterPaths(router, { simulator, postgres, redis, registry });
  }

  path(name: PathName): NetworkProxy {
    return this.#proxies[name];
  }

  get all(): readonly NetworkProxy[] {
    return PATH_NAMES.map((name) => this.#proxies[name]);
  }

  /** Its traffic to providers. */
  get traffic(): PathTraffic {
    return this.#proxies.simulator.traffic;
  }

  /** Calls to providers that went under with their connection since then, by the monotonic clock; those included that were just answered. */
  callsLostSince(ms: number): number {
    return this.#proxies.simulator.callsLostSince(ms);
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((proxy) => proxy.close()));
  }
}

/** Lines of batches are settled by their batch: only direct calls can be left in doubt. */
export function isPaidCall(requestLine: string): boolean {
  return /^POST \S*(?:\/chat\/completions|\/embeddings|\/v1\/messages|:generateContent|:embedContent) /.test(
    requestLine,
  );
}
