import { expect, it } from 'vitest';
import { append, prepend } from './loglist';
import { makeEntry } from './logline';
import { entriesOf, newestFirst } from './lokistreams';

const e = (ns: string, line = ns) => makeEntry(ns, line, { a: 'b' });
const lines = (l: { list: { line: string }[] }) => l.list.map((x) => x.line).join(' ');

it('grows on top without repeating the shared instant', () => {
  const list = [e('5', 'b'), e('5', 'a'), e('4')];
  const r = prepend(list, [e('6'), e('5', 'c'), e('5', 'a')], 100);
  expect(lines(r)).toBe('6 c b a 4');
  expect(r.added).toBe(2);
  expect(prepend(list, [], 100).list).toBe(list);
});

it('merges lines that come late', () => {
  expect(lines(prepend([e('9'), e('7'), e('3')], [e('8'), e('5')], 100))).toBe('9 8 7 5 3');
});

it('grows at the end', () => {
  const r = append([e('5'), e('4', 'x')], [e('4', 'x'), e('4', 'y'), e('3')], 100);
  expect(lines(r)).toBe('5 x y 3');
  expect(r.added).toBe(2);
});

it('is bounded', () => {
  expect(lines(prepend([e('2'), e('1')], [e('4'), e('3')], 3))).toBe('4 3 2');
  expect(append([e('4'), e('3')], [e('2'), e('1')], 3)).toMatchObject({ added: 1 });
});

it('orders entries of several streams by nanosecond', () => {
  const got = entriesOf([
    { stream: { s: 'a' }, values: [['9', 'old'], ['1767322800000000001', 'y']] },
    { stream: { s: 'b' }, values: [['1767322800000000002', 'z', { structuredMetadata: { trace_id: 't' } }], ['1767322800000000000', 'x', { k: 'v' }]] },
  ]);
  expect(got.map((x) => x.line)).toEqual(['z', 'y', 'x', 'old']);
  expect(got[0]!.metadata).toEqual({ trace_id: 't' });
  expect(got[2]!.metadata).toEqual({ k: 'v' });
  expect([...got].sort(newestFirst)).toEqual(got);
});
