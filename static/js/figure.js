// [data-figure-url] is filled with the Bokeh figure that the address answers, when it comes into
// sight; its colours follow the theme. [data-figure-legend] gets a button for each series: it hides
// and shows it, and lets it stand out while the pointer or the focus is on it. Buttons
// [data-figure-scale] of the same card ask for another vertical axis. Parts of the page that htmx
// brings later are looked through as well.
(() => {
  "use strict";
  class Figure {
    constructor(container) {
      this.container = container;
      this.views = [];
      this.figure = null;
      this.loads = 0;
      const card = container.closest("section, details") ?? container.parentElement;
      this.scales = [...card.querySelectorAll("[data-figure-scale]")];
      for (const button of this.scales) {
        button.addEventListener("click", () => this.start(button.dataset.figureScale));
      }
      document.addEventListener("e2l:theme", () => this.paint());
    }

    paint() {
      if (this.figure && this.container.isConnected) e2lPlots.paint(this.figure, this.container);
    }

    start(scale) {
      this.load(scale).catch((error) => {
        this.container.textContent = `The plot could not be loaded. ${error.message}`;
      });
    }

    async load(scale) {
      const { container } = this;
      this.loads += 1;
      const load = this.loads;
      for (const button of this.scales) {
        button.setAttribute("aria-pressed", String(button.dataset.figureScale === scale));
      }
      const address = new URL(container.dataset.figureUrl, location.href);
      if (scale) address.searchParams.set("scale", scale);
      this.figure = null;
      const response = await fetch(address);
      if (!response.ok) throw new Error(`The server answered ${response.status}.`);
      const item = await response.json();
      if (load !== this.loads) return; // another scale was chosen meanwhile
      for (const view of this.views) view.remove();
      container.replaceChildren();
      this.views = [...(await Bokeh.embed.embed_item(item, container.id))];
      if (load !== this.loads) return;
      this.figure = this.views[0].model;
      this.paint();
      e2lPlots.followTicks(this.figure);
      this.addLegend();
      container.dataset.ready = scale ?? "";
      document.dispatchEvent(
        new CustomEvent("e2l:plot", { detail: { figure: this.figure, container } }),
      );
    }

    addLegend() {
      const list = document.querySelector(`[data-figure-legend="${this.container.id}"]`);
      const legend = [...this.figure.below, ...this.figure.center].find(
        (model) => model.type === "Legend",
      );
      if (!list || !legend) return;
      list.replaceChildren(...legend.items.map((item) => this.legendEntry(item)));
    }

    legendEntry(item) {
      const button = document.createElement("button");
      const swatch = document.createElement("span");
      const [first] = item.renderers;
      swatch.className = "swatch";
      swatch.dataset.color = first.glyph.tags[0];
      button.type = "button";
      button.className = "series__entry";
      button.setAttribute("aria-pressed", "true");
      button.append(swatch, item.label.value);
      button.addEventListener("click", () => {
        const isShown = !first.visible;
        for (const renderer of item.renderers) renderer.visible = isShown;
        button.setAttribute("aria-pressed", String(isShown));
        this.emphasize(isShown ? item.renderers : null);
      });
      for (const type of ["pointerenter", "focus"]) {
        button.addEventListener(type, () => this.emphasize(first.visible ? item.renderers : null));
      }
      for (const type of ["pointerleave", "blur"]) {
        button.addEventListener(type, () => this.emphasize(null));
      }
      return button;
    }

    // Lets the others fade; null brings them back.
    emphasize(renderers) {
      for (const renderer of this.figure?.renderers ?? []) {
        const isFaded = renderers !== null && !renderers.includes(renderer);
        for (const name of ["line_alpha", "fill_alpha"]) {
          const { glyph } = renderer;
          if (!(name in glyph)) continue;
          glyph.e2lAlpha ??= {};
          glyph.e2lAlpha[name] ??= glyph[name];
          glyph[name] = isFaded ? { value: 0.08 } : glyph.e2lAlpha[name];
        }
      }
    }
  }

  // A figure needs to be seen to know its size, and nobody waits for what is out of sight.
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        new Figure(target).start(target.dataset.scale);
      }
    },
    { rootMargin: "400px" },
  );

  function look() {
    for (const container of document.querySelectorAll("[data-figure-url]:not([data-seen])")) {
      container.dataset.seen = "true";
      observer.observe(container);
    }
  }
  document.addEventListener("htmx:afterSettle", look);
  look();
})();
