// Matchers of labels, in the form of Alertmanager's API, and their text: severity="page", team=~"a|b".
import type { Labels } from './promdata';

export interface Matcher {
  name: string;
  value: string;
  isRegex: boolean;
  isEqual: boolean;
}

export const operators = ['=', '!=', '=~', '!~'] as const;
export type Operator = (typeof operators)[number];

export const operatorOf = (m: Matcher): Operator => (m.isRegex ? (m.isEqual ? '=~' : '!~') : m.isEqual ? '=' : '!=');

export const withOperator = (m: Matcher, op: Operator): Matcher => ({ ...m, isRegex: op.endsWith('~'), isEqual: op[0] === '=' });

export const equals = (name: string, value: string): Matcher => ({ name, value, isRegex: false, isEqual: true });

/** One matcher as text that Alertmanager reads back. */
export const matcherText = (m: Matcher): string => (/^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(m.name) ? m.name : JSON.stringify(m.name)) + operatorOf(m) + JSON.stringify(m.value);

export const matchersText = (ms: readonly Matcher[]): string => ms.map(matcherText).join(', ');

/** Matchers of a text: separated by commas, in braces or not, values quoted or bare. Otherwise where it can't be read. */
export function parseMatchers(text: string): Matcher[] | { at: number } {
  const out: Matcher[] = [];
  let rest = text.trimEnd();
  const whole = rest.length;
  const at = () => ({ at: whole - rest.length });
  const take = (re: RegExp): RegExpExecArray | null => {
    const m = re.exec(rest);
    if (m) rest = rest.slice(m[0].length);
    return m;
  };
  const braces = take(/^\s*\{/) !== null;
  for (;;) {
    take(/^\s*/);
    if (rest === '' || (braces && rest === '}')) break;
    const name = take(/^(?:"((?:[^"\\]|\\.)*)"|([^\s"{}=!~,]+))\s*/);
    if (!name) return at();
    const op = take(/^(=~|!~|!=|=)\s*/);
    if (!op) return at();
    const value = take(/^(?:"((?:[^"\\]|\\.)*)"|([^\s"{},]*))\s*/);
    if (!value) return at();
    try {
      const m = equals(unquoted(name), unquoted(value));
      if (!m.name) return at();
      out.push(withOperator(m, op[1] as Operator));
    } catch {
      return at(); // an escape that JSON doesn't know
    }
    if (!take(/^,/) && rest !== '' && !(braces && rest === '}')) return at();
  }
  if (braces !== rest.endsWith('}')) return at();
  return out;
}

const unquoted = (m: RegExpExecArray): string => (m[1] !== undefined ? (JSON.parse(`"${m[1]}"`) as string) : m[2]!);

/** What tells whether labels match; null for a regular expression that a browser can't read. */
export function compile(ms: readonly Matcher[]): ((labels: Labels) => boolean) | null {
  const tests: ((labels: Labels) => boolean)[] = [];
  for (const m of ms) {
    if (!m.isRegex) {
      tests.push((l) => ((l[m.name] ?? '') === m.value) === m.isEqual);
      continue;
    }
    // Go's form of "ignore case" has no other in a browser than a flag.
    const folded = m.value.startsWith('(?i)');
    try {
      const re = new RegExp(`^(?:${folded ? m.value.slice(4) : m.value})$`, folded ? 'i' : '');
      tests.push((l) => re.test(l[m.name] ?? '') === m.isEqual);
    } catch {
      return null;
    }
  }
  return (labels) => tests.every((f) => f(labels));
}
