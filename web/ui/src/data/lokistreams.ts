// Streams of a Loki answer as one list of entries.
import type { Nano } from './format';
import { makeEntry, type Entry, type Labels } from './logline';

/** A value of a stream: with categorize-labels a third part says where each label came from. */
type Value = [Nano, string] | [Nano, string, Labels | { structuredMetadata?: Labels; parsed?: Labels }];

export interface Stream {
  stream: Labels;
  values: Value[];
}

function categorised(m: Labels | { structuredMetadata?: Labels; parsed?: Labels }): m is { structuredMetadata?: Labels; parsed?: Labels } {
  return typeof (m as Record<string, unknown>).structuredMetadata === 'object' || typeof (m as Record<string, unknown>).parsed === 'object';
}

/** Entries of streams, newest first. */
export function entriesOf(streams: readonly Stream[]): Entry[] {
  const out: Entry[] = [];
  for (const s of streams) {
    for (const v of s.values) {
      const m = v[2];
      if (!m) out.push(makeEntry(v[0], v[1], s.stream));
      else if (categorised(m)) out.push(makeEntry(v[0], v[1], s.stream, m.structuredMetadata, m.parsed));
      else out.push(makeEntry(v[0], v[1], s.stream, m as Labels));
    }
  }
  return out.sort(newestFirst);
}

/** Order of the list. Nanoseconds of one length compare as text. */
export function newestFirst(a: Entry, b: Entry): number {
  if (a.ns.length !== b.ns.length) return b.ns.length - a.ns.length;
  if (a.ns !== b.ns) return a.ns < b.ns ? 1 : -1;
  return b.seq - a.seq;
}
