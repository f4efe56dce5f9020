import { afterEach, describe, expect, it } from 'vitest';
import { locale, zone } from '../app/locale';
import { bytes, clock, dateTime, guessUnit, isoLocal, nanoToMs, seconds, short, span, value } from './format';
import { parseTime } from './time';

afterEach(() => {
  locale.value = 'en';
  zone.value = 'local';
});

describe('numbers', () => {
  it.each([
    [seconds, 0, '0 s'], [seconds, 1.5e-7, '150 ns'], [seconds, 0.00032, '320 µs'], [seconds, 0.0015, '1.5 ms'], [seconds, 0.9999, '1 s'],
    [seconds, 12.34, '12.3 s'], [seconds, 125, '2 m 5 s'], [seconds, 3600, '1 h'], [seconds, 273600, '3 d 4 h'], [seconds, -2, '−2 s'], [seconds, 59.99, '1 m'],
    [bytes, 0, '0 B'], [bytes, 1023, '1,023 B'], [bytes, 1024, '1 KiB'], [bytes, 1048576 * 1.5, '1.5 MiB'], [bytes, 1024 ** 6, '1,024 PiB'],
    [short, 1234, '1,234'], [short, 12345, '12.3 k'], [short, 0.000012, '0.000012'], [short, 1e-9, '1.00e-9'], [short, Infinity, '+∞'],
  ] as const)('%o(%d) = %s', (f, n, want) => expect(f(n)).toBe(want));
  it('says ranges', () => {
    expect(span('15m')).toBe('15 minutes');
    expect(span('1h')).toBe('1 hour');
    locale.value = 'fr';
    expect(span('2d')).toMatch(/^2\sjours$/);
  });
  it('follows the language', () => {
    locale.value = 'fr';
    expect(seconds(0.0015)).toBe('1,5 ms');
    expect(value(0.256, 'ratio')).toMatch(/^25,6\s%$/);
  });
});

describe('units', () => {
  it.each([
    ['rate(process_cpu_seconds_total[1m])', 'cores'],
    ['system_memory_usage_bytes', 'bytes'],
    ['rate(node_network_receive_bytes_total[5m])', 'bytesPerSecond'],
    ['sum(rate(http_requests_total[5m]))', 'perSecond'],
    ['histogram_quantile(0.99, rate(x_seconds_bucket[5m]))', 'seconds'],
    ['a_bytes / b_bytes', 'none'],
    ['up', 'none'],
    ['{"system.memory.usage"}', 'bytes'],
    ['foo{path="/x_bytes_y"}', 'none'],
  ])('%s', (e, want) => expect(guessUnit(e)).toBe(want));
});

it('native histograms keep the unit of what they observe', () => {
  expect(guessUnit('rate(rpc_server_call_duration_seconds[1m])', true)).toBe('seconds');
  expect(guessUnit('rate(x_bytes[1m])', true)).toBe('bytes');
});

describe('times', () => {
  const ms = Date.UTC(2026, 0, 2, 15, 4, 5, 67);
  it('shows a 24 hour clock with milliseconds', () => {
    zone.value = 'utc';
    expect(clock(ms)).toBe('15:04:05.067');
    expect(dateTime(ms)).toBe('02 Jan 2026 15:04:05');
  });
  it('writes what parseTime reads', () => {
    for (const z of ['utc', 'local'] as const) {
      zone.value = z;
      expect(parseTime(isoLocal(ms), 0, { utc: z === 'utc' })).toBe(ms - 67);
    }
  });
  it('reads nanoseconds', () => expect(nanoToMs('1767322800123456789')).toBeCloseTo(1767322800123.4568, 3));
});
