// A session in a process of its own, to be killed: notes the attempts given as arguments as sent, says so, and waits.
import { FileJournal } from "../../dist/adapters/journal/file-journal.js";

const [folder, session, stamp, ...attempts] = process.argv.slice(2);
const log = { debug: () => undefined, info: () => undefined, warn: console.error, error: console.error };
const journal = await FileJournal.open({ folder, session: Number(session), stamp, bytesMax: 1_048_576, log });
for (const no of attempts) journal.sending(Number(no));
process.stdout.write("noted\n");
setInterval(() => undefined, 60_000);
