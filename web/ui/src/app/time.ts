// The time range and the refresh that all panes share.
import { computed, effect, signal } from '@preact/signals';
import { isRelative, parseDuration, parseRange, shift, zoom, type Range } from '../data/time';
import { zone } from './locale';
import { param, setParams } from './url';

export const defaultFrom = 'now-15m';
const defaultRefresh = '10s';

/** Counts refreshes; each also moves `now`. */
export const tick = signal(0);
const now = signal(Date.now());

export const fromText = computed(() => param('from') ?? defaultFrom);
export const toText = computed(() => param('to') ?? 'now');
export const refreshText = computed(() => param('refresh') ?? (isRelative(toText.value) ? defaultRefresh : 'off'));

const parsed = computed(() => parseRange(fromText.value, toText.value, now.value, zone.value === 'utc'));

/** Which end of the address's range can't be read, if any; `range` is the default one then. */
export const rangeError = computed(() => ('error' in parsed.value ? parsed.value.error : null));

export const range = computed<Range>(() => ('error' in parsed.value ? { from: now.value - 9e5, to: now.value } : parsed.value));

/** What the range depends on besides the present moment: part of the key of every question. */
export const rangeKey = computed(() => `${fromText.value} ${toText.value} ${zone.value}`);

export function refresh(): void {
  now.value = Date.now();
  tick.value++;
}

export function setRange(from: string, to: string): void {
  now.value = Date.now();
  setParams({ from: from === defaultFrom && to === 'now' ? null : from, to: to === 'now' ? null : to });
}

const before: [string, string][] = [];

/** Narrow the view to r; undoZoom goes back. */
export function zoomTo(r: Range): void {
  if (r.to - r.from < 1000) r = { from: r.from - 500, to: r.to + 500 };
  before.push([fromText.value, toText.value]);
  if (before.length > 50) before.shift();
  setRange(String(Math.round(r.from)), String(Math.round(r.to)));
}

export function undoZoom(): void {
  const last = before.pop();
  if (last) setRange(...last);
}

export const shiftRange = (by: number): void => zoomTo(shift(range.value, by));
export const zoomRange = (factor: number): void => zoomTo(zoom(range.value, factor));

// A hidden page asks for nothing; it asks once when it is seen again.
const hidden = signal(document.hidden);
document.addEventListener('visibilitychange', () => (hidden.value = document.hidden));
let missed = false;
effect(() => {
  const every = parseDuration(refreshText.value);
  if (!every || every < 1000) return;
  if (hidden.value) {
    missed = true;
    return;
  }
  if (missed) {
    missed = false;
    queueMicrotask(refresh);
  }
  const id = setInterval(refresh, every);
  return () => clearInterval(id);
});
