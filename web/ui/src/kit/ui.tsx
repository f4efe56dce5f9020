// The kit: small parts with the behaviour that every page needs.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { apiBase, boot } from '../app/boot';
import { ApiError } from '../data/errors';
import { t, type Key } from '../i18n';
import { Icon, type IconName } from './icons';

interface ButtonProps {
  icon?: IconName;
  label: string;
  /** Show the icon alone; the label is read aloud and shown on hover. */
  compact?: boolean;
  primary?: boolean;
  pressed?: boolean;
  disabled?: boolean;
  class?: string;
  onClick(): void;
}

export function Button({ icon, label, compact, primary, pressed, disabled, class: cls = '', onClick }: ButtonProps) {
  return (
    <button
      type="button"
      class={`btn ${primary ? 'btn-primary' : ''} ${compact ? 'btn-icon' : ''} ${cls}`}
      aria-label={compact ? label : undefined}
      title={compact ? label : undefined}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      {icon && <Icon name={icon} />}
      {!compact && <span>{label}</span>}
    </button>
  );
}

/** A button that opens a panel below it. Escape, a click elsewhere and leaving by Tab close it. */
export function Popover({ label, icon, text, children, align = 'right', class: cls = '' }: { label: string; icon?: IconName; text?: string; children: (close: () => void) => ComponentChildren; align?: 'left' | 'right'; class?: string }) {
  const [open, set] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    if (!open) return;
    const outside = (e: Event) => !root.current?.contains(e.target as Node) && set(false);
    document.addEventListener('pointerdown', outside);
    document.addEventListener('focusin', outside);
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('focusin', outside);
    };
  }, [open]);
  const close = () => {
    set(false);
    root.current?.querySelector('button')?.focus();
  };
  return (
    <div class={`pop ${cls}`} ref={root} onKeyDown={(e) => open && e.key === 'Escape' && (e.stopPropagation(), close())}>
      <button type="button" class={`btn ${text ? '' : 'btn-icon'}`} aria-label={text ? `${label}: ${text}` : label} title={label} aria-expanded={open} aria-controls={id} onClick={() => set(!open)}>
        {icon && <Icon name={icon} />}
        {text && <span>{text}</span>}
        {text && <Icon name="down" size={10} />}
      </button>
      <div id={id} class={`pop-panel pop-${align}`} hidden={!open}>
        {open && children(close)}
      </div>
    </div>
  );
}

export function Segmented<T extends string>({ label, value, options, onChange }: { label: string; value: T; options: { value: T; label: string }[]; onChange(v: T): void }) {
  return (
    <div class="seg" role="group" aria-label={label}>
      {options.map((o) => (
        <button type="button" key={o.value} aria-pressed={o.value === value} onClick={() => onChange(o.value)}>
          {o.label}
        </button>
      ))}
    </div>
  );
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [done, set] = useState(false);
  useEffect(() => {
    if (!done) return;
    const id = setTimeout(() => set(false), 1500);
    return () => clearTimeout(id);
  }, [done]);
  return <Button icon="copy" compact label={done ? t('copied') : label} onClick={() => void copy(text).then(() => set(true))} />;
}

export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // No clipboard API outside https and localhost.
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
}

/** A thin moving line while something loads. */
export function Progress({ on }: { on: boolean }) {
  return <div class={`progress ${on ? 'on' : ''}`} role="progressbar" aria-label={t('loading')} aria-hidden={!on} />;
}

const hints: [test: (e: Error) => boolean, key: Key][] = [
  [(e) => e instanceof ApiError && e.status === 0, 'error.network'],
  [(e) => e instanceof ApiError && e.status === 401, 'error.tenant'],
  [(e) => e instanceof ApiError && (e.status === 429 || e.status === 503), 'error.busy'],
];

/** An error in place: what the server said, word for word, and what may help. */
export function ErrorBox({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const hint = hints.find(([test]) => test(error))?.[1];
  const status = error instanceof ApiError && error.status ? ` ${error.status}` : '';
  return (
    <div class="box box-error" role="alert">
      <Icon name="error" />
      <div>
        <strong>{t('error.title')}{status}</strong>
        <pre>{error.message}</pre>
        {hint && <p>{t(hint)}</p>}
      </div>
      {onRetry && <Button label={t('retry')} onClick={onRetry} />}
    </div>
  );
}

export function Notice({ children }: { children: ComponentChildren }) {
  return <div class="box box-notice" role="status">{children}</div>;
}

/** Nothing to show: why, and how data comes in. */
export function Empty({ title, text, howTo }: { title: string; text?: string; howTo?: boolean }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {text && <p>{text}</p>}
      {howTo && <HowTo />}
    </div>
  );
}

/** A listen address as something to connect to: a wildcard stands for the host of this page. */
function reachable(address: string): string {
  return address.replace(/^(0\.0\.0\.0|\[::\]|)(?=:\d+$)/, location.hostname);
}

function HowTo() {
  return (
    <div class="howto">
      <p>{t('howto.demo')}</p>
      <pre><code>hune demo</code></pre>
      <p>{t('howto.otlp')}</p>
      <pre><code>{`OTEL_EXPORTER_OTLP_ENDPOINT=${apiBase.href.replace(/\/$/, '')}\nOTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`}</code></pre>
      {boot.otlpGrpc && <p>{t('howto.grpc', { address: reachable(boot.otlpGrpc) })}</p>}
    </div>
  );
}

export function Skeleton({ rows = 6 }: { rows?: number }) {
  return <div class="skeleton" aria-hidden="true">{Array.from({ length: rows }, (_, i) => <i key={i} class={`w${i % 4}`} />)}</div>;
}

/** The size of an element, kept up to date. */
export function useSize<T extends HTMLElement>(): [ref: { current: T | null }, size: { width: number; height: number }] {
  const ref = useRef<T | null>(null);
  const [size, set] = useState({ width: 0, height: 0 });
  useEffect(() => {
    const el = ref.current;
    if (!el) return;
    const measure = () => set((s) => (s.width === el.clientWidth && s.height === el.clientHeight ? s : { width: el.clientWidth, height: el.clientHeight }));
    const watch = new ResizeObserver(measure);
    watch.observe(el);
    measure();
    return () => watch.disconnect();
  }, []);
  return [ref, size];
}

/** A modal dialog (the native one: focus stays inside, Escape closes). */
export function Dialog({ title, onClose, children }: { title: string; onClose(): void; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  return (
    <dialog ref={ref} class="dialog" aria-label={title} onClose={onClose} onClick={(e) => e.target === ref.current && ref.current?.close()}>
      <header>
        <h2>{title}</h2>
        <Button icon="close" compact label={t('close')} onClick={() => ref.current?.close()} />
      </header>
      {children}
    </dialog>
  );
}
