import { render } from 'preact';
import { effect } from '@preact/signals';
import './app/settings';
import './app/debug';
import './app/app.css';
import { listen } from './app/keys';
import { App } from './app/shell';
import { ready } from './i18n';

listen();
const stop = effect(() => {
  // In another language than English the first paint waits for its texts: a few milliseconds.
  if (!ready()) return;
  render(<App />, document.getElementById('app')!);
  queueMicrotask(() => stop());
});
