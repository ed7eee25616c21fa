/** Longer texts are written quicker by Node itself: one call of it costs about as much as so many characters here. */
export const SHORT_TEXT = 48;

/**
 * Writes a text of at most `SHORT_TEXT` characters, which are a byte each when they are all ASCII, as nearly all names, ids and codes are.
 * @param buffer with room for as many bytes. @returns false for any other text; what stands at `at` then counts for nothing.
 */
export function writeAscii(buffer: Uint8Array, text: string, at: number): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code > 127) return false;
    buffer[at + index] = code;
  }
  return true;
}
