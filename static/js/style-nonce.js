// BokehJS writes <style> elements; the policy admits those with the page's nonce.
(() => {
  "use strict";
  const { nonce } = document.currentScript;
  const { createElement } = Document.prototype;
  Document.prototype.createElement = function createElementWithNonce(name, options) {
    const element = createElement.call(this, name, options);
    if (element instanceof HTMLStyleElement) {
      element.nonce = nonce;
    }
    return element;
  };
})();
