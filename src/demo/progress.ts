import { MultiBar, Presets, type SingleBar } from "cli-progress";

/** What the person in front of the screen sees while the demo runs; all on stderr. */
export interface Progress {
  readonly say: (line: string) => void;
  readonly begin: (total: number) => void;
  readonly update: (done: number, note: string) => void;
  readonly end: () => void;
}

const LINE_EVERY_MS = 5000;

/** A bar on a terminal, a line every five seconds elsewhere. */
export function openProgress(stream: NodeJS.WriteStream, nowMs: () => number): Progress {
  return stream.isTTY ? barProgress(stream) : lineProgress(stream, nowMs);
}

/** Leaves room for "answered 100000/100000", the percentage and the note in a terminal of 80 columns. */
const BAR_COLUMNS = 28;

/** A bar of its own would go back to where it began when it stops, over all that was said meanwhile; one of several writes above itself. */
function barProgress(stream: NodeJS.WriteStream): Progress {
  const bars = new MultiBar(
    {
      stream,
      format: "answered {value}/{total} {bar} {percentage}% {note}",
      barsize: BAR_COLUMNS,
      hideCursor: true,
      forceRedraw: true, // below words that were just said
      clearOnComplete: false,
      gracefulExit: false, // `end` comes after each way out
    },
    Presets.shades_grey,
  );
  let bar: SingleBar | null = null;
  return {
    say: (line) => {
      if (!bars.isActive) {
        stream.write(`${line}\n`);
        return;
      }
      bars.log(`${line}\n`);
      bars.update(); // what was only logged is gone when the bar stops
    },
    begin: (total) => {
      bar = bars.create(total, 0, { note: "" });
    },
    update: (done, note) => {
      bar?.update(done, { note });
    },
    end: () => {
      if (bars.isActive) bars.stop();
    },
  };
}

function lineProgress(stream: NodeJS.WriteStream, nowMs: () => number): Progress {
  let total = 0;
  let lastLineMs = nowMs();
  let lastText = "";
  return {
    say: (line) => stream.write(`${line}\n`),
    begin: (jobs) => {
      total = jobs;
      lastLineMs = nowMs();
    },
    update: (done, note) => {
      const text = `answered ${String(done)} of ${String(total)}${note === "" ? "" : `, ${note}`}`;
      if (text === lastText || (done < total && nowMs() - lastLineMs < LINE_EVERY_MS)) return;
      lastText = text;
      lastLineMs = nowMs();
      stream.write(`${text}\n`);
    },
    end: () => undefined,
  };
}
