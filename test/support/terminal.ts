import { Writable } from "node:stream";

/** A terminal's screen, as far as progress bars use one: lines, carriage returns, and the moves and wipes of ECMA-48. */
export class Terminal extends Writable {
  readonly isTTY = true;
  readonly columns = 80;
  readonly #lines: string[] = [""];
  #row = 0;
  #column = 0;
  #saved = { row: 0, column: 0 };

  /** What a person sees, without spaces at the ends of lines. */
  get lines(): readonly string[] {
    return this.#lines.map((line) => line.trimEnd());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const parts = chunk.toString("utf8").match(/\u001b\[[?\d;]*[A-Za-z]|\u001b[78]|[^\u001b]/gu) ?? [];
    for (const part of parts) this.#take(part);
    done();
  }

  #take(part: string): void {
    if (part === "\n") {
      this.#row += 1;
      this.#column = 0; // as a terminal driver makes of it
    } else if (part === "\r") this.#column = 0;
    else if (part === "\u001b7") this.#saved = { row: this.#row, column: this.#column };
    else if (part === "\u001b8") ({ row: this.#row, column: this.#column } = this.#saved);
    else if (part.startsWith("\u001b")) this.#move(part.slice(-1), Number(part.slice(2, -1)));
    else this.#print(part);
    while (this.#lines.length <= this.#row) this.#lines.push("");
  }

  #move(command: string, amount: number): void {
    const line = this.#lines[this.#row] ?? "";
    if (command === "A") this.#row = Math.max(0, this.#row - amount);
    else if (command === "B") this.#row += amount;
    else if (command === "G") this.#column = amount - 1;
    else if (command === "J") this.#lines.length = this.#row + 1;
    else if (command === "K") this.#lines[this.#row] = amount === 2 ? "" : line.slice(0, this.#column);
    else if (command !== "h" && command !== "l") throw new Error(`expected a known command, got ${command}`);
  }

  #print(character: string): void {
    const line = (this.#lines[this.#row] ?? "").padEnd(this.#column);
    this.#lines[this.#row] = line.slice(0, this.#column) + character + line.slice(this.#column + 1);
    this.#column += 1;
  }
}
