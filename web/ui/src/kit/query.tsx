// A query box: a plain text area at once, the editor with colours and completion when it is loaded.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { EditorHandle } from '../lang/editor';
import type { Lang } from '../lang/scan';
import { t } from '../i18n';
import { locale } from '../app/locale';
import { Button } from './ui';

interface Props {
  lang: Lang;
  label: string;
  hint: string;
  value: string;
  loading: boolean;
  onRun(text: string): void;
}

export function QueryBox({ lang, label, hint, value, loading, onRun }: Props) {
  const [draft, setDraft] = useState(value);
  const host = useRef<HTMLDivElement>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  const editor = useRef<EditorHandle | null>(null);
  const [ready, setReady] = useState(false);
  const run = useRef(onRun);
  run.current = onRun;
  const draftNow = useRef(draft);
  draftNow.current = draft;

  // The address changed the query: back, a link, a click on a filter.
  useEffect(() => {
    setDraft(value);
    editor.current?.set(value);
  }, [value]);

  useEffect(() => {
    let gone = false;
    void import('../lang/editor')
      .then(({ makeEditor }) => (gone ? null : makeEditor(host.current!, { lang, label, hint, text: draftNow.current, onChange: setDraft, onRun: (x) => run.current(x.trim()) })))
      .then((h) => {
        if (!h) return;
        if (gone) return h.destroy();
        const focused = document.activeElement === area.current;
        const caret = area.current?.selectionStart ?? 0;
        h.set(draftNow.current); // what was typed meanwhile
        editor.current = h;
        setReady(true);
        if (focused) {
          h.view.focus();
          h.view.dispatch({ selection: { anchor: Math.min(caret, h.view.state.doc.length) } });
        }
      })
      .catch(() => undefined); // the plain box stays
    return () => {
      gone = true;
      editor.current?.destroy();
      editor.current = null;
      setReady(false);
    };
  }, [lang, locale.value]);

  const onKey = (e: KeyboardEvent) => {
    if (e.key === 'Enter' && !e.shiftKey) {
      e.preventDefault();
      onRun(draft.trim());
    } else if (e.key === 'Escape') (e.target as HTMLElement).blur();
  };
  return (
    <form class="query" data-lang={lang} onSubmit={(e) => (e.preventDefault(), onRun(draft.trim()))}>
      <div class="query-box">
        <div ref={host} class="query-editor" hidden={!ready} />
        {!ready && <textarea ref={area} rows={1} aria-label={label} placeholder={hint} spellcheck={false} value={draft} onInput={(e) => setDraft(e.currentTarget.value)} onKeyDown={onKey} />}
      </div>
      <Button primary icon="play" label={t('run')} class={draft.trim() !== value.trim() ? 'changed' : ''} disabled={loading && draft.trim() === value.trim() && !ready} onClick={() => onRun(draft.trim())} />
    </form>
  );
}

/** Put the caret into the first query box of the page. */
export function focusQuery(): void {
  document.querySelector<HTMLElement>('.query .cm-content, .query textarea')?.focus();
}
