// Language and time zone in force. Apart from settings.ts so that formatters need no browser.
import { signal } from '@preact/signals';

export type Locale = 'en' | 'fr';
export type Zone = 'local' | 'utc';

export const locale = signal<Locale>('en');
export const zone = signal<Zone>('local');
