/**
 * Finds where a text stops being JSON. JSON.parse tells that only sometimes, and its message quotes the text, which may hold
 * a prompt. Runs only on text that JSON.parse refused.
 */
export interface JsonError {
  /** UTF-16 index in the text. */
  readonly at: number;
  /** What would have been right there, in words. */
  readonly expected: string;
}

/** @returns null when the text is JSON after all. */
export function locateJsonError(text: string): JsonError | null {
  const finder = new ErrorFinder(text);
  return finder.find();
}

const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const WORD = /true|false|null/y;
const SPACE = /[ \t\r\n]*/y;

/** What may stand at this place: `after` is a comma or the end of the container. */
type Place = "value" | "first_item" | "first_key" | "key" | "after";

class ErrorFinder {
  private readonly text: string;
  private position = 0;
  private readonly open: ("object" | "array")[] = [];

  constructor(text: string) {
    this.text = text;
  }

  find(): JsonError | null {
    let place: Place = "value";
    for (;;) {
      this.take(SPACE);
      const next = this.step(place);
      if (typeof next !== "string") return next;
      if (next === "after" && this.open.length === 0) {
        this.take(SPACE);
        return this.position === this.text.length ? null : this.error("the end of the value");
      }
      place = next;
    }
  }

  private step(place: Place): Place | JsonError {
    switch (place) {
      case "first_item":
        return this.closes("]") ? "after" : this.value();
      case "value":
        return this.value();
      case "first_key":
        return this.closes("}") ? "after" : this.key();
      case "key":
        return this.key();
      case "after":
        return this.after();
    }
  }

  private value(): Place | JsonError {
    if (this.takeMark("{")) {
      this.open.push("object");
      return "first_key";
    }
    if (this.takeMark("[")) {
      this.open.push("array");
      return "first_item";
    }
    if (this.text[this.position] === '"') return this.string() ?? "after";
    return this.take(NUMBER) || this.take(WORD) ? "after" : this.error("a JSON value");
  }

  private key(): Place | JsonError {
    if (this.text[this.position] !== '"') return this.error("a key in double quotes");
    const wrong = this.string();
    if (wrong !== null) return wrong;
    this.take(SPACE);
    return this.takeMark(":") ? "value" : this.error("a colon");
  }

  private after(): Place | JsonError {
    const container = this.open[this.open.length - 1];
    const close = container === "object" ? "}" : "]";
    if (this.takeMark(",")) return container === "object" ? "key" : "value";
    return this.closes(close) ? "after" : this.error(`a comma or ${close}`);
  }

  private closes(mark: string): boolean {
    if (!this.takeMark(mark)) return false;
    this.open.pop();
    return true;
  }

  /** A loop by hand: a regular expression over a string of some MiB overflows its stack. */
  private string(): JsonError | null {
    this.position += 1;
    while (this.position < this.text.length) {
      if (this.takeMark('"')) return null;
      if (this.text[this.position] === "\\") {
        if (!this.take(ESCAPE)) return this.error("a valid escape");
      } else if (this.text.charCodeAt(this.position) < 0x20) {
        return this.error("an escape in place of a control character");
      } else this.position += 1;
    }
    return this.error("a closing quote");
  }

  private error(expected: string): JsonError {
    return { at: this.position, expected };
  }

  private takeMark(mark: string): boolean {
    if (this.text[this.position] !== mark) return false;
    this.position += 1;
    return true;
  }

  private take(form: RegExp): boolean {
    form.lastIndex = this.position;
    const found = form.exec(this.text);
    if (found === null || found[0].length === 0) return false;
    this.position = form.lastIndex;
    return true;
  }
}
