import { describe, expect, it } from 'vitest';
import { compile, equals, matchersText, parseMatchers, withOperator, type Matcher } from './matchers';

const read = (text: string): string | number => {
  const ms = parseMatchers(text);
  return Array.isArray(ms) ? matchersText(ms) : ms.at;
};

describe('matchers', () => {
  it.each([
    ['', ''],
    ['  ', ''],
    ['{}', ''],
    ['a="b"', 'a="b"'],
    ['{a="b", c!="d"}', 'a="b", c!="d"'],
    ['a=b,c=~d.*', 'a="b", c=~"d.*"'],
    ['a = "b" , c !~ "d|e",', 'a="b", c!~"d|e"'],
    ['a=""', 'a=""'],
    ['a=', 'a=""'],
    ['a="x, y}"', 'a="x, y}"'],
    ['"host.name"="x \\"y\\" \\\\"', '"host.name"="x \\"y\\" \\\\"'],
    ['host.name=x', '"host.name"="x"'],
  ])('reads %s', (text, want) => expect(read(text)).toBe(want));

  it.each([
    ['a', 1],
    ['a="b', 2],
    ['a="b" c="d"', 6],
    ['="b"', 0],
    ['{a="b"', 6],
    ['a="b"}', 5],
    [', a="b"', 0],
    ['a="b",, c="d"', 6],
  ])('says where %s is wrong', (text, at) => expect(read(text)).toBe(at));

  it('text of any matcher is read back', () => {
    const odd = ['', 'plain', 'with "quotes"', 'back\\slash', 'a, b}', 'é\n\t', '{x="y"}'];
    for (const name of odd.filter(Boolean)) {
      for (const value of odd) {
        for (const op of ['=', '!=', '=~', '!~'] as const) {
          const ms: Matcher[] = [withOperator(equals(name, value), op), equals('z', value)];
          expect(parseMatchers(matchersText(ms))).toEqual(ms);
          expect(parseMatchers(`{${matchersText(ms)}}`)).toEqual(ms);
        }
      }
    }
  });

  it.each([
    ['a="b"', { a: 'b' }, true],
    ['a="b"', { a: 'bc' }, false],
    ['a=~"b.*", c=""', { a: 'bc' }, true],
    ['a=~"b"', { a: 'abc' }, false],
    ['a=~"b|c"', { a: 'cb' }, false],
    ['a!="b"', {}, true],
    ['a!~"b|c"', { a: 'c' }, false],
    ['a=~"(?i)PAGE"', { a: 'page' }, true],
    ['', { a: 'b' }, true],
  ])('%s on %j is %s', (text, labels, want) => expect(compile(parseMatchers(text) as Matcher[])!(labels as Record<string, string>)).toBe(want));

  it('tells of a regular expression that a browser can’t read', () => expect(compile([withOperator(equals('a', '('), '=~')])).toBeNull());
});
