import { Presets, SingleBar } from "cli-progress";

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

function barProgress(stream: NodeJS.WriteStream): Progress {
  const bar = new SingleBar(
    { stream, format: "answered {value}/{total} {bar} {percentage}% {note}", hideCursor: true, clearOnComplete: false },
    Presets.shades_grey,
  );
  // The bar's own line is wiped before a sentence; the bar draws itself again below it.
  return {
    say: (line) => stream.write(bar.isActive ? `\r\u001b[K${line}\n` : `${line}\n`),
    begin: (total) => {
      bar.start(total, 0, { note: "" });
    },
    update: (done, note) => {
      bar.update(done, { note });
    },
    end: () => {
      bar.stop();
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
