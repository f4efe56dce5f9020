import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { dark, light } from '../viz/colours';

const css = readFileSync(new URL('./app.css', import.meta.url), 'utf8');

/** Custom properties of the first rule whose selector is exactly this. */
function tokens(selector: string): Record<string, string> {
  const at = css.indexOf(`${selector} {`);
  const rule = css.slice(at, css.indexOf('}', at));
  return Object.fromEntries([...rule.matchAll(/--([\w-]+):\s*(#[0-9a-f]{3,6})/g)].map((m) => [m[1]!, m[2]!]));
}

function luminance(hex: string): number {
  const h = hex.length === 4 ? [...hex.slice(1)].map((c) => c + c).join('') : hex.slice(1);
  const [r, g, b] = [0, 2, 4].map((i) => parseInt(h.slice(i, i + 2), 16) / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p) as [number, number];
  return (x + 0.05) / (y + 0.05);
}

const automatic = tokens(":root:not([data-theme='light'])");
const themes = { light: tokens(':root') };

describe.each([['light', light], ['dark', dark]] as const)('%s theme', (name, palette) => {
  // The rule with the tokens, not the one-line rule of the same selector before it.
  const t = name === 'light' ? themes.light : automatic;
  it.each(['text', 'dim', 'accent', 'critical', 'error', 'warn', 'info', 'debug', 'trace', 'unknown', 'q-key', 'q-fn', 'q-str', 'q-num', 'q-lab', 'q-com'])('%s reads on every ground', (token) => {
    for (const ground of ['surface', 'raised', 'sunk', 'hover']) expect(contrast(t[token]!, t[ground]!), ground).toBeGreaterThanOrEqual(4.5);
  });
  it('text on coloured grounds', () => {
    expect(contrast(t['accent-text']!, t.accent!)).toBeGreaterThanOrEqual(4.5);
    expect(contrast(t.accent!, t['accent-soft']!)).toBeGreaterThanOrEqual(4.5);
    expect(contrast(t.text!, t['accent-soft']!)).toBeGreaterThanOrEqual(4.5);
    expect(contrast(t['mark-text']!, t.mark!)).toBeGreaterThanOrEqual(4.5);
    expect(contrast(t.error!, t['error-soft']!)).toBeGreaterThanOrEqual(4.5);
    expect(contrast(t.text!, t['notice-soft']!)).toBeGreaterThanOrEqual(4.5);
  });
  it('lines and dots are seen', () => {
    for (const c of palette) expect(contrast(c, t.surface!), c).toBeGreaterThanOrEqual(3);
  });
});

it('the dark theme is one, chosen or automatic', () => {
  const chosen = css.slice(css.lastIndexOf(":root[data-theme='dark'] {"));
  const rule = Object.fromEntries([...chosen.slice(0, chosen.indexOf('}')).matchAll(/--([\w-]+):\s*(#[0-9a-f]{3,6})/g)].map((m) => [m[1]!, m[2]!]));
  expect(rule).toEqual(automatic);
});
