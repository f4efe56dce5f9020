import { describe, expect, it } from 'vitest';
import { align, parseDuration, parseRange, parseTime, shift, stepFor, zoom } from './time';

const now = Date.UTC(2026, 2, 31, 12, 34, 56, 789); // a Tuesday
const iso = (s: string, roundUp = false) => {
  const t = parseTime(s, now, { utc: true, roundUp });
  return t === null ? null : new Date(t).toISOString();
};

describe('parseTime', () => {
  it.each([
    ['now', '2026-03-31T12:34:56.789Z'],
    ['now-15m', '2026-03-31T12:19:56.789Z'],
    ['now-1h30m', null], // one unit per step: now-1h-30m
    ['now-1h-30m', '2026-03-31T11:04:56.789Z'],
    ['now+2d', '2026-04-02T12:34:56.789Z'],
    ['now-250ms', '2026-03-31T12:34:56.539Z'],
    ['now/d', '2026-03-31T00:00:00.000Z'],
    ['now-1d/d', '2026-03-30T00:00:00.000Z'],
    ['now/w', '2026-03-30T00:00:00.000Z'],
    ['now/M', '2026-03-01T00:00:00.000Z'],
    ['now/y', '2026-01-01T00:00:00.000Z'],
    ['now/h', '2026-03-31T12:00:00.000Z'],
    ['now-1M', '2026-02-28T12:34:56.789Z'], // no 31 February
    ['now-2y', '2024-03-31T12:34:56.789Z'],
    ['2026-01-02', '2026-01-02T00:00:00.000Z'],
    ['2026-01-02 03:04', '2026-01-02T03:04:00.000Z'],
    ['2026-01-02T03:04:05.6Z', '2026-01-02T03:04:05.600Z'],
    ['2026-01-02T03:04:05+02:00', '2026-01-02T01:04:05.000Z'],
    ['1767322800', '2026-01-02T03:00:00.000Z'],
    ['1767322800000', '2026-01-02T03:00:00.000Z'],
    ['2026-13-02', null],
    ['2026-01-02 25:00', null],
    ['nowish', null],
    ['now-5', null],
    ['yesterday', null],
    ['', null],
  ])('%s', (text, want) => expect(iso(text)).toBe(want));

  it('rounds up at the end of a range', () => {
    expect(iso('now/d', true)).toBe('2026-03-31T23:59:59.999Z');
    expect(iso('now/M', true)).toBe('2026-03-31T23:59:59.999Z');
    expect(iso('now/w', true)).toBe('2026-04-05T23:59:59.999Z');
  });
});

describe('ranges', () => {
  it('names the wrong end', () => {
    expect(parseRange('x', 'now', now)).toEqual({ error: 'from' });
    expect(parseRange('now-1h', 'x', now)).toEqual({ error: 'to' });
    expect(parseRange('now', 'now-1h', now)).toEqual({ error: 'order' });
    expect(parseRange('now-1h', 'now', now)).toEqual({ from: now - 36e5, to: now });
  });
  it('chooses round steps', () => {
    expect(stepFor({ from: 0, to: 15 * 6e4 }, 300)).toBe(5);
    expect(stepFor({ from: 0, to: 864e5 }, 120)).toBe(900);
    expect(stepFor({ from: 0, to: 1000 }, 300, 5)).toBe(5);
    const huge = { from: 0, to: 864e5 * 36500 };
    expect(huge.to / 1000 / stepFor(huge, 120)).toBeLessThanOrEqual(120);
  });
  it('aligns, shifts and zooms', () => {
    expect(align({ from: 61_000, to: 119_000 }, 60)).toEqual({ from: 60_000, to: 120_000 });
    expect(shift({ from: 0, to: 100 }, -0.5)).toEqual({ from: -50, to: 50 });
    expect(zoom({ from: 0, to: 10_000 }, 2)).toEqual({ from: -5000, to: 15_000 });
    expect(zoom({ from: 0, to: 10 }, 0.5)).toEqual({ from: -495, to: 505 }); // never under a second
  });
  it('reads durations', () => {
    expect(parseDuration('1h30m')).toBe(54e5);
    expect(parseDuration('1.5s')).toBe(1500);
    expect(parseDuration('5')).toBeNull();
    expect(parseDuration('5x')).toBeNull();
  });
});
