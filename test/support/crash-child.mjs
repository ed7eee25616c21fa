// A process that passes the points given as arguments, as its environment arms it, and says so; it ends with 0 when none kills it.
import { armCrashPoint } from "../../dist/app/crash-point.js";

const reach = armCrashPoint(process.env);
process.on("exit", () => process.stdout.write("an exit handler ran\n"));
for (const point of process.argv.slice(2)) {
  setImmediate(() => process.stdout.write("went on\n"));
  reach(point);
  process.stdout.write(`passed ${point}\n`);
}
