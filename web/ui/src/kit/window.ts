// Which rows of a long list are in sight. Rows have one height, except for a few opened ones.

export interface WindowInput {
  scrollTop: number;
  viewport: number;
  count: number;
  rowHeight: number;
  /** Index and additional height of opened rows, ascending. */
  extras?: readonly (readonly [index: number, extra: number])[];
  /** Rows kept ready above and below. */
  overscan?: number;
}

export interface Window {
  first: number;
  /** One past the last row. */
  last: number;
  /** Distance of the first row from the top of the list. */
  offset: number;
  /** Height of the whole list. */
  total: number;
}

/** Distance of a row from the top of the list. */
export function offsetOf(index: number, rowHeight: number, extras: WindowInput['extras'] = []): number {
  let y = index * rowHeight;
  for (const [i, extra] of extras) {
    if (i >= index) break;
    y += extra;
  }
  return y;
}

function rowAt(y: number, rowHeight: number, extras: NonNullable<WindowInput['extras']>): number {
  let added = 0;
  for (const [i, extra] of extras) {
    const top = i * rowHeight + added;
    if (y < top + rowHeight) break;
    if (y < top + rowHeight + extra) return i;
    added += extra;
  }
  return Math.floor((y - added) / rowHeight);
}

export function windowOf({ scrollTop, viewport, count, rowHeight, extras = [], overscan = 8 }: WindowInput): Window {
  const total = count * rowHeight + extras.reduce((n, [i, e]) => n + (i < count ? e : 0), 0);
  const top = Math.max(0, Math.min(scrollTop, total - viewport));
  const first = Math.max(0, rowAt(top, rowHeight, extras) - overscan);
  const last = Math.min(count, rowAt(top + viewport, rowHeight, extras) + 1 + overscan);
  return { first, last: Math.max(first, last), offset: offsetOf(first, rowHeight, extras), total };
}
