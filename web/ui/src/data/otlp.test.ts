import { describe, expect, it } from 'vitest';
import { hexID, traceOf, treeOf, visibleRows, type Span } from './otlp';

const span = (id: string, parent = '', start = 0, duration = 1, more: Partial<Span> = {}): Span => ({
  id, parent, start, duration, service: 's', name: id, kind: '', error: false, statusMessage: '', attrs: [], resource: [], scope: '', events: [], links: [], ...more,
});
const shape = (spans: Span[]) => treeOf(spans).map((n) => `${' '.repeat(n.depth)}${n.span.name}${n.orphan ? '?' : ''}:${n.descendants}`);

describe('treeOf', () => {
  it('orders parents before children, siblings by start', () => {
    expect(shape([span('c', 'a', 5), span('b', 'a', 2), span('a'), span('d', 'b', 3)])).toEqual(['a:3', ' b:1', '  d:0', ' c:0']);
  });
  it('shows orphans, after the root', () => {
    expect(shape([span('o', 'gone', 0), span('a', '', 1)])).toEqual(['a:0', 'o?:0']);
  });
  it('survives cycles and self-parents', () => {
    expect(shape([span('a', 'b', 0), span('b', 'a', 1)]).length).toBe(2);
    expect(shape([span('a', 'a')])).toEqual(['a?:0']);
  });
  it('keeps both halves of a shared span', () => {
    const client = span('x', '', 0, 10, { name: 'client' });
    const server = span('x', '', 1, 8, { name: 'server' });
    expect(shape([client, server, span('k', 'x', 2)])).toEqual(['client:2', ' server:0', ' k:0']);
  });
  it('takes ten thousand levels', () => {
    const deep = Array.from({ length: 10_000 }, (_, i) => span(`${i}`, i ? `${i - 1}` : '', i));
    const rows = treeOf(deep);
    expect(rows[0]!.descendants).toBe(9999);
    expect(rows[9999]!.depth).toBe(9999);
  });
  it('folds', () => {
    const rows = treeOf([span('a'), span('b', 'a', 1), span('c', 'b', 2), span('d', 'a', 3)]);
    expect(visibleRows(rows, new Set([rows[1]!.span]))).toEqual([0, 1, 3]);
    expect(visibleRows(rows, new Set([rows[0]!.span]))).toEqual([0]);
  });
});

describe('hexID', () => {
  it('reads hexadecimal and base64', () => {
    expect(hexID('00F067AA0BA902B7', 8)).toBe('00f067aa0ba902b7');
    expect(hexID('APBnqgupArc=', 8)).toBe('00f067aa0ba902b7');
    expect(hexID('AAAAAAAAAAA=', 8)).toBe('');
    expect(hexID(undefined, 8)).toBe('');
  });
});

describe('traceOf', () => {
  const raw = {
    resourceSpans: [{
      resource: { attributes: [{ key: 'service.name', value: { stringValue: 'web' } }] },
      scopeSpans: [{
        scope: { name: 'lib', version: '1' },
        spans: [
          { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: '00f067aa0ba902b7', name: 'GET /', kind: 'SPAN_KIND_SERVER', startTimeUnixNano: '1767322800000000000', endTimeUnixNano: '1767322800250000000', status: { code: 'STATUS_CODE_ERROR', message: 'boom' }, attributes: [{ key: 'n', value: { intValue: '7' } }, { key: 'l', value: { arrayValue: { values: [{ boolValue: true }] } } }] },
          { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: '00f067aa0ba902b8', parentSpanId: '00f067aa0ba902b7', name: 'db', kind: 3, startTimeUnixNano: 1767322800100000000, endTimeUnixNano: '1767322800100000500', events: [{ name: 'retry', timeUnixNano: '1767322800100000100' }] },
        ],
      }],
    }],
  };
  it.each([['otlp', raw], ['v2', { trace: raw }], ['v1', { batches: raw.resourceSpans }]])('reads %s', (_, r) => {
    const t = traceOf(r)!;
    expect([t.id, t.duration, t.errors, t.rows.length, t.root?.name]).toEqual(['0af7651916cd43dd8448eb211c80319c', 250e6, 1, 2, 'GET /']);
    expect(t.rows[0]!.span).toMatchObject({ kind: 'server', error: true, statusMessage: 'boom', scope: 'lib 1', attrs: [{ key: 'n', value: 7 }, { key: 'l', value: [true] }] });
    expect(t.rows[1]!.span).toMatchObject({ kind: 'client', start: 100e6, duration: 500 });
    expect(t.rows[1]!.span.events[0]!.offset).toBe(100_000_100);
    expect(t.services).toEqual([{ name: 'web', spans: 2, errors: 1 }]);
  });
  it('shows a span that came twice once', () => {
    expect(traceOf({ resourceSpans: [...raw.resourceSpans, ...raw.resourceSpans] })!.rows.length).toBe(2);
  });
  it('has no trace without spans', () => {
    expect(traceOf({})).toBeNull();
    expect(traceOf({ trace: { resourceSpans: [] } })).toBeNull();
  });
});
