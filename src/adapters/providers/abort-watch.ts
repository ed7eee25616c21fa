/**
 * Many calls wait on one signal (a router has one for "stop now"): one listener on the signal and a set behind it, instead of a listener
 * per call, which Node warns about above ten and which is taken off by a walk through all others.
 */
const watched = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `onAbort` when the signal aborts, unless the returned function was called before. */
export function watchAbort(signal: AbortSignal, onAbort: () => void): () => void {
  const watchers = watched.get(signal) ?? firstWatchers(signal);
  watchers.add(onAbort);
  return () => {
    watchers.delete(onAbort);
  };
}

function firstWatchers(signal: AbortSignal): Set<() => void> {
  const watchers = new Set<() => void>();
  watched.set(signal, watchers);
  signal.addEventListener(
    "abort",
    () => {
      for (const onAbort of [...watchers]) onAbort();
    },
    { once: true },
  );
  return watchers;
}
