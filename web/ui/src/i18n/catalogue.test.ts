import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { en } from './en';
import { fr } from './fr';
import type { Key, Message } from './index';

const forms = (m: Message): string[] => (typeof m === 'string' ? [m] : Object.values(m));
const names = (s: string): string => [...new Set(s.match(/\{\w+\}/g))].sort().join();

it('French has the same placeholders and kinds of text as English', () => {
  expect(Object.keys(fr).sort()).toEqual(Object.keys(en).sort());
  for (const key of Object.keys(en) as Key[]) {
    expect(typeof fr[key], key).toBe(typeof en[key]);
    for (const f of forms(fr[key])) expect(names(f), key).toBe(names(forms(en[key])[0]!));
  }
});

it('no key lies unused', () => {
  const sources = (dir: URL): string => readdirSync(dir, { withFileTypes: true }).map((e) => (e.isDirectory() ? sources(new URL(`${e.name}/`, dir)) : /\.tsx?$/.test(e.name) && !/test\.ts$|en\.ts$|fr\.ts$/.test(e.name) ? readFileSync(new URL(e.name, dir), 'utf8') : '')).join('\n');
  const all = sources(new URL('../', import.meta.url));
  const built = ['level.', 'tail.', 'time.error.', 'alert.', 'rule.', 'silences.'];
  const unused = Object.keys(en).filter((k) => !all.includes(`'${k}'`) && !built.some((b) => k.startsWith(b)));
  expect(unused).toEqual([]);
});
