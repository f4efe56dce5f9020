// Texts of the page. en.ts is the source of the keys; another language lacks none, or the
// type-check fails.
import { effect, signal } from '@preact/signals';
import { locale, type Locale } from '../app/locale';
import { en } from './en';

/** A text, or its plural forms (Intl.PluralRules) chosen by {n}. */
export type Message = string | { one: string; other: string; many?: string };
export type Key = keyof typeof en;
export type Catalogue = Record<Key, Message>;

const catalogue = signal<{ locale: Locale; texts: Catalogue }>({ locale: 'en', texts: en });
let rules = new Intl.PluralRules('en');

effect(() => {
  const want = locale.value;
  const use = (texts: Catalogue) => {
    if (locale.value !== want) return;
    rules = new Intl.PluralRules(want);
    catalogue.value = { locale: want, texts };
  };
  if (want === 'fr') void import('./fr').then((m) => use(m.fr));
  else use(en);
});

/** The text of a key in the reader's language; {name} is replaced from args. */
export function t(key: Key, args: Record<string, string | number> = {}): string {
  const m = catalogue.value.texts[key];
  const n = Number(args.n ?? 0);
  const text = typeof m === 'string' ? m : (m[rules.select(n) as 'one'] ?? m.other);
  const nf = () => new Intl.NumberFormat(catalogue.value.locale);
  return text.replace(/\{(\w+)\}/g, (all, name: string) => {
    const v = args[name];
    return v === undefined ? all : typeof v === 'number' ? nf().format(v) : v;
  });
}

/** Whether the wanted language is loaded: the first paint waits for it. */
export const ready = (): boolean => catalogue.value.locale === locale.value;
