import { h } from '../dom.js';

export default function page() {
  return { view: () => h('p', null, '') };
}
