// Where in a query the caret is: enough of three grammars to know what may follow. The server's
// parsers decide what is right; this only decides what to offer.

export type Lang = 'promql' | 'logql' | 'traceql';

export type Spot =
  | { kind: 'word'; from: number; word: string } // a metric, function or keyword
  | { kind: 'label'; from: number; word: string; metric?: string } // a label or attribute name
  | { kind: 'value'; from: number; word: string; label: string; quoted: boolean; metric?: string }
  | { kind: 'stage'; from: number; word: string } // after a pipe
  | { kind: 'duration'; from: number; word: string }
  | { kind: 'none' };

interface Scan {
  /** Index of the quote that the caret is behind, or -1. */
  quote: number;
  /** Open brackets at the caret. */
  stack: { ch: string; at: number }[];
  comment: boolean;
}

export function scan(text: string, pos: number): Scan {
  const stack: Scan['stack'] = [];
  let quote = -1;
  for (let i = 0; i < pos; i++) {
    const c = text[i]!;
    if (quote >= 0) {
      if (c === '\\' && text[quote] !== '`') i++;
      else if (c === text[quote]) quote = -1;
      continue;
    }
    if (c === '"' || c === '`' || c === "'") quote = i;
    else if (c === '#') {
      const end = text.indexOf('\n', i);
      if (end < 0 || end >= pos) return { quote: -1, stack, comment: true };
      i = end;
    } else if (c === '{' || c === '(' || c === '[') stack.push({ ch: c, at: i });
    else if (c === '}' || c === ')' || c === ']') stack.pop();
  }
  return { quote, stack, comment: false };
}

const nameOp = /([a-zA-Z_][\w.:\-/]*|"(?:[^"\\]|\\.)*")\s*(=~|!~|!=|>=|<=|=|>|<)\s*$/;

const clean = (name: string): string => (name[0] === '"' ? name.slice(1, -1) : name);

export function spotAt(lang: Lang, text: string, pos: number): Spot {
  const s = scan(text, pos);
  if (s.comment) return { kind: 'none' };
  const top = s.stack[s.stack.length - 1];
  const metric = lang === 'promql' && top?.ch === '{' ? (/([a-zA-Z_:][\w:]*)\s*$/.exec(text.slice(0, top.at))?.[1] ?? undefined) : undefined;

  if (s.quote >= 0) {
    const before = text.slice(0, s.quote);
    const m = top?.ch === '{' || lang !== 'promql' ? nameOp.exec(before) : null;
    if (m) return { kind: 'value', from: s.quote + 1, word: text.slice(s.quote + 1, pos), label: clean(m[1]!), quoted: true, metric };
    // {"metric.name", …}: a quoted name
    if (lang === 'promql' && top?.ch === '{') return { kind: 'label', from: s.quote + 1, word: text.slice(s.quote + 1, pos), metric };
    return { kind: 'none' };
  }

  const word = /[a-zA-Z_:][\w:.\-/]*$/.exec(text.slice(0, pos))?.[0] ?? '';
  const from = pos - word.length;
  const before = text.slice(0, from);

  if (top?.ch === '[') return { kind: 'duration', from: top.at + 1, word: text.slice(top.at + 1, pos) };
  if (top?.ch === '{') {
    const m = nameOp.exec(before);
    if (m) return { kind: 'value', from, word, label: clean(m[1]!), quoted: false, metric };
    if (lang === 'traceql' ? /(^|[{(!]|&&|\|\|)\s*$/.test(before) : /[{,]\s*$/.test(before)) return { kind: 'label', from, word, metric };
    return { kind: 'none' };
  }
  if (top?.ch === '(' && /\b(by|without|on|ignoring|group_left|group_right|select)\s*$/.test(text.slice(0, top.at))) return { kind: 'label', from, word };
  if (lang !== 'promql' && /\|\s*$/.test(before)) return { kind: 'stage', from, word };
  if (/\d$/.test(before) && !word) return { kind: 'none' };
  return { kind: 'word', from, word };
}
