import { describe, expect, it } from 'vitest';
import { offsetOf, windowOf } from './window';

const at = (scrollTop: number, more = {}) => windowOf({ scrollTop, viewport: 100, count: 1000, rowHeight: 20, overscan: 0, ...more });

describe('windowOf', () => {
  it('covers the viewport', () => {
    expect(at(0)).toEqual({ first: 0, last: 6, offset: 0, total: 20_000 });
    expect(at(30)).toMatchObject({ first: 1, last: 7, offset: 20 });
    expect(at(19_900)).toMatchObject({ first: 995, last: 1000 });
  });
  it('stands positions beyond the list and empty lists', () => {
    expect(at(1e9)).toMatchObject({ first: 995, last: 1000 });
    expect(at(-50)).toMatchObject({ first: 0, offset: 0 });
    expect(windowOf({ scrollTop: 0, viewport: 100, count: 0, rowHeight: 20 })).toEqual({ first: 0, last: 0, offset: 0, total: 0 });
  });
  it('knows opened rows', () => {
    const extras = [[2, 300], [10, 100]] as const;
    expect(at(0, { extras })).toMatchObject({ first: 0, last: 3, total: 20_400 });
    expect(at(200, { extras })).toMatchObject({ first: 2, last: 3, offset: 40 }); // inside the opened part of row 2
    expect(at(380, { extras })).toMatchObject({ first: 4, offset: 380 });
    expect(offsetOf(11, 20, extras)).toBe(11 * 20 + 400);
  });
  it('gives every pixel exactly one row', () => {
    const extras = [[0, 7], [3, 55], [4, 13], [9, 1]] as const;
    for (let y = 0; y < 250; y++) {
      const w = windowOf({ scrollTop: y, viewport: 1, count: 12, rowHeight: 20, extras, overscan: 0 });
      const top = Math.min(y, w.total - 1);
      const next = offsetOf(w.first + 1, 20, extras);
      expect(w.offset <= top && top < next, `pixel ${y}`).toBe(true);
    }
  });
});
