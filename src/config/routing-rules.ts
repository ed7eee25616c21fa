import { isTimeZone, type WeekHours } from "../domain/route/week-hours.js";
import type { BrokenRule } from "./broken-rule.js";
import type { ConfigPath } from "./config-path.js";
import type { Config } from "./config.js";

/** Rules between the keys that decide about routes. */
export function routingRules(config: Config): readonly BrokenRule[] {
  return [...tenantRules(config), ...chainRules(config), ...hourRules(config), ...ruleRules(config)];
}

function tenantRules({ tenants, providers }: Config): readonly BrokenRule[] {
  return Object.entries(tenants).flatMap(([tenant, { providers: allowed }]) =>
    unknownAccounts(allowed ?? [], ["tenants", tenant, "providers"], providers),
  );
}

function chainRules({ chains }: Config): readonly BrokenRule[] {
  return Object.entries(chains).flatMap(([name, { cost, latency, reliability }]) =>
    cost + latency + reliability > 0
      ? []
      : [
          {
            path: ["chains", name],
            reads: [],
            message: "expected a weight above 0, or every route is as good as another",
          },
        ],
  );
}

function hourRules({ routing, rules }: Config): readonly BrokenRule[] {
  const { businessHours } = routing.factors;
  return [
    ...(businessHours === null ? [] : brokenHours(businessHours.hours, ["routing", "businessHours"])),
    ...rules.flatMap(({ match }, index) =>
      match.time === null ? [] : brokenHours(match.time, ["rules", index, "match", "time"]),
    ),
  ];
}

function brokenHours({ timeZone, from, to }: WeekHours, path: ConfigPath): readonly BrokenRule[] {
  const zone = isTimeZone(timeZone)
    ? []
    : [
        {
          path: [...path, "timeZone"],
          reads: [],
          message: `${timeZone} is no time zone; write one like Europe/Zurich or UTC`,
        },
      ];
  const span =
    from === to
      ? [{ path: [...path, "to"], reads: [[...path, "from"]], message: `expected another time than from, ${from}` }]
      : [];
  return [...zone, ...span];
}

function ruleRules({ rules, tenants, providers }: Config): readonly BrokenRule[] {
  return rules.flatMap(({ name, match, effect }, index) => {
    const path: ConfigPath = ["rules", index];
    const first = rules.findIndex((other) => other.name === name);
    const twice =
      first === index
        ? []
        : [{ path: [...path, "name"], reads: [], message: `${name} is the name of rules[${String(first)}] already` }];
    const strangers = match.tenants.flatMap((tenant, place) =>
      tenant in tenants
        ? []
        : [{ path: [...path, "match", "tenants", place], reads: [["tenants"]], message: `${tenant} is not a tenant` }],
    );
    const routes = effect.kind === "weight" ? [...path, "weight", "routes"] : [...path, effect.kind];
    return [...twice, ...strangers, ...unknownAccounts(effect.routes, routes, providers)];
  });
}

function unknownAccounts(
  names: readonly string[],
  path: ConfigPath,
  providers: Config["providers"],
): readonly BrokenRule[] {
  return names.flatMap((name, index) => {
    const [account = ""] = name.split("/");
    if (account in providers) return [];
    const known = Object.keys(providers).slice(0, 20).join(", ");
    return [
      {
        path: [...path, index],
        reads: [["providers"]],
        message: `${account} is not an account of providers: ${known}`,
      },
    ];
  });
}
