// The reader's own settings, kept in the browser: theme, language, time zone, tenant.
import { effect, signal } from '@preact/signals';
import { boot } from './boot';
import { locale, zone, type Locale, type Zone } from './locale';

export type Theme = 'auto' | 'light' | 'dark';

interface Stored {
  theme?: Theme;
  locale?: Locale;
  zone?: Zone;
  tenant?: string;
  shortcuts?: boolean;
  author?: string;
}

const key = 'hune.settings';

function stored(): Stored {
  try {
    return JSON.parse(localStorage.getItem(key) ?? '{}') as Stored;
  } catch {
    return {};
  }
}

const s = stored();
const browserLocale: Locale = navigator.language.toLowerCase().startsWith('fr') ? 'fr' : 'en';

export const theme = signal<Theme>(s.theme ?? 'auto');
locale.value = s.locale ?? browserLocale;
zone.value = s.zone ?? 'local';
export const tenant = signal<string>(s.tenant ?? boot.tenant);
/** Single-key shortcuts can be turned off (WCAG 2.1.4). */
export const shortcuts = signal<boolean>(s.shortcuts ?? true);

/** Who silences alerts: the name that was given last. */
export const author = signal<string>(s.author ?? '');

const dark = matchMedia('(prefers-color-scheme: dark)');
const systemDark = signal(dark.matches);
dark.addEventListener('change', (e) => (systemDark.value = e.matches));

/** The theme in force. */
export const isDark = (): boolean => theme.value === 'dark' || (theme.value === 'auto' && systemDark.value);

effect(() => {
  const root = document.documentElement;
  if (theme.value === 'auto') delete root.dataset.theme;
  else root.dataset.theme = theme.value;
  root.lang = locale.value;
  const now: Stored = { theme: theme.value, zone: zone.value, tenant: tenant.value, shortcuts: shortcuts.value };
  if (author.value) now.author = author.value;
  if (locale.value !== browserLocale || s.locale) now.locale = locale.value;
  try {
    localStorage.setItem(key, JSON.stringify(now));
  } catch {
    // A browser without storage keeps the settings for this visit only.
  }
});
