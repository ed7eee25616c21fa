// For `node --import`: the process dies, as by a kill, while it decodes bytes that hold the words of DIES_AT_WORDS. JSON values of records
// are decoded by a TextDecoder.
const words = process.env.DIES_AT_WORDS;
const { decode } = TextDecoder.prototype;

TextDecoder.prototype.decode = function decodeOrDie(...input) {
  const text = decode.apply(this, input);
  if (words !== undefined && text.includes(words)) process.kill(process.pid, "SIGKILL");
  return text;
};
