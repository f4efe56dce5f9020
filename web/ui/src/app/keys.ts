// Keyboard: single keys act outside of text boxes and can be turned off (WCAG 2.1.4).
import { signal } from '@preact/signals';
import type { Key } from '../i18n';
import { focusQuery } from '../kit/query';
import { copy } from '../kit/ui';
import { liveKeys } from '../pages/logs';
import { shortcuts } from './settings';
import { shiftRange, undoZoom, zoomRange } from './time';
import { go, paths } from './url';

export const helpOpen = signal(false);
/** A short message in the corner. */
export const toast = signal<Key | null>(null);

/** Shows it for a moment. */
export function say(key: Key): void {
  toast.value = key;
  setTimeout(() => toast.value === key && (toast.value = null), 1500);
}

let goPending = 0;

function onKey(e: KeyboardEvent): void {
  if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || !shortcuts.value || helpOpen.value) return;
  const el = e.target as HTMLElement;
  if (el.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName)) return;
  if (Date.now() - goPending < 1500) {
    goPending = 0;
    const to = { h: paths.home, m: paths.metrics, l: paths.logs, t: paths.traces, a: paths.alerts }[e.key];
    if (to !== undefined) {
      e.preventDefault();
      go(to);
      return;
    }
  }
  const act = actions[e.key];
  if (!act) return;
  e.preventDefault();
  act();
}

const actions: Record<string, () => void> = {
  g: () => (goPending = Date.now()),
  '/': focusQuery,
  '[': () => shiftRange(-0.5),
  ']': () => shiftRange(0.5),
  '-': () => zoomRange(2),
  '=': () => zoomRange(0.5),
  z: undoZoom,
  '.': () => liveKeys.current?.toggle(),
  p: () => liveKeys.current?.pause(),
  y: () =>
    void copy(location.href).then(() => say('copy.link')),
  '?': () => (helpOpen.value = true),
};

export const listen = (): void => document.addEventListener('keydown', onKey);
