import { describe, expect, it } from 'vitest';
import { addFilter, isLogQuery, levelOf, makeEntry, mark, needles, prettyJSON, traceOf, volumeQuery } from './logline';

const id = '0af7651916cd43dd8448eb211c80319c';

describe('levels', () => {
  it.each([['INFO', 'info'], ['WARN2', 'warn'], ['Warning', 'warn'], ['FATAL', 'critical'], ['err', 'error'], ['blue', 'unknown'], [undefined, 'unknown']])('%s', (w, want) => expect(levelOf(w)).toBe(want));
  it('prefers metadata, then labels, then the line', () => {
    expect(makeEntry('1', 'level=debug', { level: 'info' }, { detected_level: 'error' }).level).toBe('error');
    expect(makeEntry('1', 'level=debug', { level: 'info' }).level).toBe('info');
    expect(makeEntry('1', 'ts=1 level=debug msg=x', {}).level).toBe('debug');
    expect(makeEntry('1', '{"level": "warn"}', {}).level).toBe('warn');
    expect(makeEntry('1', '2026-01-01 12:00:00 [ERROR] boom', {}).level).toBe('error');
    expect(makeEntry('1', 'no information about errors', {}).level).toBe('unknown');
  });
  it('keeps nanoseconds', () => expect(makeEntry('1767322800123456789', '', {}).ms).toBeCloseTo(1767322800123.4568, 3));
});

describe('traceOf', () => {
  it('reads metadata, labels and lines', () => {
    expect(traceOf(makeEntry('1', '', {}, { trace_id: id, span_id: '00f067aa0ba902b7' }))).toEqual({ trace: id, span: '00f067aa0ba902b7' });
    expect(traceOf(makeEntry('1', '', { traceID: id.toUpperCase() }))?.trace).toBe(id);
    expect(traceOf(makeEntry('1', `GET / trace=${id} 200`, {}))?.trace).toBe(id);
    expect(traceOf(makeEntry('1', `sha=${id}${id}`, {}))).toBeUndefined();
    expect(traceOf(makeEntry('1', '', {}, { trace_id: '0'.repeat(32) }))).toBeUndefined();
    expect(traceOf(makeEntry('1', '', {}, { trace_id: 'not an id' }))).toBeUndefined();
  });
});

describe('marking', () => {
  it('finds the needles of a query', () => {
    expect(needles('{a="b"} |= "x y" |= `z"` != "no" |~ "re"')).toEqual(['x y', 'z"']);
    expect(needles('{a="b"} |= "q\\"q"')).toEqual(['q"q']);
  });
  it('cuts text', () => {
    expect(mark('abcabc', ['bc'])).toEqual([{ text: 'a', hit: false }, { text: 'bc', hit: true }, { text: 'a', hit: false }, { text: 'bc', hit: true }]);
    expect(mark('abc', [])).toEqual([{ text: 'abc', hit: false }]);
    expect(mark('aab', ['a', 'aa'])[0]).toEqual({ text: 'aa', hit: true });
  });
});

describe('addFilter', () => {
  it.each([
    ['{a="b"}', 'c', '=', 'd', true, '{a="b", c="d"}'],
    ['{}', 'c', '=', 'd', true, '{c="d"}'],
    ['{a="}"} |= "x"', 'c', '!=', 'd', true, '{a="}", c!="d"} |= "x"'],
    ['{a="b"}', 'a', '=', 'b', true, '{a="b"}'],
    ['{a="b"}', 'a', '!=', 'b', true, '{a!="b"}'],
    ['{a="b"}', 'm', '=', 'x"y', false, '{a="b"} | m="x\\"y"'],
    ['{a="b"} | m="x"', 'm', '!=', 'x', false, '{a="b"} | m!="x"'],
    ['{a="b"} | m="x"', 'm', '=', 'x', false, '{a="b"} | m="x"'],
    ['no selector', 'm', '=', 'x', false, 'no selector'],
    ['{a="b"}', 'not bare', '=', 'x', false, '{a="b"}'],
  ] as const)('%s %s%s%s', (q, name, op, v, stream, want) => expect(addFilter(q, name, op, v, stream)).toBe(want));
});

describe('queries', () => {
  it('tells lines from numbers', () => {
    expect(isLogQuery(' {a="b"} |= "x"')).toBe(true);
    expect(isLogQuery('# comment\n{a="b"}')).toBe(true);
    expect(isLogQuery('rate({a="b"}[1m])')).toBe(false);
  });
  it('asks for the volume', () => expect(volumeQuery('{a="b"}', 30)).toBe('sum by (detected_level, level, severity_text) (count_over_time({a="b"}\n[30s]))'));
  it('pretty-prints only JSON', () => {
    expect(prettyJSON('{"a":1}')).toBe('{\n  "a": 1\n}');
    expect(prettyJSON('{oops')).toBeNull();
    expect(prettyJSON('plain')).toBeNull();
  });
});
