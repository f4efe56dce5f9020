import { describe, expect, it } from 'vitest';
import { fromTraceQL, isTraceID, logsOf, noFilters, toTraceQL } from './traceql';

describe('filters', () => {
  it.each([
    [noFilters, '{}'],
    [{ service: 'web', longer: '', errors: false }, '{ resource.service.name = "web" }'],
    [{ service: 'a"b', longer: '100ms', errors: true }, '{ resource.service.name = "a\\"b" && duration > 100ms && status = error }'],
  ])('%j', (f, q) => {
    expect(toTraceQL(f)).toBe(q);
    expect(fromTraceQL(q)).toEqual(f);
  });
  it('reads what a person writes', () => {
    expect(fromTraceQL('{status=error&&duration>1.5s}')).toEqual({ service: '', longer: '1.5s', errors: true });
    expect(fromTraceQL('')).toEqual(noFilters);
    expect(fromTraceQL('{ }')).toEqual(noFilters);
  });
  it.each(['{ name = "x" }', '{ status = error || duration > 1s }', '{} | count() > 2', '{ status = error && }', '{}{}'])('leaves %s to the text', (q) => expect(fromTraceQL(q)).toBeNull());
});

it('knows trace IDs', () => {
  expect(isTraceID(' 0af7651916cd43dd8448eb211c80319c ')).toBe(true);
  expect(isTraceID('00f067aa0ba902b7')).toBe(true);
  expect(isTraceID('{}')).toBe(false);
  expect(logsOf('ab', 'cd')).toBe('{service_name=~".+"} | trace_id="ab" | span_id="cd"');
});
