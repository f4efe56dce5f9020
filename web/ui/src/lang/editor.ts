// The query editor proper. A chunk of its own: the page is usable with a plain text box until it
// is here.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, completionStatus, startCompletion, type CompletionContext } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, insertNewlineAndIndent } from '@codemirror/commands';
import { bracketMatching, LRLanguage, syntaxHighlighting } from '@codemirror/language';
import { Compartment, EditorState, type Extension } from '@codemirror/state';
import { drawSelection, EditorView, keymap, placeholder } from '@codemirror/view';
import type { LRParser } from '@lezer/lr';
import { styleTags, tagHighlighter, tags } from '@lezer/highlight';
import { nonce } from '../app/boot';
import { t } from '../i18n';
import { complete } from './complete';
import type { Lang } from './scan';

const classes = tagHighlighter([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier, tags.logicOperator], class: 'q-key' },
  { tag: tags.function(tags.variableName), class: 'q-fn' },
  { tag: tags.string, class: 'q-str' },
  { tag: tags.number, class: 'q-num' },
  { tag: tags.labelName, class: 'q-lab' },
  { tag: tags.comment, class: 'q-com' },
  { tag: [tags.operator, tags.arithmeticOperator, tags.compareOperator], class: 'q-op' },
  { tag: tags.invalid, class: 'q-bad' },
]);

async function grammar(lang: Lang): Promise<Extension> {
  let parser: LRParser;
  switch (lang) {
    case 'promql':
      parser = (await import('@prometheus-io/lezer-promql')).parser as LRParser;
      break;
    case 'logql':
      parser = ((await import('@grafana/lezer-logql')).parser as LRParser).configure({
        props: [styleTags({
          'Sum Avg Count Max Min Stddev Stdvar Bottomk Topk Sort Sort_Desc By Without And Or Unless On Ignoring GroupLeft GroupRight Bool Offset': tags.keyword,
          'Json Logfmt Unpack Pattern Regexp Unwrap LabelFormat LineFormat Decolorize Drop Keep Ip': tags.keyword,
          'CountOverTime Rate RateCounter BytesOverTime BytesRate AvgOverTime SumOverTime MinOverTime MaxOverTime StddevOverTime StdvarOverTime QuantileOverTime FirstOverTime LastOverTime AbsentOverTime LabelReplace Vector BytesConv DurationConv DurationSecondsConv': tags.function(tags.variableName),
          'Identifier LabelName': tags.labelName,
          String: tags.string,
          'Number Duration Bytes': tags.number,
          LineComment: tags.comment,
          'Pipe PipeExact PipeMatch PipePattern Npa Nre Neq Eq Re Gtr Gte Lss Lte Eql Add Sub Mul Div Mod Pow': tags.operator,
          '⚠': tags.invalid,
        })],
      });
      break;
    case 'traceql':
      parser = ((await import('@grafana/lezer-traceql')).parser as LRParser).configure({
        props: [styleTags({
          'Identifier IntrinsicField AttributeField/...': tags.labelName,
          'Resource Span Event Link Instrumentation Parent': tags.labelName,
          'Aggregate MetricsOperationBasicType MetricsOverTimeType MetricsAggregatorFunctionType GroupOperation SelectOperation CoalesceOperation': tags.function(tags.variableName),
          With: tags.keyword,
          String: tags.string,
          'Integer Float Duration': tags.number,
          'FieldOp And Or Pipe ComparisonOp ScalarOp Gt Lt Desc Anc UnionStructuralOp ExperimentalOp': tags.operator,
          'LineComment BlockComment': tags.comment,
          '⚠': tags.invalid,
        })],
      });
  }
  return LRLanguage.define({ parser, languageData: { closeBrackets: { brackets: ['(', '[', '{', '"', '`'] }, commentTokens: { line: '#' } } }).extension;
}

export interface EditorHandle {
  view: EditorView;
  set(text: string): void;
  destroy(): void;
}

export interface EditorOptions {
  lang: Lang;
  text: string;
  label: string;
  hint: string;
  onChange(text: string): void;
  onRun(text: string): void;
}

export async function makeEditor(parent: HTMLElement, o: EditorOptions): Promise<EditorHandle> {
  const language = new Compartment();
  const source = async (c: CompletionContext) => {
    const word = c.matchBefore(/[\w:.\-/]+/);
    const last = c.state.sliceDoc(Math.max(0, c.pos - 1), c.pos);
    if (!c.explicit && !word && !/["{,(|[=]/.test(last)) return null;
    const r = await complete(o.lang, c.state.doc.toString(), c.pos);
    if (c.aborted || !r?.options.length) return null;
    return { from: r.from, options: r.options.map((x) => ({ ...x })), filter: false };
  };
  const run = (v: EditorView) => {
    o.onRun(v.state.doc.toString());
    return true;
  };
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: o.text,
      extensions: [
        EditorView.cspNonce.of(nonce),
        EditorView.contentAttributes.of({ 'aria-label': o.label, spellcheck: 'false', autocapitalize: 'off' }),
        EditorView.lineWrapping,
        placeholder(o.hint),
        EditorState.phrases.of({ Completions: t('completions') }),
        history(),
        drawSelection(),
        bracketMatching(),
        closeBrackets(),
        autocompletion({ override: [source], activateOnTyping: true, maxRenderedOptions: 60, icons: false, defaultKeymap: false, optionClass: (c) => `q-opt q-opt-${c.type ?? ''}` }),
        syntaxHighlighting(classes),
        language.of([]),
        keymap.of([
          { key: 'Mod-Enter', run },
          ...completionKeymap, // Enter accepts while the list is open …
          { key: 'Enter', run: (v) => (completionStatus(v.state) === 'active' ? false : run(v)) }, // … and runs the query else
          { key: 'Shift-Enter', run: insertNewlineAndIndent },
          { key: 'Ctrl-Space', run: startCompletion },
          { key: 'Escape', run: (v) => (v.contentDOM.blur(), true) },
          ...closeBracketsKeymap,
          ...historyKeymap,
          ...defaultKeymap.filter((k) => k.key !== 'Enter' && k.key !== 'Mod-Enter'),
        ]),
        EditorView.updateListener.of((u) => u.docChanged && o.onChange(u.state.doc.toString())),
      ],
    }),
  });
  void grammar(o.lang).then((ext) => view.dispatch({ effects: language.reconfigure(ext) }));
  return {
    view,
    set(text) {
      if (text !== view.state.doc.toString()) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
    },
    destroy: () => view.destroy(),
  };
}
