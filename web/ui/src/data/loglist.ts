// The list of log lines, newest first, as it grows at both ends.
import type { Entry } from './logline';
import { newestFirst } from './lokistreams';

/** Two answers that meet at one instant both hold the entries of that instant: same entry? */
const same = (a: Entry, b: Entry): boolean => a.ns === b.ns && a.line === b.line && JSON.stringify(a.labels) === JSON.stringify(b.labels);

/** Entries of `more` that `list` has not yet. Only those of the shared instants are compared. */
function news(more: readonly Entry[], list: readonly Entry[], edge: 'first' | 'last'): Entry[] {
  const border = edge === 'first' ? list[0] : list[list.length - 1];
  if (!border) return [...more];
  const at: Entry[] = [];
  for (let i = edge === 'first' ? 0 : list.length - 1; i >= 0 && i < list.length && list[i]!.ns === border.ns; i += edge === 'first' ? 1 : -1) at.push(list[i]!);
  return more.filter((e) => e.ns !== border.ns || !at.some((x) => same(x, e)));
}

/** New lines on top. At most max are kept, the newest. */
export function prepend(list: readonly Entry[], fresh: readonly Entry[], max: number): { list: Entry[]; added: number } {
  const add = news(fresh, list, 'first');
  if (!add.length) return { list: list as Entry[], added: 0 };
  // Streams of a tail are a little behind each other: what is newer than the oldest new line is merged.
  let overlap = 0;
  const oldest = add[add.length - 1]!;
  while (overlap < list.length && newestFirst(list[overlap]!, oldest) < 0) overlap++;
  const head = overlap ? [...add, ...list.slice(0, overlap)].sort(newestFirst) : add;
  return { list: [...head, ...list.slice(overlap)].slice(0, max), added: Math.min(add.length, max) };
}

/** Older lines at the end, up to max in all. */
export function append(list: readonly Entry[], older: readonly Entry[], max: number): { list: Entry[]; added: number } {
  const add = news(older, list, 'last');
  const out = add.length ? [...list, ...add].slice(0, max) : (list as Entry[]);
  return { list: out, added: out.length - list.length };
}
