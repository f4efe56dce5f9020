import { describe, expect, it } from 'vitest';
import { spotAt, type Lang } from './scan';

// The caret is the | in the text; a pipe of the query is written ¦.
const spot = (lang: Lang, marked: string) => {
  const pos = marked.indexOf('|');
  return spotAt(lang, marked.replace('|', '').replaceAll('¦', '|'), pos);
};

describe('spotAt', () => {
  it.each([
    ['promql', 'ra|', { kind: 'word', word: 'ra', from: 0 }],
    ['promql', 'rate(up|', { kind: 'word', word: 'up', from: 5 }],
    ['promql', 'up{jo|', { kind: 'label', word: 'jo', metric: 'up' }],
    ['promql', 'up{a="b", |}', { kind: 'label', word: '', metric: 'up' }],
    ['promql', 'up{job=~"x|"}', { kind: 'value', label: 'job', word: 'x', quoted: true, metric: 'up' }],
    ['promql', '{"system.c|"}', { kind: 'label', word: 'system.c' }],
    ['promql', 'sum by (jo|) (up)', { kind: 'label', word: 'jo' }],
    ['promql', 'rate(up[1|', { kind: 'duration', word: '1' }],
    ['promql', '# up{|', { kind: 'none' }],
    ['promql', 'label_replace(up, "x|")', { kind: 'none' }],
    ['logql', '{serv|', { kind: 'label', word: 'serv' }],
    ['logql', '{a="|"}', { kind: 'value', label: 'a', word: '', quoted: true }],
    ['logql', '{a="b"} ¦ js|', { kind: 'stage', word: 'js' }],
    ['logql', '{a="b"} ¦ level="er|', { kind: 'value', label: 'level', word: 'er', quoted: true }],
    ['logql', '{a="b"} ¦= "er|', { kind: 'none' }],
    ['logql', 'sum by (le|', { kind: 'label', word: 'le' }],
    ['traceql', '{ |', { kind: 'label', word: '' }],
    ['traceql', '{ resource.service.na|', { kind: 'label', word: 'resource.service.na' }],
    ['traceql', '{ status = |', { kind: 'value', label: 'status', quoted: false }],
    ['traceql', '{ name = "GET |', { kind: 'value', label: 'name', word: 'GET ', quoted: true }],
    ['traceql', '{ status = error && |', { kind: 'label', word: '' }],
    ['traceql', '{} ¦ |', { kind: 'stage', word: '' }],
  ] as const)('%s %s', (lang, text, want) => expect(spot(lang, text)).toMatchObject(want));
});
