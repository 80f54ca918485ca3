import { h } from '../dom.js';
import * as api from '../api.js';
import { field } from '../ui.js';

export default function signIn(app, done) {
  return h('main', { class: 'sign-in', id: 'main' },
    h('form', {
      class: 'card',
      onsubmit: event => {
        event.preventDefault();
        const form = event.currentTarget;
        const values = new FormData(form);
        app.act(form.querySelector('button'), async () => done(await api.signIn(values.get('user'), values.get('password'))));
      },
    },
    h('h1', null, h('img', { src: 'icon.svg', alt: '', width: 32, height: 32 }), 'Garage'),
    app.over && h('p', { class: 'message attention' }, app.over),
    h('div', { role: 'alert' }, app.failure && h('p', { class: 'message danger' }, app.failure)),
    field('Name', { name: 'user', autocomplete: 'username', autocapitalize: 'none', spellcheck: 'false' }, 'Leave it empty to sign in with the operator’s token.'),
    field('Password or token', { name: 'password', type: 'password', autocomplete: 'current-password', required: true }),
    h('button', { class: 'primary', type: 'submit' }, 'Sign in')));
}
